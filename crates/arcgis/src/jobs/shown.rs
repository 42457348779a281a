//! What is only shown to people: each is read on its own, and what can't be read is left out.

use serde_json::Value;

use super::fields::first;

/// Of a text that is shown.
const LONGEST: usize = 4 << 10;
/// Where a percentage stands.
const PERCENT: &[&str] = &[
    "progress",
    "percent",
    "percentcomplete",
    "percentcompleted",
    "percentdone",
    "percentage",
    "progresspercent",
    "completion",
];
/// Where a text stands in an object.
const TEXT: &[&str] =
    &["message", "description", "text", "detail", "title", "msg", "value", "content", "summary"];

/// How far a job is, 0 to 100; none where its server does not say so in a way that can be read.
pub(crate) fn percent(document: &Value) -> Option<u8> {
    PERCENT.iter().find_map(|name| number(super::fields::field(document, name)?))
}

fn number(value: &Value) -> Option<u8> {
    let percent = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().trim_end_matches('%').trim().replace(',', ".").parse().ok()?,
        Value::Object(_) => {
            return first(value, PERCENT).or_else(|| first(value, &["value"])).and_then(number);
        }
        _ => return None,
    };
    // Below zero means that it is not known.
    (percent.is_finite() && percent >= 0.0).then(|| percent.min(100.0) as u8)
}

/// A value as a text; none: there is nothing to show.
pub(crate) fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(parts) => parts.iter().filter_map(text).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) if fields.is_empty() => return None,
        Value::Object(_) => first(value, TEXT).and_then(text).unwrap_or_else(|| value.to_string()),
    };
    (!text.is_empty()).then(|| text.chars().take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn progress_is_read_as_it_comes() {
        for (document, expected) in [
            (json!({"progress": 45}), Some(45)),
            (json!({"progress": 45.5}), Some(45)),
            (json!({"progress": "45"}), Some(45)),
            (json!({"progress": "45,5 %"}), Some(45)),
            (json!({"progress": -1}), None),
            (json!({"progress": 300}), Some(100)),
            (json!({"progress": 1e300}), Some(100)),
            (json!({"progress": "soon"}), None),
            (json!({"progress": null, "percentComplete": 7}), Some(7)),
            (json!({"progress": {"type": "step", "percent": 12.7}}), Some(12)),
            (json!({"progress": []}), None),
        ] {
            assert_eq!(percent(&document), expected, "{document}");
        }
    }

    #[test]
    fn a_message_is_read_as_it_comes() {
        for (value, expected) in [
            (json!(null), None),
            (json!(""), None),
            (json!({}), None),
            (json!(" at work "), Some("at work")),
            (json!(7), Some("7")),
            (json!({"text": "at work", "lang": "en"}), Some("at work")),
            (json!({"en": "at work"}), Some(r#"{"en":"at work"}"#)),
            (json!(["one", {"message": "two"}, null]), Some("one\ntwo")),
        ] {
            assert_eq!(text(&value).as_deref(), expected, "{value}");
        }
    }
}
