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

use serde::{Deserialize, Serialize};

use crate::answer::Failure;
use crate::request::Parameters;
use redirect::Redirect;

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

/// PKCE (RFC 7636): who turns the code in must know what only the asker can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Challenge {
    Plain(String),
    Sha256(String),
}

impl Asked {
    /// What `authorize` was sent.
    fn read(parameters: &Parameters, redirect: Redirect) -> Result<Asked, Failure> {
        let challenge = parameters.given("code_challenge").map(str::to_owned);
        let challenge = match (challenge, parameters.given("code_challenge_method")) {
            (None, _) => None,
            (Some(text), None | Some("plain")) => Some(Challenge::Plain(text)),
            (Some(text), Some("S256")) => Some(Challenge::Sha256(text)),
            (Some(_), Some(_)) => {
                let problem = "is unknown; expected S256 or plain";
                return Err(Failure::parameter("code_challenge_method", problem));
            }
        };
        let kind = match parameters.required("response_type")? {
            "token" => Kind::Token,
            "code" => Kind::Code,
            _ => return Err(Failure::parameter("response_type", "is unknown; expected token or code")),
        };
        Ok(Asked {
            client: parameters.required("client_id")?.to_owned(),
            redirect,
            kind,
            state: parameters.given("state").map(str::to_owned),
            challenge,
            minutes: minutes(parameters)?,
        })
    }

    fn to_text(&self) -> String {
        hex::encode(serde_json::to_vec(self).expect("its keys are text"))
    }

    fn from_text(text: &str) -> Option<Asked> {
        serde_json::from_slice(&hex::decode(text).ok()?).ok()
    }
}

/// `expiration` in minutes; -1, 0 and nothing are the usual life.
fn minutes(parameters: &Parameters) -> Result<Option<i64>, Failure> {
    let given = parameters.whole("expiration", -1..=i64::from(i32::MAX))?;
    Ok(given.filter(|minutes| *minutes > 0))
}
