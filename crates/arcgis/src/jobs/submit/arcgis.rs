//! What the response of one of ArcGIS's servers to a submission means.

use serde_json::Value;

use super::{SubmitOutcome, by_refusal, taken};
use crate::Refusal;
use crate::jobs::address::{Origin, segment};
use crate::jobs::fields::{field, first, unwrapped};
use crate::jobs::response::Exchange;
use crate::jobs::state::{self, JobState};
use crate::jobs::{handle, words};

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
    let refusal = words::failure(&document);
    let names_its_own = || handle::id(&document, false).is_some();
    // The id of an error is the request's.
    let found = find(&document)
        .filter(|_| refusal.is_none() || names_its_own())
        .or_else(|| lead_all(&handle::in_headers(&response)))
        .or_else(|| lead_all(&handle::in_document(&document)));
    if let Some(handle) = found {
        return SubmitOutcome::Begun(handle);
    }
    if let Some(refusal) = refusal {
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
