//! What finds a job again in the response to its submission.

use reqwest::header::{self, HeaderName};
use serde_json::Value;

use super::fields::{field, first, is_named, unwrapped};
use super::response::JobResponse;

/// Fields of a document that have the address of its job.
const ADDRESSES: &[&str] = &[
    "joburl",
    "statusurl",
    "statusuri",
    "statuslocation",
    "statusquerygeturi",
    "monitorurl",
    "monitoruri",
    "joburi",
    "joblocation",
    "location",
    "pollurl",
    "pollinguri",
    "pollingurl",
    "operationlocation",
    "selflink",
];
/// Relations of links that lead to a job, in the order in which they count.
const RELATIONS: &[&str] = &["monitor", "status", "job", "self"];
/// An id that no echo of what was sent can be.
const OWN_IDS: &[&str] = &["jobid", "executionid", "operationid"];
/// Whole numbers below are exact in a floating-point number.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
const IDS: &[&str] = &["jobid", "executionid", "operationid", "id"];

/// The addresses in the headers that lead to a job.
pub(crate) fn in_headers(response: &JobResponse) -> Vec<String> {
    let named = ["operation-location", "azure-asyncoperation"].map(HeaderName::from_static);
    let mut found: Vec<String> =
        [header::LOCATION].into_iter().chain(named).map(|name| response.header(name)).collect();
    let links: Vec<Value> = response
        .headers
        .get_all(header::LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').filter_map(link_of).collect::<Vec<_>>())
        .collect();
    found.extend(related(&links, &RELATIONS[..3]));
    // What the body is about (RFC 9110, 8.7), where that is a job.
    let about = response.header(header::CONTENT_LOCATION);
    if matches!(response.status, 201 | 202) && about.contains("/jobs/") {
        found.push(about);
    }
    found.retain(|address| !address.is_empty());
    found
}

/// `<address>; rel="monitor"`.
fn link_of(text: &str) -> Option<Value> {
    let (address, rest) = text.trim().strip_prefix('<')?.split_once('>')?;
    let relation = rest.split(';').find_map(|part| part.trim().strip_prefix("rel="))?;
    Some(serde_json::json!({"href": address, "rel": relation.trim_matches('"')}))
}

/// The addresses in the document that lead to its job.
pub(crate) fn in_document(document: &Value) -> Vec<String> {
    let addresses = |document: &Value| -> Option<Vec<String>> {
        let mut found: Vec<String> =
            ADDRESSES.iter().filter_map(|name| field(document, name)?.as_str()).map(str::to_owned).collect();
        for name in ["links", "link"] {
            match field(document, name) {
                Some(Value::Array(links)) => found.extend(related(links, RELATIONS)),
                Some(Value::Object(links)) => found.extend(RELATIONS.iter().filter_map(|relation| {
                    let (_, link) = links.iter().find(|(key, _)| is_named(key, relation))?;
                    link.as_str().or_else(|| field(link, "href")?.as_str()).map(str::to_owned)
                })),
                _ => {}
            }
        }
        found.retain(|address| !address.trim().is_empty());
        (!found.is_empty()).then_some(found)
    };
    unwrapped(document, &addresses).unwrap_or_default()
}

/// What can be read of a document that ends too early: its fields that are whole texts or numbers.
pub(crate) fn salvaged(response: &JobResponse) -> Option<Value> {
    if response.incomplete.is_none() && !response.is_broken_json() {
        return None;
    }
    let text = response.excerpt();
    let mut rest = text.trim_start_matches('\u{feff}').trim_start().strip_prefix('{')?;
    let mut fields = serde_json::Map::new();
    // A value that is cut off is followed by nothing.
    while let Some((name, value, after)) = next_field(rest) {
        fields.insert(name, value);
        rest = after;
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// `"name": value,` at the beginning, and what follows it.
fn next_field(text: &str) -> Option<(String, Value, &str)> {
    let mut name = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let key = name.next()?.ok()?;
    let rest = text[name.byte_offset()..].trim_start().strip_prefix(':')?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let after = rest[values.byte_offset()..].trim_start();
    let after = after.strip_prefix(',').or_else(|| after.starts_with('}').then_some(""))?;
    Some((key, value, after))
}

/// The addresses in a job's document that lead to its results.
pub(crate) fn of_results(document: &Value) -> Vec<String> {
    let links = unwrapped(document, &|inner| field(inner, "links").and_then(Value::as_array));
    let of_documents = |links: &Vec<Value>| -> Vec<Value> {
        let kind = |link: &Value| {
            field(link, "type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
        };
        links.iter().filter(|link| !kind(link).contains("html")).cloned().collect()
    };
    links.map(|links| related(&of_documents(links), &["results"])).unwrap_or_default()
}

fn related(links: &[Value], relations: &[&str]) -> Vec<String> {
    let has = |link: &Value, relation: &str| {
        let told = field(link, "rel").and_then(Value::as_str).unwrap_or_default();
        told.split_whitespace()
            .any(|one| one.rsplit(['/', ':', '#']).next().unwrap_or(one).eq_ignore_ascii_case(relation))
    };
    let is_page = |link: &&Value| {
        field(link, "type")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
    };
    // Some servers link each resource in several formats; what is for people comes last.
    let with = |relation: &&str| {
        let links = || links.iter().filter(|link| has(link, relation));
        links().find(|link| !is_page(link)).or_else(|| links().next())
    };
    let found = relations.iter().filter_map(with);
    found.filter_map(|link| field(link, "href")?.as_str()).map(str::to_owned).collect()
}

/// The job's id; `any`: under the name `id` alone, too, which may be something else's.
pub(crate) fn id(document: &Value, any: bool) -> Option<String> {
    let names = if any { IDS } else { OWN_IDS };
    unwrapped(document, &|document| names.iter().find_map(|name| id_of(field(document, name)?)))
}

/// An id that is a text or a whole number.
pub(crate) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        // `7.0`, as languages write it that have only one kind of number.
        Value::Number(number) => {
            let whole = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < LARGEST_EXACT)?;
            Some(format!("{whole:.0}"))
        }
        Value::Array(parts) => parts.first().and_then(id_of),
        Value::Object(_) => first(value, IDS).or_else(|| field(value, "itemid")).and_then(id_of),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::response::tests::response;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_is_found_in_headers_and_documents() {
        for (name, value) in [
            ("location", "/jobs/7"),
            ("operation-location", "/jobs/7"),
            ("azure-asyncoperation", "/jobs/7"),
            ("link", "</>; rel=\"up\", </jobs/7>; rel=\"monitor\""),
            ("link", "</jobs/7>; rel=http://www.opengis.net/def/rel/ogc/1.0/status"),
        ] {
            assert_eq!(in_headers(&response(202, &[(name, value)], "")), ["/jobs/7"], "{name}");
        }
        for document in [
            json!({"links": [{"rel": "self", "href": "/processes/x"}, {"rel": "monitor", "href": "/jobs/7"}]}),
            json!({"_links": {"self": {"href": "/jobs/7"}}}),
            json!({"links": {"status": "/jobs/7"}}),
            json!({"statusUrl": "/jobs/7"}),
            json!({"job": {"job_url": "/jobs/7"}}),
        ] {
            assert_eq!(in_document(&document).first().map(String::as_str), Some("/jobs/7"), "{document}");
        }
        let results = json!({"links": [
            {"rel": "results", "type": "text/html", "href": "/jobs/7/results?f=html"},
            {"rel": "results", "type": "application/json", "href": "/jobs/7/results?f=json"},
        ]});
        assert_eq!(of_results(&results), ["/jobs/7/results?f=json"]);
        assert_eq!(id(&json!({"jobId": 7}), false).as_deref(), Some("7"));
        assert_eq!(id(&json!({"id": "7"}), true).as_deref(), Some("7"));
        assert_eq!(id(&json!({"id": "7"}), false), None);
        assert_eq!(id(&json!({"jobId": 7.0}), false).as_deref(), Some("7"));
        for none in
            [json!({"jobId": ""}), json!({"jobId": 7.5}), json!({"jobId": true}), json!({"jobId": {}})]
        {
            assert_eq!(id(&none, true), None, "{none}");
        }
        assert_eq!(id(&json!({"jobId": null, "data": {"jobID": "7"}}), false).as_deref(), Some("7"));
    }
}
