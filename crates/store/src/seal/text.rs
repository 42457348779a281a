//! Sealed values as texts: `sealed:1:KEY_ID:BASE64`, the last part the nonce and the ciphertext of
//! XChaCha20-Poly1305.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use isochrone_domain::{RunId, TaskId};

use super::{KeyId, Keyring};
use crate::TokenHash;

/// What a sealed text begins with; the number is the format's.
const MARK: &str = "sealed:1:";

/// Where a secret stands. A sealed text can be opened only there: moved to another record or field it is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretField {
    /// A task's parameters.
    Parameters(TaskId),
    /// A task's URL: it may hold a token or a password.
    TaskUrl(TaskId),
    /// The digest of the request that made a task: parameters could be guessed by it.
    Request(TaskId),
    /// The handle of a run's remote job: it may hold what gives access to the job.
    Handle(RunId),
    /// What an authorization code or a refresh token may be turned into.
    Grant(TokenHash),
}

impl SecretField {
    /// The field, as errors name it.
    pub fn field(self) -> &'static str {
        match self {
            SecretField::Parameters(_) => "parameters",
            SecretField::TaskUrl(_) => "taskUrl",
            SecretField::Request(_) => "request",
            SecretField::Handle(_) => "handle",
            SecretField::Grant(_) => "terms",
        }
    }
}

/// What a sealed text is bound to. It never changes: what was sealed would be void.
impl fmt::Display for SecretField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretField::Parameters(id) | SecretField::TaskUrl(id) | SecretField::Request(id) => {
                write!(f, "task {id} {}", self.field())
            }
            SecretField::Handle(id) => write!(f, "run {id} {}", self.field()),
            SecretField::Grant(hash) => write!(f, "grant {} {}", hex::encode(hash.0), self.field()),
        }
    }
}

/// A sealed text can't be opened. Says nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with a key that this process does not have.
    #[error("it is sealed with the key {0}, which is not among those of [secrets]")]
    UnknownKey(KeyId),
    /// It was changed since it was sealed, or belongs elsewhere.
    #[error("it is not what the key {0} sealed for this place: it was changed or moved")]
    Void(KeyId),
    /// It begins as a sealed text does, and is none.
    #[error("it begins with '{MARK}' and is no sealed text")]
    Malformed,
}

/// The id of the key that sealed a text; none: it is not sealed.
pub fn sealed_with(text: &str) -> Option<Result<KeyId, SealError>> {
    split(text).map(|split| split.map(|(id, _)| id))
}

fn split(text: &str) -> Option<Result<(KeyId, &str), SealError>> {
    let rest = text.strip_prefix(MARK)?;
    let parts = rest.split_once(':').and_then(|(id, body)| Some((id.parse().ok()?, body)));
    Some(parts.ok_or(SealError::Malformed))
}

impl Keyring {
    /// The text, sealed with this key for this place.
    ///
    /// # Panics
    /// If the keyring lacks the key.
    pub fn seal_with(&self, key: KeyId, text: &str, place: SecretField) -> String {
        let key = self.get(key).expect("only a key of this ring is asked to seal");
        let sealed = key.seal(text.as_bytes(), place.to_string().as_bytes());
        format!("{MARK}{}:{}", key.id(), URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The text as it was before it was sealed; one that is not sealed, as it is.
    pub fn open(&self, text: String, place: SecretField) -> Result<String, SealError> {
        let (id, body) = match split(&text) {
            None => return Ok(text),
            Some(split) => split?,
        };
        let key = self.get(id).ok_or(SealError::UnknownKey(id))?;
        let sealed = URL_SAFE_NO_PAD.decode(body).map_err(|_| SealError::Void(id))?;
        let opened = key.open(&sealed, place.to_string().as_bytes()).ok_or(SealError::Void(id))?;
        String::from_utf8(opened).map_err(|_| SealError::Void(id))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests.
mod tests {
    use super::*;

    fn ring(key: &str) -> Keyring {
        Keyring::parse(&key.repeat(32)).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_in_its_place_alone() {
        let (ring, other) = (ring("a1"), ring("b2"));
        let id = ring.ids().next().unwrap();
        let task = TaskId::from_bytes([7; 16]);
        let place = SecretField::Parameters(task);
        let sealed = ring.seal_with(id, "{\"key\": \"s3cret\"}", place);
        assert!(!sealed.contains("s3cret"));
        assert_eq!(sealed_with(&sealed), Some(Ok(id)));
        assert_ne!(sealed, ring.seal_with(id, "{\"key\": \"s3cret\"}", place), "each has a nonce of its own");
        assert_eq!(ring.open(sealed.clone(), place).unwrap(), "{\"key\": \"s3cret\"}");

        assert_eq!(other.open(sealed.clone(), place), Err(SealError::UnknownKey(id)));
        for elsewhere in [SecretField::TaskUrl(task), SecretField::Parameters(TaskId::from_bytes([8; 16]))] {
            assert_eq!(ring.open(sealed.clone(), elsewhere), Err(SealError::Void(id)));
        }
        let mut changed = sealed.clone().into_bytes();
        for at in MARK.len() + 9..changed.len() {
            let kept = changed[at];
            changed[at] = if kept == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(changed.clone()).unwrap();
            assert_eq!(ring.open(text, place), Err(SealError::Void(id)), "byte {at}");
            changed[at] = kept;
        }
        assert_eq!(ring.open(format!("{MARK}x"), place), Err(SealError::Malformed));
        assert_eq!(ring.open("{}".to_owned(), place).unwrap(), "{}");
    }
}
