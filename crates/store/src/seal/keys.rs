//! The keys that seal secrets, and their ids.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a key.
const KEY: usize = 32;

/// Bytes of a nonce. So long that random ones never repeat.
const NONCE: usize = 24;

/// Names a key without telling anything of it: the beginning of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyId([u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.to_string()
    }
}

/// A text is no key's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key's id is 8 hex digits")]
pub struct NoKeyId;

impl TryFrom<String> for KeyId {
    type Error = NoKeyId;
    fn try_from(text: String) -> Result<KeyId, NoKeyId> {
        text.parse()
    }
}

impl FromStr for KeyId {
    type Err = NoKeyId;
    fn from_str(text: &str) -> Result<KeyId, NoKeyId> {
        let mut id = [0; 4];
        hex::decode_to_slice(text, &mut id).map_err(|_| NoKeyId)?;
        Ok(KeyId(id))
    }
}

/// A key. It is overwritten in memory when it is dropped.
pub struct Key {
    id: KeyId,
    secret: Zeroizing<[u8; KEY]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Keys can't be read from a text. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A line is no key.
    #[error(
        "line {0} is no key: expected 32 bytes in hex (64 digits) or base64 (`isochrone keys generate` makes one)"
    )]
    NotAKey(usize),
    /// A line repeats a key.
    #[error("line {0} repeats a key")]
    Repeated(usize),
    /// There is no key at all.
    #[error("it holds no key")]
    Empty,
}

impl Key {
    /// A new one, by the operating system's randomness.
    pub fn generate() -> Key {
        let mut secret = Zeroizing::new([0; KEY]);
        getrandom::fill(secret.as_mut()).expect("the operating system gives random bytes");
        Key::new(secret)
    }

    fn new(secret: Zeroizing<[u8; KEY]>) -> Key {
        let mut digest = Sha256::new();
        digest.update(b"isochrone key id\0");
        digest.update(secret.as_ref());
        let digest = digest.finalize();
        let mut id = [0; 4];
        id.copy_from_slice(&digest[..4]);
        Key { id: KeyId(id), secret }
    }

    fn parse(text: &str) -> Option<Key> {
        let mut secret = Zeroizing::new([0; KEY]);
        if text.len() == 2 * KEY {
            hex::decode_to_slice(text, secret.as_mut()).ok()?;
            return Some(Key::new(secret));
        }
        let text = text.trim_end_matches('=');
        let engine = if text.contains(['-', '_']) { &URL_SAFE_NO_PAD } else { &STANDARD_NO_PAD };
        let mut bytes = engine.decode(text).ok()?;
        let right = bytes.len() == KEY;
        if right {
            secret.copy_from_slice(&bytes);
        }
        bytes.zeroize();
        right.then(|| Key::new(secret))
    }

    /// What names it.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key as it stands in a key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.secret.as_ref()))
    }

    /// Nonce and ciphertext. `bound_to` must be given again to open it.
    pub(super) fn seal(&self, text: &[u8], bound_to: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        let mut sealed = nonce.to_vec();
        let payload = Payload { msg: text, aad: bound_to };
        let cipher = XChaCha20Poly1305::new((&*self.secret).into());
        let text = cipher.encrypt(&XNonce::from(nonce), payload);
        sealed.extend(text.expect("a text in memory is shorter than the cipher's limit"));
        sealed
    }

    /// None: it was changed, is bound to something else, or another key sealed it.
    pub(super) fn open(&self, sealed: &[u8], bound_to: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
        let cipher = XChaCha20Poly1305::new((&*self.secret).into());
        cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: bound_to }).ok()
    }

    /// A key of its own for a purpose other than sealing.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY]> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.secret.as_ref())
            .expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

/// The keys of a process: the first one seals, all of them open.
#[derive(Debug, Default)]
pub struct Keyring(Vec<Key>);

impl Keyring {
    /// Reads keys: one a line, in hex or base64; empty lines and those that begin with `#` are left out.
    /// The first one seals, the others only open.
    pub fn parse(text: &str) -> Result<Keyring, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = Key::parse(line).ok_or(KeyError::NotAKey(number))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeyError::Repeated(number));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Keyring(keys)) }
    }

    /// The keys' ids; the first one's seals.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(Key::id)
    }

    /// The key with this id.
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }

    /// The key that seals; none: there is no key.
    pub fn first(&self) -> Option<&Key> {
        self.0.first()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests.
mod tests {
    use super::*;

    #[test]
    fn the_same_key_is_read_in_each_form() {
        let hex_form = "00ff".repeat(16);
        let bytes = hex::decode(&hex_form).unwrap();
        let base64_forms = [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
            format!("{}=", STANDARD_NO_PAD.encode(&bytes)),
        ];
        let id = Keyring::parse(&hex_form).unwrap().ids().next().unwrap();
        for form in base64_forms {
            assert_eq!(Keyring::parse(&format!("# comment\n\n  {form}\r\n")).unwrap().ids().next(), Some(id));
        }
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_key_is_named_by_its_line_and_not_shown() {
        let good = "ab".repeat(32);
        for (text, error) in [
            ("", KeyError::Empty),
            ("# nothing\n", KeyError::Empty),
            ("hunter2", KeyError::NotAKey(1)),
            (&format!("{good}\n{}", &good[2..]), KeyError::NotAKey(2)),
            (&format!("{good}\n\n{good}"), KeyError::Repeated(3)),
        ] {
            let found = Keyring::parse(text).map(|_| ()).unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("hunter2"));
        }
        let shown = format!("{:?}", Keyring::parse(&good).unwrap());
        assert!(!shown.contains("abab"), "{shown}");
    }

    #[test]
    fn generated_keys_differ_and_are_read_again() {
        let (one, two) = (Key::generate(), Key::generate());
        assert_ne!(one.id(), two.id());
        assert_eq!(Keyring::parse(&one.to_text()).unwrap().ids().next(), Some(one.id()));
    }
}
