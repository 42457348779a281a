//! Passwords as argon2id hashes (19 MiB, 2 passes, 1 lane: OWASP's first choice).

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// A longer password is no password: hashing megabytes costs the server, not the guesser.
pub const LONGEST: usize = 1_024;

/// A hash that no password has: an unknown user's sign-in takes as long as a known one's.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1_024, 2, 1, None).expect("these parameters are in argon2's ranges");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The password's hash in PHC form, with a salt of its own. Takes some 20 ms of a core.
pub fn hash(password: &str) -> String {
    argon2()
        .hash_password(password.as_bytes())
        .expect("the operating system gives a salt, and any length can be hashed")
        .to_string()
}

/// Whether the password has this hash. Without a hash it takes as long, and says no.
pub(crate) fn verify(password: &str, hash: Option<&str>) -> bool {
    let parsed = PasswordHash::new(hash.unwrap_or(NOBODY)).or_else(|_| PasswordHash::new(NOBODY));
    let same = parsed.is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok());
    same && hash.is_some() && password.len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_only() {
        let hashed = hash("correct horse");
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify("correct horse", Some(&hashed)));
        assert!(!verify("correct horsf", Some(&hashed)));
        assert!(!verify("correct horse", Some("no hash at all")));
        assert!(!verify("", None));
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_a_known_one() {
        let work = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
        assert_eq!(work(NOBODY), work(&hash("x")), "the same algorithm with the same memory and passes");
        let known = PasswordHash::new(NOBODY).expect("it can be parsed, so that it is worked through");
        assert!(argon2().verify_password(b"wrong", &known).is_err());
    }
}
