//! What the response to the execution of a process means (OGC API - Processes, and what came before it).

use serde_json::Value;

use super::{SubmitOutcome, by_refusal, named_alone, salvaged, taken, usable};
use crate::Refusal;
use crate::jobs::address::Origin;
use crate::jobs::fields::field;
use crate::jobs::response::{Exchange, Incomplete, JobResponse};
use crate::jobs::results::Results;
use crate::jobs::state::{self, JobState};
use crate::jobs::{handle, media, page, status, words, xml};

/// How a server answered in spite of what was preferred (RFC 7240, 3).
const APPLIED: &str = "preference-applied";
/// pygeoapi's words for a process that failed while its client waited, with the status 400.
const OF_A_FAILED_PROCESS: &str = "Error executing process";
/// What a document of results has, and that of a job has not.
const OF_RESULTS: [&str; 9] =
    ["outputs", "output", "results", "result", "value", "values", "features", "geometry", "coordinates"];

/// What became of the execution of a process.
#[derive(Clone, Debug, PartialEq)]
pub enum Executed {
    /// A job goes on there.
    Job {
        /// Where.
        location: String,
        /// What the same response has in its body: the results, if there is no job there.
        at_hand: Option<Results>,
    },
    /// It was done at once.
    Done(Results),
    /// It was tried at once and failed; the server's words.
    Failed(String),
}

impl Executed {
    fn job(location: String) -> Executed {
        Executed::Job { location, at_hand: None }
    }
}

/// Of a process of OGC API - Processes.
pub(crate) fn process(exchange: Exchange, origin: &Origin<'_>) -> SubmitOutcome<Executed> {
    let in_headers = |response: &JobResponse| {
        usable(&handle::in_headers(response), origin).map(|url| without_results(&url))
    };
    if let Exchange::Answered(response) = &exchange
        && has_failed_at_once(response)
        && in_headers(response).is_none()
    {
        return SubmitOutcome::Begun(Executed::Failed(words::of(response)));
    }
    let response = match taken(exchange, |response| in_headers(response).map(Executed::job)) {
        Ok(response) => response,
        Err(outcome) => return outcome,
    };
    let told = in_headers(&response);
    // What leads elsewhere than to jobs may lead people, where the body names the job.
    let leads_to_jobs = told.as_ref().is_some_and(|url| url.contains(origin.below));
    let named = || origin.job(&handle::id(&response.json()?, false)?).map(String::from);
    let location = if leads_to_jobs { told } else { named().or(told) };
    match location {
        Some(location) => of_a_job(response, location, origin),
        None => of_body(response, origin),
    }
}

/// Whether an error's response is about a process that was executed.
fn has_failed_at_once(response: &JobResponse) -> bool {
    let tells = || words::of(response).contains(OF_A_FAILED_PROCESS);
    matches!(response.status, 400 | 422 | 500) && (response.headers.contains_key(APPLIED) || tells())
}

/// A server without jobs may name one, too, and have the results beside its address.
fn of_a_job(response: JobResponse, location: String, origin: &Origin<'_>) -> SubmitOutcome<Executed> {
    let waited = response.headers.get(APPLIED).is_some_and(|value| value.as_bytes().starts_with(b"wait"));
    let at_hand = match response.status {
        200 | 201 if response.incomplete.is_none() => match of_body(response, origin) {
            SubmitOutcome::Begun(Executed::Done(results)) if !results.parts.is_empty() => Some(results),
            _ => None,
        },
        _ => None,
    };
    SubmitOutcome::Begun(match at_hand {
        Some(results) if waited => Executed::Done(results),
        at_hand => Executed::Job { location, at_hand },
    })
}

/// Of a response that was taken and whose headers name no job.
fn of_body(response: JobResponse, origin: &Origin<'_>) -> SubmitOutcome<Executed> {
    if let Some(url) = salvaged(&response, origin) {
        return SubmitOutcome::Begun(Executed::job(url));
    }
    if let Some(why) = &response.incomplete {
        let a_file = matches!(why, Incomplete::TooLong(_))
            && !response.media_type().is_empty()
            && response.status == 200;
        return if a_file && !page::is_page(&response) {
            SubmitOutcome::Begun(Executed::Done(Results::missing(format!("the results are not kept: {why}"))))
        } else {
            SubmitOutcome::without_handle(&response)
        };
    }
    if let Some(document) = response.json().filter(Value::is_object) {
        return of_document(response, &document, origin);
    }
    if response.is_broken_json() && !media::is_a_file(&response.body) {
        return SubmitOutcome::without_handle(&response);
    }
    let excerpt = response.excerpt();
    if excerpt.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        let text = response.text();
        if let Some(exception) = xml::exception(&text) {
            return SubmitOutcome::refused(Refusal { message: exception, ..Refusal::default() });
        }
        if let Some(job) = xml::wps_job(&text) {
            return of_wps_job(response, job, origin);
        }
        if page::is_page(&response) && page::tells_of_trouble(&text) {
            return SubmitOutcome::without_handle(&response);
        }
    }
    if response.status == 201
        && let Some(url) = named_alone(&response, origin)
    {
        return SubmitOutcome::Begun(Executed::job(url));
    }
    match (response.status, status::word(&response)) {
        (_, Some(state)) if state.has_ended() && state != JobState::Succeeded => {
            SubmitOutcome::Begun(Executed::Failed(words::of(&response)))
        }
        (_, Some(state)) if !state.has_ended() => SubmitOutcome::without_handle(&response),
        (202, _) => SubmitOutcome::without_handle(&response),
        (201, _) if response.is_empty() || is_said(&response) => SubmitOutcome::without_handle(&response),
        _ if response.is_empty() => {
            SubmitOutcome::Begun(Executed::Done(Results::missing("the server's answer is empty")))
        }
        _ => SubmitOutcome::Begun(Executed::Done(Results::of(response))),
    }
}

/// Whether the body is words for people, rather than a file.
fn is_said(response: &JobResponse) -> bool {
    let scalar = response.json().is_some_and(|value| !value.is_array());
    let plain = matches!(response.media_type().as_str(), "" | "text/plain" | "text/html");
    scalar || (plain && !media::is_a_file(&response.body))
}

fn of_document(response: JobResponse, document: &Value, origin: &Origin<'_>) -> SubmitOutcome<Executed> {
    let created = matches!(response.status, 201 | 202);
    let word = status::at_top(document).filter(|state| *state != JobState::Succeeded);
    let of_a_job = status::tells_of_a_job(document) || word.is_some();
    let state = if of_a_job { word.or_else(|| state::find(document)) } else { None };
    let failed = state.as_ref().is_some_and(|state| state.has_ended() && *state != JobState::Succeeded);
    // Done in spite of its status, or what made it.
    let results = response.status == 201 && !of_a_job && has_results(document);
    if of_a_job || (created && !results) || status::has_nothing_else(document) {
        let by_id = || origin.job(&handle::id(document, !failed)?).map(String::from);
        if let Some(url) = usable(&handle::in_document(document), origin).or_else(by_id) {
            return SubmitOutcome::Begun(Executed::job(without_results(&url)));
        }
    }
    let goes_on = state.as_ref().is_some_and(|state| !state.has_ended());
    if let Some(refusal) = words::problem(document).filter(|_| !goes_on && !status::tells_of_a_job(document))
    {
        return by_refusal(refusal);
    }
    match state {
        None if field(document, "success") == Some(&Value::Bool(false)) => {
            by_refusal(words::refusal(document))
        }
        None if created && !results => SubmitOutcome::without_handle(&response),
        None | Some(JobState::Succeeded) => SubmitOutcome::Begun(Executed::Done(Results::of(response))),
        Some(_) if failed => {
            let words = status::message(document).unwrap_or_else(|| words::of(&response));
            SubmitOutcome::Begun(Executed::Failed(words))
        }
        Some(_) => SubmitOutcome::without_handle(&response),
    }
}

/// Whether a document is one of results, whatever status of HTTP it came with.
fn has_results(document: &Value) -> bool {
    handle::id(document, false).is_none()
        && OF_RESULTS.iter().any(|name| field(document, name).is_some_and(|value| !value.is_null()))
}

pub(super) fn of_wps_job(
    response: JobResponse,
    job: xml::WpsJob,
    origin: &Origin<'_>,
) -> SubmitOutcome<Executed> {
    let by_id = || job.id.as_deref().and_then(|id| origin.job(id));
    let ended = job.state.as_ref().is_some_and(JobState::has_ended);
    match job.state {
        Some(JobState::Succeeded) if job.has_outputs => {
            SubmitOutcome::Begun(Executed::Done(Results::of(response)))
        }
        Some(state) if ended && state != JobState::Succeeded => {
            SubmitOutcome::Begun(Executed::Failed(job.message.unwrap_or_else(|| words::of(&response))))
        }
        _ => match job.location.as_deref().and_then(|told| origin.own(told)).or_else(by_id) {
            Some(url) => SubmitOutcome::Begun(Executed::job(url.into())),
            None => SubmitOutcome::without_handle(&response),
        },
    }
}

/// The job whose results are there.
fn without_results(url: &str) -> String {
    url.strip_suffix("/results")
        .or_else(|| url.split_once("/results?").map(|(job, _)| job))
        .unwrap_or(url)
        .to_owned()
}
