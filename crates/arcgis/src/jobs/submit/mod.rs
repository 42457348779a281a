//! What the response to a submission means: was a job begun, where is it, may it be submitted again.
//!
//! A 2xx is knowledge: whatever else is in it, the server took the submission, and it is not submitted again. Only no
//! response at all, and those of a gateway that got none (502, 504), leave it unknown.

pub(crate) mod arcgis;
pub mod order;
pub mod process;

use reqwest::Url;
use serde_json::Value;

use super::address::Origin;
use super::response::{Exchange, JobResponse};
use super::{handle, words};
use crate::{Error, Refusal};

/// Of an id that is a whole body.
const LONGEST_ID: usize = 100;

/// What became of a submission.
#[derive(Clone, Debug, PartialEq)]
pub enum SubmitOutcome<H> {
    /// The server took it; the handle finds its job, or has what came of it.
    Begun(H),
    /// The server took it, and says nothing that finds the job again; its words.
    BegunWithoutHandle(String),
    /// Nothing was begun.
    NotBegun {
        /// Why.
        error: Error,
        /// Whether the same submission may be taken a little later.
        retryable: bool,
    },
    /// Nobody knows: the server did not answer.
    Unknown(Error),
}

impl<H> SubmitOutcome<H> {
    /// The same with another handle.
    pub fn map<T>(self, handle: impl FnOnce(H) -> T) -> SubmitOutcome<T> {
        match self {
            SubmitOutcome::Begun(found) => SubmitOutcome::Begun(handle(found)),
            SubmitOutcome::BegunWithoutHandle(words) => SubmitOutcome::BegunWithoutHandle(words),
            SubmitOutcome::NotBegun { error, retryable } => SubmitOutcome::NotBegun { error, retryable },
            SubmitOutcome::Unknown(error) => SubmitOutcome::Unknown(error),
        }
    }

    fn refused(refusal: Refusal) -> SubmitOutcome<H> {
        SubmitOutcome::NotBegun { error: Error::Refused(refusal), retryable: false }
    }

    fn without_handle(response: &JobResponse) -> SubmitOutcome<H> {
        let words = format!("HTTP status {}: {}", response.status, words::of(response));
        SubmitOutcome::BegunWithoutHandle(words)
    }
}

/// The error that a status of HTTP stands for, with the server's words.
pub(crate) fn by_status(response: &JobResponse) -> Error {
    let refusal = words::with_status(response);
    match response.status {
        401 => Error::Token(refusal),
        400..500 if !matches!(refusal.code, Some(400..600)) => {
            Error::told(Refusal { code: Some(response.status.into()), ..refusal })
        }
        // A server that fails, or what is in front of it, says nothing of a job, unless it says so itself.
        500.. if !matches!(refusal.code, Some(400..500)) => Error::Unavailable(refusal.to_string()),
        _ => Error::told(refusal),
    }
}

/// Whether a code, of HTTP or of a document, says that a gateway got no answer.
fn is_unanswered(code: i64) -> bool {
    matches!(code, 502 | 504 | 520 | 522 | 524 | 598 | 599)
}

/// Whether it says that nothing was begun, and that a later try may be taken.
fn is_turned_away(code: i64) -> bool {
    matches!(code, 408 | 425 | 429 | 503 | 521 | 523)
}

/// What is the same in all protocols: the response, if it is a 2xx. `redirected`: the handle that a redirect leads to.
fn taken<H>(
    exchange: Exchange,
    redirected: impl FnOnce(&JobResponse) -> Option<H>,
) -> Result<JobResponse, SubmitOutcome<H>> {
    let response = match exchange {
        Exchange::NotSent(error) => return Err(SubmitOutcome::NotBegun { error, retryable: true }),
        Exchange::NoAnswer(error) => return Err(SubmitOutcome::Unknown(error)),
        Exchange::Answered(response) => response,
    };
    let status = i64::from(response.status);
    let refusal = || words::with_status(&response);
    Err(match response.status {
        200..300 => return Ok(response),
        // It was begun and has failed already: its job says why.
        400 | 422 | 500 if leads_to_a_job(&response) => match redirected(&response) {
            Some(handle) => SubmitOutcome::Begun(handle),
            None => by_refusal(refusal()),
        },
        // Another resource has what came of it: the server took it.
        303 if !leads_to_a_sign_in(&response) => match redirected(&response) {
            Some(handle) => SubmitOutcome::Begun(handle),
            None => SubmitOutcome::BegunWithoutHandle(refusal().to_string()),
        },
        // A job's address is one, whatever the status; else it is to be submitted elsewhere, and was not taken.
        300..=399 => match redirected(&response).filter(|_| leads_to_a_job(&response)) {
            Some(handle) => SubmitOutcome::Begun(handle),
            None => SubmitOutcome::refused(refusal()),
        },
        401 => SubmitOutcome::NotBegun { error: Error::Token(refusal()), retryable: false },
        _ if is_turned_away(status) => {
            let error =
                response.retry_after().map_or_else(|| Error::Unavailable(refusal().to_string()), Error::Busy);
            SubmitOutcome::NotBegun { error, retryable: true }
        }
        _ if is_unanswered(status) => SubmitOutcome::Unknown(Error::Unavailable(refusal().to_string())),
        // Its handler died: it may have begun something before.
        500 if !words::are_the_servers_own(&response) => {
            SubmitOutcome::Unknown(Error::Unavailable(refusal().to_string()))
        }
        _ => by_refusal(Refusal { code: refusal().code.or(Some(status)), ..refusal() }),
    })
}

/// What it means that the server tells of a failure.
fn by_refusal<H>(refusal: Refusal) -> SubmitOutcome<H> {
    match refusal.code {
        Some(498 | 499) => SubmitOutcome::NotBegun { error: Error::Token(refusal), retryable: false },
        Some(403) => SubmitOutcome::NotBegun { error: Error::Forbidden(refusal), retryable: false },
        Some(code) if is_turned_away(code) => {
            SubmitOutcome::NotBegun { error: Error::Unavailable(refusal.to_string()), retryable: true }
        }
        Some(code) if is_unanswered(code) => SubmitOutcome::Unknown(Error::Unavailable(refusal.to_string())),
        _ => SubmitOutcome::refused(refusal),
    }
}

fn leads_to_a_job(response: &JobResponse) -> bool {
    let location = response.header(reqwest::header::LOCATION);
    location.split(['?', '#']).next().is_some_and(|path| path.contains("/jobs/"))
        && !leads_to_a_sign_in(response)
}

fn leads_to_a_sign_in(response: &JobResponse) -> bool {
    let location = response.header(reqwest::header::LOCATION).to_ascii_lowercase();
    ["login", "logon", "signin", "sign-in", "sign_in", "/oauth", "/sso", "saml", "/auth"]
        .iter()
        .any(|part| location.contains(part))
}

/// The first of the addresses that can be used. Where the submission went is none of a job.
fn usable(addresses: &[String], origin: &Origin<'_>) -> Option<String> {
    let of_a_job = |url: &Url| url.path().trim_end_matches('/') != origin.asked.path().trim_end_matches('/');
    addresses.iter().find_map(|address| origin.own(address).filter(of_a_job)).map(String::from)
}

/// The job that a response names which is one bare text or number: that of `201`, whose body has what was made.
fn named_alone(response: &JobResponse, origin: &Origin<'_>) -> Option<String> {
    if response.body.len() > LONGEST_ID {
        return None;
    }
    let id = match response.json() {
        Some(value @ (Value::String(_) | Value::Number(_))) => handle::id_of(&value)?,
        Some(_) => return None,
        None => response.text().trim().to_owned(),
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let is_an_id = id.len() <= LONGEST_ID
        && id.chars().all(plain)
        && id.contains(|letter: char| letter.is_ascii_digit())
        && !response.is_broken_json();
    is_an_id.then(|| origin.job(&id).map(String::from)).flatten()
}

/// The job that what is left of a broken document names.
fn salvaged(response: &JobResponse, origin: &Origin<'_>) -> Option<String> {
    let document = handle::salvaged(response)?;
    let by_id = || origin.job(&handle::id(&document, false)?).map(String::from);
    usable(&handle::in_document(&document), origin).or_else(by_id)
}
