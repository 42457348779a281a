//! OAuth 2.0: a program sends its user to a page of this portal to sign in, and gets a token (implicit) or a code
//! for one.
//!
//! What the program asked for goes through the page and back in `oauth_state`. It is no secret and is trusted
//! no more than the request it came from: each step checks it anew.

mod authorize;
mod redirect;
mod revoke;
mod token;

pub(crate) use authorize::{approval, authorize, sign_in};
pub(crate) use revoke::revoke_token;
pub(crate) use token::token;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Config;
use crate::answer::Failure;
use crate::request::Parameters;
use redirect::Redirect;

/// What anybody may have repeated to him, in bytes.
const LONGEST_CLIENT: usize = 256;
const LONGEST_STATE: usize = 4 << 10;
const LONGEST_URI: usize = 2 << 10;

/// All of it in hex; JSON may need six bytes for one.
const LONGEST_TEXT: usize = 2 * 6 * (LONGEST_CLIENT + LONGEST_STATE + LONGEST_URI + 1_024);

/// What a program asks for.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    client: String,
    redirect: Redirect,
    kind: Kind,
    /// Handed back as it came.
    state: Option<String>,
    challenge: Option<Challenge>,
    /// The token's life in minutes.
    minutes: Option<i64>,
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Token,
    Code,
}

/// PKCE (RFC 7636) by S256: who turns the code in must know what only the asker can. `plain` would show it on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Challenge(String);

impl Challenge {
    /// The SHA-256 digest of a verifier, as base64url has it.
    fn read(text: &str) -> Option<Challenge> {
        let digest = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        (digest.len() == 32).then(|| Challenge(text.to_owned()))
    }
}

impl Asked {
    /// What `authorize` was sent.
    fn read(parameters: &Parameters, redirect: Redirect) -> Result<Asked, Failure> {
        let method = parameters.given("code_challenge_method");
        let challenge = match (parameters.given("code_challenge"), method) {
            (None, None) => None,
            (None, Some(_)) => return Err(Failure::parameter("code_challenge", "is missing")),
            (Some(text), Some("S256")) => Some(Challenge::read(text).ok_or_else(|| {
                Failure::parameter("code_challenge", "is no SHA-256 digest in base64url (43 characters)")
            })?),
            (Some(_), _) => {
                let problem = "must be S256: 'plain' would show the verifier to whoever sees the request";
                return Err(Failure::parameter("code_challenge_method", problem));
            }
        };
        let kind = match parameters.required("response_type")? {
            "token" => Kind::Token,
            "code" => Kind::Code,
            _ => return Err(Failure::parameter("response_type", "is unknown; expected token or code")),
        };
        for (name, most) in
            [("client_id", LONGEST_CLIENT), ("state", LONGEST_STATE), ("redirect_uri", LONGEST_URI)]
        {
            if parameters.get(name).is_some_and(|text| text.len() > most) {
                return Err(Failure::parameter(name, format!("is longer than {most} bytes")));
            }
        }
        Ok(Asked {
            client: parameters.required("client_id")?.to_owned(),
            redirect,
            kind,
            state: parameters.given("state").map(str::to_owned),
            challenge,
            minutes: minutes(parameters)?,
        })
    }

    /// A code that a browser carries to a program's address can be caught on the way, so it must be of no use to anybody
    /// else. One that a person carries (out of band) is not on the way, and the operator may know better of a program.
    fn check_proof(&self, config: &Config) -> Result<(), Failure> {
        let needs_none = self.kind == Kind::Token
            || self.challenge.is_some()
            || self.redirect.is_out_of_band()
            || config.without_pkce.contains(&self.client);
        if needs_none {
            return Ok(());
        }
        let problem = "is required for a code (PKCE with code_challenge_method=S256); a client that can't send it \
                       must be listed by the operator (oauth.without_pkce)";
        Err(Failure::parameter("code_challenge", problem))
    }

    fn to_text(&self) -> String {
        hex::encode(serde_json::to_vec(self).expect("its keys are text"))
    }

    fn from_text(text: &str) -> Option<Asked> {
        if text.len() > LONGEST_TEXT {
            return None;
        }
        serde_json::from_slice(&hex::decode(text).ok()?).ok()
    }
}

/// Reads an `oauth_state`, or its JSON, for the fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_state(text: &str) {
    for text in [text.to_owned(), hex::encode(text)] {
        if let Some(asked) = Asked::from_text(&text) {
            assert!(Asked::from_text(&asked.to_text()).is_some(), "what was written can be read");
        }
    }
}

/// `expiration` in minutes; -1, 0 and nothing are the usual life.
fn minutes(parameters: &Parameters) -> Result<Option<i64>, Failure> {
    let given = parameters.whole("expiration", -1..=i64::from(i32::MAX))?;
    Ok(given.filter(|minutes| *minutes > 0))
}
