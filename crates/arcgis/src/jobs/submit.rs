//! What the response to a submission means: was a job begun, where is it, may it be submitted again.
//!
//! A 2xx is knowledge: whatever else is in it, the server took the submission, and it is not submitted again. Only no
//! response at all, and those of a gateway that got none (502, 504), leave it unknown.

use serde_json::Value;

use super::address::{Origin, segment};
use super::fields::{field, first, unwrapped};
use super::response::{Exchange, Incomplete, JobResponse};
use super::results::Results;
use super::state::{self, JobState};
use super::status::{self, JobStatus};
use super::{handle, media, page, words, xml};
use crate::{Error, Refusal};

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

/// What became of the execution of a process.
#[derive(Clone, Debug, PartialEq)]
pub enum Executed {
    /// A job goes on there.
    Job(String),
    /// It was done at once.
    Done(Results),
    /// It was tried at once and failed; the server's words.
    Failed(String),
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Ordered {
    /// A job goes on there.
    Job(String),
    /// It has ended already, with what the server says of it, and the files that it sent.
    Done(JobStatus, Option<Results>),
}

/// The error that a status of HTTP stands for, with the server's words.
pub(crate) fn by_status(response: &JobResponse) -> Error {
    let refusal = words::with_status(response);
    match response.status {
        401 => Error::Token(refusal),
        400..500 if !matches!(refusal.code, Some(400..600)) => {
            Error::told(Refusal { code: Some(response.status.into()), ..refusal })
        }
        _ => Error::told(refusal),
    }
}

/// Whether a code, of HTTP or of a document, says that a gateway got no answer.
fn is_unanswered(code: i64) -> bool {
    matches!(code, 502 | 504 | 520 | 524 | 598 | 599)
}

/// Whether it says that nothing was begun, and that a later try may be taken.
fn is_turned_away(code: i64) -> bool {
    matches!(code, 408 | 425 | 429 | 503)
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

/// The first of the addresses that can be used.
fn usable(addresses: &[String], origin: &Origin<'_>) -> Option<String> {
    addresses.iter().find_map(|address| origin.own(address)).map(String::from)
}

/// The job that what is left of a broken document names.
fn salvaged(response: &JobResponse, origin: &Origin<'_>) -> Option<String> {
    let document = handle::salvaged(response)?;
    let by_id = || origin.job(&handle::id(&document, false)?).map(String::from);
    usable(&handle::in_document(&document), origin).or_else(by_id)
}

/// Of a process of OGC API - Processes.
pub(crate) fn process(exchange: Exchange, origin: &Origin<'_>) -> SubmitOutcome<Executed> {
    let redirected = |response: &JobResponse| {
        usable(&handle::in_headers(response), origin).map(|url| Executed::Job(without_results(&url)))
    };
    let response = match taken(exchange, redirected) {
        Ok(response) => response,
        Err(outcome) => return outcome,
    };
    if let Some(url) = usable(&handle::in_headers(&response), origin) {
        return SubmitOutcome::Begun(Executed::Job(url));
    }
    if let Some(url) = salvaged(&response, origin) {
        return SubmitOutcome::Begun(Executed::Job(url));
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
        return of_process_document(response, &document, origin);
    }
    if response.is_broken_json() && !media::is_a_file(&response.body) {
        return SubmitOutcome::without_handle(&response);
    }
    if response.body.trim_ascii_start().starts_with(b"<") || response.body.starts_with(b"\xef\xbb\xbf<") {
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
    match response.status {
        201 if response.is_empty() => SubmitOutcome::without_handle(&response),
        202 => SubmitOutcome::without_handle(&response),
        _ if response.is_empty() => {
            SubmitOutcome::Begun(Executed::Done(Results::missing("the server's answer is empty")))
        }
        _ => SubmitOutcome::Begun(Executed::Done(Results::of(response))),
    }
}

fn of_process_document(
    response: JobResponse,
    document: &Value,
    origin: &Origin<'_>,
) -> SubmitOutcome<Executed> {
    let created = matches!(response.status, 201 | 202);
    let of_a_job = status::tells_of_a_job(document);
    if of_a_job || created || status::has_nothing_else(document) {
        let by_id = || {
            let id = handle::id(document, created || of_a_job || status::has_nothing_else(document))?;
            origin.job(&id).map(String::from)
        };
        if let Some(url) = usable(&handle::in_document(document), origin).or_else(by_id) {
            return SubmitOutcome::Begun(Executed::Job(url));
        }
    }
    if let Some(refusal) = words::problem(document).filter(|_| !of_a_job) {
        return by_refusal(refusal);
    }
    if !of_a_job {
        return if created {
            SubmitOutcome::without_handle(&response)
        } else {
            SubmitOutcome::Begun(Executed::Done(Results::of(response)))
        };
    }
    match state::find(document) {
        Some(JobState::Succeeded) => SubmitOutcome::Begun(Executed::Done(Results::of(response))),
        Some(state) if state.has_ended() => {
            let words = status::message(document).unwrap_or_else(|| words::of(&response));
            SubmitOutcome::Begun(Executed::Failed(words))
        }
        _ => SubmitOutcome::without_handle(&response),
    }
}

fn of_wps_job(response: JobResponse, job: xml::WpsJob, origin: &Origin<'_>) -> SubmitOutcome<Executed> {
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
            Some(url) => SubmitOutcome::Begun(Executed::Job(url.into())),
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

/// Of an order to a server that takes jobs over plain HTTP.
pub(crate) fn order(exchange: Exchange, origin: &Origin<'_>) -> SubmitOutcome<Ordered> {
    let in_headers = |response: &JobResponse| usable(&handle::in_headers(response), origin).map(Ordered::Job);
    let response = match taken(exchange, in_headers) {
        Ok(response) => response,
        Err(outcome) => return outcome,
    };
    if let Some(job) = in_headers(&response) {
        return SubmitOutcome::Begun(job);
    }
    if let Some(url) = salvaged(&response, origin) {
        return SubmitOutcome::Begun(Ordered::Job(url));
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
        _ if created => SubmitOutcome::without_handle(&response),
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
        Some(url) => SubmitOutcome::Begun(Ordered::Job(url)),
        None => SubmitOutcome::without_handle(response),
    };
    match state {
        // "Your order is all right" is said of a job that goes on, too.
        Some(JobState::Succeeded) if of_the_response && !has_result => match job(created) {
            Some(url) => SubmitOutcome::Begun(Ordered::Job(url)),
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
                Some(url) => SubmitOutcome::Begun(Ordered::Job(url)),
                None if created => SubmitOutcome::without_handle(response),
                None => done(JobState::Succeeded),
            },
        },
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
            SubmitOutcome::Begun(Executed::Job(url)) => SubmitOutcome::Begun(Ordered::Job(url)),
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
            let message = results.parts.first().and_then(super::Part::text).filter(|text| text.len() < 1_000);
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

/// The document of one of ArcGIS's servers that took a submission, or what it means that it is none. `find`: the handle
/// in a document; `lead`: the handle that an address leads to.
fn of_arcgis<H>(
    exchange: Exchange,
    find: impl Fn(&Value) -> Option<H>,
    lead: impl Fn(&str) -> Option<H>,
) -> SubmitOutcome<H> {
    let lead_all = |addresses: &[String]| addresses.iter().find_map(|address| lead(address));
    let response = match taken(exchange, |response| lead_all(&handle::in_headers(response))) {
        Ok(response) => response,
        Err(outcome) => return outcome,
    };
    let Some(document) = response.json().or_else(|| handle::salvaged(&response)) else {
        return match lead_all(&handle::in_headers(&response)) {
            Some(handle) => SubmitOutcome::Begun(handle),
            None => SubmitOutcome::without_handle(&response),
        };
    };
    let found = find(&document)
        .or_else(|| lead_all(&handle::in_headers(&response)))
        .or_else(|| lead_all(&handle::in_document(&document)));
    if let Some(handle) = found {
        return SubmitOutcome::Begun(handle);
    }
    if let Some(refusal) = words::failure(&document) {
        return by_refusal(refusal);
    }
    match state::find(&document) {
        Some(state) if state.has_ended() && state != JobState::Succeeded => {
            SubmitOutcome::refused(Refusal { message: words::of(&response), ..Refusal::default() })
        }
        _ => SubmitOutcome::without_handle(&response),
    }
}

/// Of a geoprocessing task: the job's id.
pub(crate) fn geoprocessing(exchange: Exchange) -> SubmitOutcome<String> {
    let lead = |address: &str| {
        let (_, below) = address.split_once("/jobs/")?;
        let id = below.split(['/', '?', '#']).next()?;
        segment(id)
    };
    of_arcgis(exchange, |document| handle::id(document, true).filter(|id| segment(id).is_some()), lead)
}

/// Of a notebook at a Notebook Server: the address of its job. `by_id`: that of the job with an id.
pub(crate) fn notebook(
    exchange: Exchange,
    origin: &Origin<'_>,
    by_id: impl Fn(&str) -> Option<String>,
) -> SubmitOutcome<String> {
    let lead = |address: &str| origin.own(address).map(String::from);
    let find = |document: &Value| {
        let address = unwrapped(document, &|inner| field(inner, "joburl")?.as_str());
        address.and_then(lead).or_else(|| by_id(&handle::id(document, false)?))
    };
    of_arcgis(exchange, find, lead)
}

/// Of a job of Workflow Manager: its id, which should be `ours`.
pub(crate) fn workflow(exchange: Exchange, ours: &str) -> SubmitOutcome<String> {
    let is_ours = |made: &String| made.trim_matches(['{', '}']).eq_ignore_ascii_case(ours);
    let find = |document: &Value| {
        let listed =
            unwrapped(document, &|inner| first(inner, &["jobids", "jobs"]).and_then(Value::as_array));
        let mut ids: Vec<String> = listed.into_iter().flatten().filter_map(handle::id_of).collect();
        ids.extend(handle::id(document, true));
        ids.extend(unwrapped(document, &|inner| handle::id_of(field(inner, "jobids")?)));
        ids.retain(|id| segment(id).is_some());
        if ids.iter().any(is_ours) { Some(ours.to_owned()) } else { ids.into_iter().next() }
    };
    let lead = |address: &str| segment(address.split_once("/jobs/")?.1.split(['/', '?', '#']).next()?);
    of_arcgis(exchange, find, lead)
}

/// Of a report at a portal: its item's id.
pub(crate) fn report(exchange: Exchange) -> SubmitOutcome<String> {
    let find = |document: &Value| {
        let named = unwrapped(document, &|inner| {
            first(inner, &["itemid", "itemids", "reportitemid", "item", "id"]).and_then(handle::id_of)
        });
        named.filter(|id| segment(id).is_some())
    };
    of_arcgis(exchange, find, |_| None)
}
