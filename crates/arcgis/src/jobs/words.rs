//! A server's own words for what went wrong, in any of the shapes that servers have for them.

use reqwest::header;
use serde_json::Value;

use super::fields::{field, first};
use super::response::JobResponse;
use super::{page, shown, xml};
use crate::Refusal;

/// Of a server's words that are shown.
const LONGEST: usize = 1_000;
/// The longest document that tells of a failure.
const LONGEST_FAILURE: usize = 64 << 10;
/// Where an error has its text.
const MESSAGES: &[&str] = &[
    "detail",
    "description",
    "message",
    "messages",
    "errordescription",
    "errormessage",
    "statusmessage",
    "exceptiontext",
    "reason",
    "cause",
    "title",
    "text",
    "msg",
    "error",
    "errors",
    "exceptions",
    "exception",
];
/// What an object that is an error has one of.
const OF_ERRORS: &[&str] =
    &["code", "message", "messages", "details", "detail", "description", "title", "reason", "errors", "type"];

/// Whether what stands under `error` tells of one: an output of a process may have that name, too.
pub(crate) fn is_error(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_i64().is_some_and(|code| (400..600).contains(&code)),
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(parts) => parts.iter().any(is_error),
        Value::Object(_) => first(value, OF_ERRORS).is_some(),
    }
}

/// The failure that a document tells of in place of what was asked for, if it does.
pub(crate) fn failure(document: &Value) -> Option<Refusal> {
    if !document.is_object() {
        return None;
    }
    if let Some(error) = field(document, "error").filter(|error| is_error(error)) {
        return Some(if error.is_object() { refusal(error) } else { refusal(document) });
    }
    let flag = |name: &str| field(document, name).and_then(Value::as_bool);
    let number =
        |name: &str| field(document, name).and_then(code_of).filter(|code| (400..600).contains(code));
    let word = field(document, "status").and_then(Value::as_str).unwrap_or_default();
    let failed = ["error", "failed", "failure", "fail"].iter().any(|name| word.eq_ignore_ascii_case(name));
    let has_output = || first(document, &["result", "results", "data", "outputs"]).is_some();
    let told = |name: &str| {
        field(document, name).is_some_and(|value| match value {
            Value::Array(parts) => !parts.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            _ => false,
        }) && !has_output()
    };
    // RFC 7807, and what OGC's servers made before it.
    let kind = field(document, "type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let problem = kind.contains("exception") || kind.contains("problem") || kind.contains("error");
    let exception = document.as_object().is_some_and(|fields| fields.len() <= 3)
        && field(document, "code").is_some_and(Value::is_string)
        && first(document, &["description", "message"]).is_some_and(Value::is_string);
    let tells = flag("success") == Some(false)
        || flag("ok") == Some(false)
        || failed
        || number("code").is_some()
        || number("status").is_some()
        || number("statuscode").is_some()
        || (problem && first(document, &["title", "detail"]).is_some())
        || exception
        || ["errors", "exceptions", "exception", "exceptionreport"].iter().any(|name| told(name));
    tells.then(|| refusal(document))
}

/// The same, of what may as well be a result that has fields of these names: only what is nothing else.
pub(crate) fn problem(document: &Value) -> Option<Refusal> {
    let fields = document.as_object()?;
    let error = field(document, "error").filter(|error| is_error(error));
    let names_it = error.is_some_and(|error| error.is_object() || fields.len() <= 3);
    let has = |name: &str| field(document, name).is_some_and(|value| !value.is_null());
    let status = field(document, "status").and_then(code_of).is_some_and(|code| (400..600).contains(&code));
    let kind = field(document, "type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let rfc_7807 =
        (has("title") || has("detail")) && (status || kind.contains("exception") || kind.contains("problem"));
    let alone = [
        "code",
        "description",
        "message",
        "details",
        "locator",
        "exceptions",
        "errors",
        "error",
        "success",
        "status",
    ];
    let nothing_else = fields.keys().all(|key| alone.iter().any(|name| super::fields::is_named(key, name)));
    if names_it || rfc_7807 || nothing_else { failure(document) } else { None }
}

/// What an object that tells of a failure says.
pub(crate) fn refusal(document: &Value) -> Refusal {
    let code = ["code", "statuscode", "status", "httpstatus"]
        .iter()
        .find_map(|name| code_of(field(document, name)?));
    // A publishing status holds JSON inside of a text.
    let inner = field(document, "statusmessage").and_then(Value::as_str);
    if let Some(inner) =
        inner.and_then(|text| serde_json::from_str::<Value>(text).ok()).filter(Value::is_object)
    {
        return refusal(&inner);
    }
    let mut texts: Vec<String> = Vec::new();
    let named =
        first(document, &["code"]).and_then(Value::as_str).filter(|name| name.parse::<i64>().is_err());
    for found in MESSAGES.iter().filter_map(|name| field(document, name)).filter_map(shown::text) {
        if !texts.iter().any(|text| text.contains(&found)) {
            texts.push(short(&found));
        }
    }
    let details = field(document, "details").and_then(shown::text).map(|text| short(&text));
    let mut texts = texts.into_iter();
    let message = texts.next().or_else(|| named.map(str::to_owned)).unwrap_or_default();
    Refusal { code, message, details: texts.take(2).chain(details).collect() }
}

/// What a response says that is none of what was asked for: one line for people.
pub(crate) fn of(response: &JobResponse) -> String {
    let text = response.excerpt();
    let said = match response.json() {
        Some(document) if document.is_object() => {
            let told = field(&document, "error").filter(|error| error.is_object()).unwrap_or(&document);
            let refusal = refusal(told);
            let parts = [refusal.message].into_iter().chain(refusal.details);
            let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
            if parts.is_empty() { document.to_string() } else { parts.join(" ") }
        }
        Some(document) => shown::text(&document).unwrap_or_default(),
        None if page::is_page(response) => format!("a page: {}", page::summary(&text)),
        None => xml::words(&text).unwrap_or(text),
    };
    let said = short(&said);
    let incomplete =
        response.incomplete.as_ref().map(|why| format!(" (incomplete: {why})")).unwrap_or_default();
    if said.is_empty() { format!("nothing{incomplete}") } else { format!("{said}{incomplete}") }
}

/// The same with the HTTP status and what the server redirects to.
pub(crate) fn with_status(response: &JobResponse) -> Refusal {
    let document = response.json();
    let told = document.as_ref().and_then(|document| {
        field(document, "error").filter(|error| error.is_object()).or(Some(document)).map(refusal)
    });
    let status = i64::from(response.status);
    if (300..400).contains(&response.status) {
        let to = short(&response.header(header::LOCATION));
        let message = format!("it redirects to {}", if to.is_empty() { "nowhere" } else { &to });
        return Refusal { code: Some(status), message, details: Vec::new() };
    }
    match told.filter(|told| !told.message.is_empty()) {
        Some(told) => Refusal { code: told.code.or(Some(status)), ..told },
        None if response.is_empty() => {
            Refusal { code: Some(status), message: format!("HTTP status {status}"), details: Vec::new() }
        }
        None => {
            let message = format!("HTTP status {status}: {}", of(response));
            Refusal { code: Some(status), message, details: Vec::new() }
        }
    }
}

/// That a token is not accepted, if the response says so in one of ArcGIS's ways, or by HTTP's.
pub(crate) fn refused_token(response: &JobResponse) -> Option<Refusal> {
    if response.status == 401 {
        return Some(with_status(response));
    }
    if response.body.len() > LONGEST_FAILURE {
        return None;
    }
    failure(&response.json()?).filter(|refusal| matches!(refusal.code, Some(498 | 499)))
}

/// Whether the server itself says why, rather than something in front of it or its last resort.
pub(crate) fn are_the_servers_own(response: &JobResponse) -> bool {
    match response.json() {
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(other) => shown::text(&other).is_some(),
        None => !response.is_empty() && !page::is_page(response) && response.incomplete.is_none(),
    }
}

fn code_of(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// One line.
pub(crate) fn short(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::super::response::tests::response;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failure_is_told_in_many_shapes() {
        for (document, expected) in [
            (json!({"error": {"code": 498, "message": "Invalid token.", "details": []}}), "Invalid token."),
            (json!({"error": "no such process"}), "no such process"),
            (json!({"error": {"message": "no", "details": ["Why."]}}), "no Why."),
            (json!({"success": false, "message": "busy"}), "busy"),
            (
                json!({"code": "NoApplicableCode", "description": "The input is wrong."}),
                "The input is wrong.",
            ),
            (
                json!({"type": "http://www.opengis.net/def/exceptions/x", "title": "T", "status": 400, "detail": "D"}),
                "D T",
            ),
            (json!({"exceptions": [{"code": "X", "text": "It broke."}]}), "It broke."),
            (json!({"errors": [{"title": "Bad", "detail": "Worse"}]}), "Worse"),
            (json!({"status": "failed", "statusMessage": "{\"code\":400,\"message\":\"inner\"}"}), "inner"),
            (json!({"status": 500, "message": "It broke."}), "It broke."),
        ] {
            let refusal = failure(&document).unwrap_or_else(|| panic!("{document}"));
            let said = [vec![refusal.message], refusal.details].concat().join(" ");
            assert!(said.starts_with(expected), "{document}: {said}");
        }
        for fine in [
            json!({"error": null, "status": "running"}),
            json!({"error": {}, "status": "running"}),
            json!({"error": 0.5, "mean": 7}),
            json!({"error": {"mean": 0.5}}),
            json!({"errors": [], "id": "7"}),
            json!({"result": {"error": "inside"}}),
            json!({"type": "FeatureCollection", "features": []}),
            json!(["error"]),
        ] {
            assert_eq!(failure(&fine), None, "{fine}");
        }
    }

    #[test]
    fn whatever_came_is_one_line() {
        for (response, expected) in [
            (
                response(500, &[], "<html><head><title>502 Bad\n Gateway</title></head></html>"),
                "a page: 502 Bad Gateway",
            ),
            (response(500, &[], "plain\r\nwords"), "plain words"),
            (response(500, &[], ""), "nothing"),
            (
                response(
                    400,
                    &[],
                    "<ows:ExceptionReport xmlns:ows='http://www.opengis.net/ows/1.1'><ows:Exception exceptionCode='InvalidParameterValue'><ows:ExceptionText>No such input.</ows:ExceptionText></ows:Exception></ows:ExceptionReport>",
                ),
                "No such input. (InvalidParameterValue)",
            ),
        ] {
            assert_eq!(of(&response), expected);
        }
    }
}
