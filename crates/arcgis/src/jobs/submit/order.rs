//! What the response to an order over plain HTTP means.

use serde_json::Value;

use super::process::{Executed, of_wps_job};
use super::{SubmitOutcome, by_refusal, named_alone, salvaged, taken, usable};
use crate::Refusal;
use crate::jobs::address::Origin;
use crate::jobs::fields::{field, first, unwrapped};
use crate::jobs::response::{Exchange, JobResponse};
use crate::jobs::results::{Part, Results};
use crate::jobs::state::{self, JobState};
use crate::jobs::status::JobStatus;
use crate::jobs::{handle, media, page, words, xml};

/// What became of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Ordered {
    /// A job goes on there.
    Job {
        /// Where.
        location: String,
        /// What the same response says in its body: the order's end, if there is no job there.
        at_hand: Option<Box<Ordered>>,
    },
    /// It has ended already, with what the server says of it, and the files that it sent.
    Done(JobStatus, Option<Results>),
}

impl Ordered {
    fn job(location: String) -> Ordered {
        Ordered::Job { location, at_hand: None }
    }
}

/// Of an order to a server that takes jobs over plain HTTP.
pub(crate) fn order(exchange: Exchange, origin: &Origin<'_>) -> SubmitOutcome<Ordered> {
    let in_headers = |response: &JobResponse| usable(&handle::in_headers(response), origin);
    let response = match taken(exchange, |response| in_headers(response).map(Ordered::job)) {
        Ok(response) => response,
        Err(outcome) => return outcome,
    };
    match in_headers(&response) {
        Some(location) => of_a_job(response, location, origin),
        None => of_body(response, origin),
    }
}

/// A server without jobs may name one, too, and have the end of the order beside its address.
fn of_a_job(response: JobResponse, location: String, origin: &Origin<'_>) -> SubmitOutcome<Ordered> {
    let says_something = response.status == 200 && response.incomplete.is_none() && !response.is_empty();
    let at_hand = match says_something.then(|| of_body(response, origin)) {
        Some(SubmitOutcome::Begun(done @ Ordered::Done(..))) if done.says_how() => Some(Box::new(done)),
        _ => None,
    };
    SubmitOutcome::Begun(Ordered::Job { location, at_hand })
}

impl Ordered {
    /// Whether it has ended in words, or with something, rather than because nothing says otherwise.
    fn says_how(&self) -> bool {
        match self {
            Ordered::Job { .. } => false,
            Ordered::Done(status, results) => {
                results.is_some()
                    || status.result.is_some()
                    || status.message.is_some()
                    || status.state != JobState::Succeeded
            }
        }
    }
}

/// Of a response that was taken and whose headers name no job.
fn of_body(response: JobResponse, origin: &Origin<'_>) -> SubmitOutcome<Ordered> {
    if let Some(url) = salvaged(&response, origin) {
        return SubmitOutcome::Begun(Ordered::job(url));
    }
    let created = matches!(response.status, 201 | 202);
    if response.incomplete.is_some() || (created && response.is_empty()) {
        return SubmitOutcome::without_handle(&response);
    }
    if response.is_empty() {
        return SubmitOutcome::Begun(Ordered::Done(JobStatus::of(JobState::Succeeded), None));
    }
    match response.json() {
        Some(document @ Value::Object(_)) => of_order_document(&response, &document, origin),
        Some(Value::Bool(false)) => SubmitOutcome::refused(words::with_status(&response)),
        _ if created && !media::is_a_file(&response.body) => match named_alone(&response, origin) {
            Some(url) => SubmitOutcome::Begun(Ordered::job(url)),
            None => of_order_words(response, origin),
        },
        _ if response.status == 202 => SubmitOutcome::without_handle(&response),
        Some(value) => match value.as_str().map(JobState::read) {
            Some(state) if !matches!(state, JobState::Unknown(_)) => of_word(&response, state),
            _ => {
                let status = JobStatus { result: Some(value), ..JobStatus::of(JobState::Succeeded) };
                SubmitOutcome::Begun(Ordered::Done(status, None))
            }
        },
        None => of_order_text(response, origin),
    }
}

fn of_order_document(
    response: &JobResponse,
    document: &Value,
    origin: &Origin<'_>,
) -> SubmitOutcome<Ordered> {
    let created = matches!(response.status, 201 | 202);
    let state = state::find(document);
    let has_result = unwrapped(document, &|inner| first(inner, &["result", "output", "outputs"])).is_some();
    let job = |any: bool| {
        let by_id = || handle::id(document, any).and_then(|id| origin.job(&id)).map(String::from);
        usable(&handle::in_document(document), origin).or_else(by_id)
    };
    let word = field(document, "status").and_then(Value::as_str).unwrap_or_default();
    let of_the_response = ["ok", "success"].iter().any(|envelope| word.eq_ignore_ascii_case(envelope));
    let done =
        |state: JobState| SubmitOutcome::Begun(Ordered::Done(JobStatus::of_document(state, document), None));
    let found = |url: Option<String>| match url {
        Some(url) => SubmitOutcome::Begun(Ordered::job(url)),
        None => SubmitOutcome::without_handle(response),
    };
    match state {
        // "Your order is all right" is said of a job that goes on, too.
        Some(JobState::Succeeded) if of_the_response && !has_result => match job(created) {
            Some(url) => SubmitOutcome::Begun(Ordered::job(url)),
            None if created => SubmitOutcome::without_handle(response),
            None => done(JobState::Succeeded),
        },
        Some(state) if state.has_ended() => done(state),
        Some(JobState::Unknown(_)) => match (job(true), words::failure(document)) {
            (None, Some(refusal)) => by_refusal(refusal),
            (url, _) => found(url),
        },
        Some(_) => found(job(true)),
        None => match words::failure(document) {
            Some(refusal) => by_refusal(refusal),
            None if has_result && response.status != 202 => done(JobState::Succeeded),
            None => match job(true) {
                Some(url) => SubmitOutcome::Begun(Ordered::job(url)),
                None if created => SubmitOutcome::without_handle(response),
                None => done(JobState::Succeeded),
            },
        },
    }
}

/// Words for people beside "created" and "accepted", which are no end, unless they tell of one.
fn of_order_words(response: JobResponse, origin: &Origin<'_>) -> SubmitOutcome<Ordered> {
    let words = SubmitOutcome::without_handle(&response);
    match of_order_text(response, origin) {
        SubmitOutcome::Begun(Ordered::Done(status, _)) if status.state == JobState::Succeeded => words,
        other => other,
    }
}

fn of_order_text(response: JobResponse, origin: &Origin<'_>) -> SubmitOutcome<Ordered> {
    let text = response.text();
    if response.is_broken_json() {
        return SubmitOutcome::without_handle(&response);
    }
    if let Some(exception) = xml::exception(&text) {
        return SubmitOutcome::refused(Refusal { message: exception, ..Refusal::default() });
    }
    if let Some(job) = xml::wps_job(&text) {
        return match of_wps_job(response, job, origin) {
            SubmitOutcome::Begun(Executed::Job { location, .. }) => {
                SubmitOutcome::Begun(Ordered::job(location))
            }
            SubmitOutcome::Begun(Executed::Done(results)) => {
                SubmitOutcome::Begun(Ordered::Done(JobStatus::of(JobState::Succeeded), Some(results)))
            }
            SubmitOutcome::Begun(Executed::Failed(words)) => {
                let status = JobStatus { message: Some(words), ..JobStatus::of(JobState::Failed) };
                SubmitOutcome::Begun(Ordered::Done(status, None))
            }
            other => other.map(|_| Ordered::Done(JobStatus::of(JobState::Failed), None)),
        };
    }
    if page::is_page(&response) && page::tells_of_trouble(&text) {
        return SubmitOutcome::without_handle(&response);
    }
    match JobState::read(&text) {
        JobState::Unknown(_) => {
            let results = Results::of(response);
            let message = results.parts.first().and_then(Part::text).filter(|text| text.len() < 1_000);
            let status = JobStatus { message, ..JobStatus::of(JobState::Succeeded) };
            SubmitOutcome::Begun(Ordered::Done(status, Some(results)))
        }
        state => of_word(&response, state),
    }
}

/// A state in one word, which finds no job.
fn of_word(response: &JobResponse, state: JobState) -> SubmitOutcome<Ordered> {
    if state.has_ended() {
        let message = Some(response.text().trim().to_owned());
        return SubmitOutcome::Begun(Ordered::Done(JobStatus { message, ..JobStatus::of(state) }, None));
    }
    SubmitOutcome::without_handle(response)
}
