//! What a report task's parameters ask for.

use isochrone_domain::{AttemptEnd, EpochMillis, Reason};
use serde_json::{Map, Value};

use super::period::{Duration, Span};

/// A report that this server can make about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// What was done, in a span of time.
    Activity(Span),
    /// The tasks there are.
    Content,
    /// The users there are.
    Users,
    /// The runs of each task type, in a span of time.
    ServiceUsages(Span),
}

impl Subject {
    /// ArcGIS's `reportSubType`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Subject::Activity(_) => "activity",
            Subject::Content => "content",
            Subject::Users => "users",
            Subject::ServiceUsages(_) => "serviceUsages",
        }
    }

    /// The span of time that it is about, if it is about one.
    pub(super) fn span(self) -> Option<Span> {
        match self {
            Subject::Activity(span) | Subject::ServiceUsages(span) => Some(span),
            Subject::Content | Subject::Users => None,
        }
    }
}

/// Why the parameters ask for nothing that can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("parameters: {0}")]
    Bad(String),
    #[error("reports on {0} need a portal, and none is configured here")]
    NeedsPortal(&'static str),
}

impl From<Refusal> for AttemptEnd {
    fn from(refusal: Refusal) -> AttemptEnd {
        let reason = match refusal {
            Refusal::Bad(_) => Reason::BadInput,
            Refusal::NeedsPortal(_) => Reason::BackendNotConfigured,
        };
        AttemptEnd::SubmitFailed { reason, result: refusal.to_string() }
    }
}

/// Reads a task's parameters (a JSON object) for a run that was planned for `planned`.
pub(super) fn read(text: Option<&str>, planned: EpochMillis) -> Result<Subject, Refusal> {
    let parameters = object(text)?;
    use Duration::{Daily, Monthly, Quarterly, Weekly};
    match word(&parameters, "reportSubType")? {
        "content" => Ok(Subject::Content),
        "users" => Ok(Subject::Users),
        "activity" => span(&parameters, &[Daily, Weekly, Monthly, Quarterly], planned).map(Subject::Activity),
        "serviceUsages" => {
            span(&parameters, &[Weekly, Monthly, Quarterly], planned).map(Subject::ServiceUsages)
        }
        "credits" => Err(Refusal::NeedsPortal("credits")),
        "itemUsages" => Err(Refusal::NeedsPortal("itemUsages")),
        other => Err(Refusal::Bad(format!(
            "reportSubType: {other:?} is unknown, expected activity, content, users, serviceUsages, credits \
             or itemUsages"
        ))),
    }
}

/// The parameters of a report on an organization, the only kind there is.
pub(super) fn object(text: Option<&str>) -> Result<Map<String, Value>, Refusal> {
    let parameters: Map<String, Value> = serde_json::from_str(text.unwrap_or("{}"))
        .map_err(|error| Refusal::Bad(format!("expected a JSON object: {error}")))?;
    match word(&parameters, "reportType")? {
        "org" => Ok(parameters),
        other => Err(Refusal::Bad(format!("reportType: {other:?} is unknown, expected \"org\""))),
    }
}

pub(super) fn word<'a>(parameters: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    match parameters.get(name) {
        Some(Value::String(word)) => Ok(word),
        Some(_) => Err(Refusal::Bad(format!("{name}: expected a text"))),
        None => Err(Refusal::Bad(format!("{name} is missing"))),
    }
}

pub(super) fn span(
    parameters: &Map<String, Value>,
    allowed: &[Duration],
    planned: EpochMillis,
) -> Result<Span, Refusal> {
    let name = word(parameters, "timeDuration")?;
    let duration = allowed.iter().find(|duration| duration.name() == name).ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(|duration| duration.name()).collect();
        Refusal::Bad(format!("timeDuration: {name:?} is not one of {}", names.join(", ")))
    })?;
    let start = match parameters.get("startTime") {
        None | Some(Value::Null) => return Ok(duration.last_whole(planned)),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) if text.is_empty() => return Ok(duration.last_whole(planned)),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    let start = start.filter(|start| (0..=EpochMillis::MAX.0).contains(start)).ok_or_else(|| {
        Refusal::Bad("startTime: expected milliseconds since 1970, up to the year 9999".to_owned())
    })?;
    duration
        .from_start(EpochMillis(start))
        .map_err(|expected| Refusal::Bad(format!("startTime: a {name} report begins on {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANNED: EpochMillis = EpochMillis(1_767_225_600_000);

    #[test]
    fn the_references_own_example_reads() {
        let text =
            r#"{"reportType":"org","reportSubType":"activity","timeDuration":"daily","title":"MyTitle"}"#;
        let day = Span { from: EpochMillis(PLANNED.0 - 86_400_000), to: PLANNED };
        assert_eq!(read(Some(text), PLANNED), Ok(Subject::Activity(day)));
    }

    #[test]
    fn an_explicit_start_wins() {
        let text = r#"{"reportType":"org","reportSubType":"serviceUsages","timeDuration":"monthly",
                       "startTime":"1740787200000"}"#;
        let march = Span { from: EpochMillis::from_date(2025, 3, 1), to: EpochMillis::from_date(2025, 4, 1) };
        assert_eq!(read(Some(text), PLANNED), Ok(Subject::ServiceUsages(march)));
    }

    #[test]
    fn refusals_name_the_parameter() {
        let org = |rest: &str| format!(r#"{{"reportType":"org",{rest}}}"#);
        for (text, word) in [
            ("[]".to_owned(), "JSON object"),
            ("{}".to_owned(), "reportType"),
            (r#"{"reportType":"Org"}"#.to_owned(), "reportType"),
            (org(r#""reportSubType":7"#), "reportSubType"),
            (org(r#""reportSubType":"Users""#), "reportSubType"),
            (org(r#""reportSubType":"activity""#), "timeDuration"),
            (org(r#""reportSubType":"activity","timeDuration":"yearly""#), "timeDuration"),
            (org(r#""reportSubType":"serviceUsages","timeDuration":"daily""#), "timeDuration"),
            (org(r#""reportSubType":"activity","timeDuration":"daily","startTime":1e400"#), "JSON"),
            (
                org(r#""reportSubType":"activity","timeDuration":"daily","startTime":9223372036854775808"#),
                "startTime",
            ),
            (
                org(r#""reportSubType":"activity","timeDuration":"weekly","startTime":1767225600000"#),
                "Sunday",
            ),
        ] {
            match read(Some(&text), PLANNED) {
                Err(Refusal::Bad(message)) => assert!(message.contains(word), "{text}: {message}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for name in ["credits", "itemUsages"] {
            let refusal = read(Some(&org(&format!(r#""reportSubType":"{name}""#))), PLANNED).unwrap_err();
            assert_eq!(refusal, Refusal::NeedsPortal(name));
        }
    }
}
