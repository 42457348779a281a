//! What an answer of ArcGIS says: its HTTP status proves nothing.

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Refusal, Result};

/// Of a text that is shown to people.
const LONGEST: usize = 300;

/// The answer's text, if it is JSON that tells of no failure. `status`: of HTTP.
///
/// A `status` in the answer is taken for a failure's where it says so: what tells of a job is for `jobs::status`.
pub(crate) fn read(status: u16, body: &str) -> Result<&str> {
    match serde_json::from_str::<Value>(body) {
        Ok(answer) => match failure(&answer) {
            Some(refusal) => Err(Error::told(refusal)),
            None if (200..300).contains(&status) => Ok(body),
            None => Err(by_status(status)),
        },
        Err(_) if !(200..300).contains(&status) => Err(by_status(status)),
        Err(_) if body.trim_start().starts_with('<') => {
            Err(Error::Unreadable("it is a page, not JSON; is this the portal's address?".to_owned()))
        }
        Err(error) => Err(Error::Unreadable(format!("it is no JSON: {error}"))),
    }
}

/// The answer as a value of the type that it should have.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T> {
    serde_json::from_str(body).map_err(|error| Error::Unreadable(error.to_string()))
}

/// An answer without words of its own.
pub(crate) fn by_status(status: u16) -> Error {
    let message = format!("HTTP status {status}");
    // A 401 comes from a proxy, or from web-tier authentication: its token is not ArcGIS's.
    Error::told(Refusal { code: Some(i64::from(status)), message, details: Vec::new() })
}

/// The failure that the answer tells of, in any of ArcGIS's shapes.
fn failure(answer: &Value) -> Option<Refusal> {
    match &answer["error"] {
        Value::Null => {}
        Value::Object(_) => return Some(refusal(&answer["error"])),
        // OAuth's own shape puts a word there.
        word => {
            let message = text(&answer["error_description"]).or_else(|| text(word)).unwrap_or_default();
            return Some(Refusal { message, ..refusal(answer) });
        }
    }
    let status = answer["status"].as_str().unwrap_or_default();
    let failed = ["error", "failed", "failure"].iter().any(|word| status.eq_ignore_ascii_case(word));
    let bad_code = code(&answer["code"]).is_some_and(|code| code >= 400);
    if !failed && !bad_code {
        return None;
    }
    // A publishing status holds JSON inside of a text.
    let inner = answer["statusMessage"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    Some(refusal(inner.as_ref().filter(|inner| inner.is_object()).unwrap_or(answer)))
}

fn refusal(told: &Value) -> Refusal {
    let mut messages = texts(&told["messages"]);
    let message = text(&told["message"]).or_else(|| text(&told["statusMessage"]));
    let message =
        message.unwrap_or_else(|| if messages.is_empty() { String::new() } else { messages.remove(0) });
    messages.extend(texts(&told["details"]));
    Refusal { code: code(&told["code"]), message, details: messages }
}

fn code(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(parts) => parts.iter().filter_map(text).collect(),
        other => text(other).into_iter().collect(),
    }
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The failure that an answer with HTTP status 200 tells of.
    fn of(body: &str) -> Error {
        read(200, body).expect_err(body)
    }

    fn refused(code: Option<i64>, message: &str, details: &[&str]) -> Refusal {
        let details = details.iter().map(|detail| (*detail).to_owned()).collect();
        Refusal { code, message: message.to_owned(), details }
    }

    #[test]
    fn every_shape_of_a_failure_is_read() {
        let unable = refused(Some(400), "Unable to complete operation.", &["Item does not exist."]);
        let cases = [
            (
                r#"{"error":{"code":400,"message":"Unable to complete operation.","details":["Item does not exist."]}}"#,
                Error::Refused(unable.clone()),
            ),
            (
                r#"{"error":{"code":498,"message":"Invalid token.","details":[]}}"#,
                Error::Token(refused(Some(498), "Invalid token.", &[])),
            ),
            (
                r#"{"error":{"code":499,"message":"Token Required","messageCode":"GWM_0003","details":["Token Required"]}}"#,
                Error::Token(refused(Some(499), "Token Required", &["Token Required"])),
            ),
            (
                r#"{"error":{"code":403,"message":"You do not have permissions."}}"#,
                Error::Forbidden(refused(Some(403), "You do not have permissions.", &[])),
            ),
            (
                r#"{"error":{"message":"no code","details":"one text"}}"#,
                Error::Refused(refused(None, "no code", &["one text"])),
            ),
            (
                r#"{"status":"error","messages":["Unable to cancel job :[id]"],"code":404}"#,
                Error::Refused(refused(Some(404), "Unable to cancel job :[id]", &[])),
            ),
            (
                r#"{"status":"failed","statusMessage":"{\"code\":400,\"message\":\"Unable to complete operation.\",\"details\":[\"Item does not exist.\"]}"}"#,
                Error::Refused(unable),
            ),
            (
                r#"{"status":"failed","statusMessage":"plain words"}"#,
                Error::Refused(refused(None, "plain words", &[])),
            ),
            (
                r#"{"code":401,"message":"billing","status":"failure","details":null}"#,
                Error::Refused(refused(Some(401), "billing", &[])),
            ),
            (
                r#"{"error":"invalid_grant","error_description":"The code has expired"}"#,
                Error::Refused(refused(None, "The code has expired", &[])),
            ),
            (
                r#"{"error":{"code":1000,"message":"not an HTTP code"}}"#,
                Error::Refused(refused(Some(1000), "not an HTTP code", &[])),
            ),
        ];
        for (body, error) in cases {
            assert_eq!(of(body), error, "{body}");
        }
        assert!(of(r#"{"error":{"code":500,"message":"x"}}"#).may_pass());
    }

    #[test]
    fn the_http_status_counts_where_the_answer_says_nothing() {
        assert_eq!(read(200, r#"{"username":"ann","status":"ok","code":0}"#).map(str::len), Ok(41));
        assert!(read(503, "<html>down</html>").is_err_and(|error| error.may_pass()));
        assert!(read(502, "{}").is_err_and(|error| error.may_pass()));
        assert!(matches!(read(404, "nothing here"), Err(Error::Refused(_))));
        // Some services tell the failure in both ways.
        let both = r#"{"error":{"code":498,"message":"Invalid token."}}"#;
        assert!(matches!(read(401, both), Err(Error::Token(_))));
        assert!(matches!(of("<html>Sign in</html>"), Error::Unreadable(_)));
        assert!(matches!(of("{\"half\":"), Error::Unreadable(_)));
    }
}
