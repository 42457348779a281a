//! Passwords as argon2id hashes (19 MiB, 2 passes, 1 lane: OWASP's first choice).
//!
//! Anybody can have one computed by trying to sign in, so the work is bounded: a [`Hasher`] has a fixed number of
//! buffers and a fixed number of places to wait for one. A hash needs a [`Turn`], which only the hasher gives.

mod rules;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use rules::{SHORTEST, WeakPassword, check};

/// A longer password is no password: hashing megabytes costs the server, not the guesser.
pub const LONGEST: usize = 1_024;

/// A hash that no password has: an unknown user's sign-in takes as long as a known one's.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Memory of a hash, in KiB.
const MEMORY: u32 = 19 * 1_024;

/// How many may wait for a turn: at 20 to 30 ms each, the last one has it within its patience.
const PLACES: usize = 256;

/// How long a turn is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Too many passwords are being hashed: whoever is told this may come back in a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked at once")]
pub struct Busy;

/// Hashes passwords, a few at a time, in memory that it keeps.
#[derive(Debug)]
pub struct Hasher {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    buffers: Arc<Buffers>,
}

/// Room for one hash each. Made when they are first needed, and used again: memory that is given back 19 MiB at a time
/// stays with the allocator, in pieces, until nothing is left.
#[derive(Debug, Default)]
struct Buffers(Mutex<Vec<Vec<Block>>>);

/// The right to hash one password.
#[derive(Debug)]
pub struct Turn {
    buffers: Arc<Buffers>,
    _turn: OwnedSemaphorePermit,
}

impl Default for Hasher {
    fn default() -> Hasher {
        // One core is left to everything else.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Hasher::new((cores / 2).clamp(1, 2))
    }
}

impl Hasher {
    /// A hasher for so many passwords at a time.
    pub fn new(at_once: usize) -> Hasher {
        Hasher {
            turns: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once + PLACES)),
            buffers: Arc::default(),
        }
    }

    /// Waits for a turn, in order.
    pub async fn turn(&self) -> Result<Turn, Busy> {
        let _place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Busy)?.map_err(|_| Busy)?;
        Ok(Turn { buffers: Arc::clone(&self.buffers), _turn: turn })
    }

    /// The hash of a new password; waits as long as it must.
    pub async fn hash(&self, password: &str) -> String {
        loop {
            match self.turn().await {
                Ok(turn) => return turn.hash(password.to_owned()).await,
                Err(Busy) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Turn {
    /// The password's hash in PHC form, with a salt of its own. Takes 20 to 30 ms of a core.
    pub async fn hash(self, password: String) -> String {
        self.compute(move |blocks| hash(&password, blocks)).await
    }

    /// Whether the password has this hash. Without a hash it takes as long, and says no.
    pub(crate) async fn verify(self, password: String, hash: Option<String>) -> bool {
        self.compute(move |blocks| verify(&password, hash.as_deref(), blocks)).await
    }

    /// Computes on a thread where that stops nobody. It ends, and gives its turn back then, even if nobody waits for
    /// it any more.
    async fn compute<T: Send + 'static>(self, work: impl FnOnce(&mut [Block]) -> T + Send + 'static) -> T {
        let working = tokio::task::spawn_blocking(move || {
            let mut blocks = self.buffers.take();
            let result = work(&mut blocks);
            self.buffers.put(blocks);
            result
        });
        working.await.expect("hashing does not panic, and nobody ends the runtime's threads")
    }
}

impl Buffers {
    fn take(&self) -> Vec<Block> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![Block::new(); params().block_count()])
    }

    fn put(&self, blocks: Vec<Block>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
    }
}

fn params() -> Params {
    Params::new(MEMORY, 2, 1, None).expect("these parameters are in argon2's ranges")
}

/// The password's argon2id in so many bytes.
fn derive(
    password: &str,
    salt: &[u8],
    params: Params,
    length: usize,
    blocks: &mut [Block],
) -> Option<Output> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut derived = [0; Output::MAX_LENGTH];
    let derived = derived.get_mut(..length)?;
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, derived, blocks).ok()?;
    Output::new(derived).ok()
}

fn hash(password: &str, blocks: &mut [Block]) -> String {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).expect("the operating system gives random bytes");
    let output = derive(password, &salt, params(), Params::DEFAULT_OUTPUT_LEN, blocks);
    let made = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params()).expect("argon2's own parameters"),
        salt: Some(Salt::new(&salt).expect("16 bytes are a salt")),
        hash: Some(
            output.expect("any password can be hashed with parameters and memory that belong together"),
        ),
    };
    made.to_string()
}

fn verify(password: &str, hash: Option<&str>, blocks: &mut [Block]) -> bool {
    let same = hash.and_then(|hash| matches(password, hash, blocks)).unwrap_or_else(|| {
        matches(password, NOBODY, blocks);
        false
    });
    same && password.len() <= LONGEST
}

/// None: it is no hash of argon2id within the memory of a buffer, and nothing was computed.
fn matches(password: &str, hash: &str, blocks: &mut [Block]) -> Option<bool> {
    let parsed = PasswordHash::new(hash).ok()?;
    let params = Params::try_from(&parsed).ok()?;
    let kind = (Algorithm::Argon2id.ident(), Some(Version::V0x13.into()));
    if (parsed.algorithm, parsed.version) != kind || params.block_count() > blocks.len() {
        return None;
    }
    let (salt, expected) = (parsed.salt?, parsed.hash?);
    // `Output` compares in constant time.
    Some(derive(password, &salt, params, expected.len(), blocks)? == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks() -> Vec<Block> {
        vec![Block::new(); params().block_count()]
    }

    #[test]
    fn a_hash_fits_its_password_only() {
        let mut blocks = blocks();
        let hashed = hash("correct horse", &mut blocks);
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert!(verify("correct horse", Some(&hashed), &mut blocks));
        assert!(!verify("correct horsf", Some(&hashed), &mut blocks));
        assert!(!verify("correct horse", Some("no hash at all"), &mut blocks));
        assert!(!verify("", None, &mut blocks));
        assert_ne!(hashed, hash("correct horse", &mut blocks), "each has a salt of its own");
    }

    #[test]
    fn it_is_the_argon2id_of_everybody_else() {
        use argon2::password_hash::{PasswordHasher, PasswordVerifier};
        let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, params());
        let hashed = theirs.hash_password(b"correct horse").expect("hashed").to_string();
        assert!(verify("correct horse", Some(&hashed), &mut blocks()));
        let ours = hash("correct horse", &mut blocks());
        let ours = PasswordHash::new(&ours).expect("a PHC string");
        assert!(theirs.verify_password(b"correct horse", &ours).is_ok());
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_a_known_one() {
        let work = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
        assert_eq!(work(NOBODY), work(&hash("x", &mut blocks())), "the same memory and passes");
        assert_eq!(matches("wrong", NOBODY, &mut blocks()), Some(false), "it is worked through");
    }

    #[tokio::test]
    async fn whoever_finds_no_place_to_wait_is_told_to_come_back() {
        let hasher = Hasher::new(1);
        let turn = hasher.turn().await.expect("the first");
        let mut waiting: Vec<_> = (0..=PLACES).map(|_| Box::pin(hasher.turn())).collect();
        for wait in &mut waiting {
            assert!(futures::poll!(wait).is_pending());
        }
        assert_eq!(hasher.turn().await.err(), Some(Busy));
        // One who gives up makes room, and nobody is passed over.
        waiting.pop();
        assert!(futures::poll!(Box::pin(hasher.turn())).is_pending());
        drop(turn);
        assert!(waiting.remove(0).await.is_ok());
    }

    #[tokio::test]
    async fn many_hashes_need_one_buffer() {
        let hasher = Arc::new(Hasher::new(1));
        let hashing: Vec<_> = (0..4)
            .map(|_| {
                let hasher = Arc::clone(&hasher);
                tokio::spawn(async move { hasher.hash("pw").await })
            })
            .collect();
        for hashed in hashing {
            hashed.await.expect("no panic");
        }
        assert_eq!(hasher.buffers.0.lock().expect("not poisoned").len(), 1);
    }
}
