//! What a report task's parameters ask a portal for.

use isochrone_domain::EpochMillis;
use serde_json::{Map, Value};

use super::parameters::{Refusal, object, span, word};
use super::period::{Duration, Span};

/// A report that a portal can make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortalReport {
    /// ArcGIS's `reportSubType`.
    pub(super) name: String,
    /// The time that it is about, where it is about one.
    pub(super) span: Option<Span>,
    /// The fields of the request.
    pub(super) form: Vec<(&'static str, String)>,
}

/// Whether the portal is to make the report; `"source": "isochrone"` asks for one of this server on itself.
pub(super) fn is_of_portal(text: Option<&str>) -> Result<bool, Refusal> {
    match object(text)?.get("source") {
        None | Some(Value::Null) => Ok(true),
        Some(Value::String(source)) if source == "portal" => Ok(true),
        Some(Value::String(source)) if source == "isochrone" => Ok(false),
        Some(other) => Err(Refusal::Bad(format!("source: {other} is neither \"portal\" nor \"isochrone\""))),
    }
}

/// Reads a task's parameters (a JSON object) for a run that was planned for `planned`.
pub(super) fn read(text: Option<&str>, planned: EpochMillis) -> Result<PortalReport, Refusal> {
    use Duration::{Daily, Monthly, Quarterly, Weekly, Yearly};
    let parameters = object(text)?;
    let name = word(&parameters, "reportSubType")?;
    let durations: &[Duration] = match name {
        "content" | "users" => &[],
        "activity" => &[Daily, Weekly, Monthly, Quarterly],
        "credits" | "serviceUsages" => &[Weekly, Monthly, Quarterly],
        "itemUsages" => &[Weekly, Monthly, Quarterly, Yearly],
        other => {
            return Err(Refusal::Bad(format!(
                "reportSubType: {other:?} is unknown, expected activity, content, users, serviceUsages, credits \
                 or itemUsages"
            )));
        }
    };
    let mut form = vec![("reportType", "org".to_owned()), ("reportSubType", name.to_owned())];
    let span = if durations.is_empty() { None } else { Some(span(&parameters, durations, planned)?) };
    if let Some(span) = span {
        form.push(("timeDuration", word(&parameters, "timeDuration")?.to_owned()));
        form.push(("startTime", span.from.0.to_string()));
    }
    if name == "itemUsages" {
        form.push(("timeAggregate", aggregate(&parameters)?));
    }
    if let Some(Value::String(title)) = parameters.get("title") {
        form.push(("title", title.clone()));
    }
    Ok(PortalReport { name: name.to_owned(), span, form })
}

/// One level below the duration, where nobody says.
fn aggregate(parameters: &Map<String, Value>) -> Result<String, Refusal> {
    if parameters.get("timeAggregate").is_none_or(Value::is_null) {
        let below = match word(parameters, "timeDuration")? {
            "weekly" => "day",
            "monthly" => "week",
            _ => "month",
        };
        return Ok(below.to_owned());
    }
    match word(parameters, "timeAggregate")? {
        known @ ("day" | "week" | "month") => Ok(known.to_owned()),
        other => {
            Err(Refusal::Bad(format!("timeAggregate: {other:?} is unknown, expected day, week or month")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANNED: EpochMillis = EpochMillis(1_767_225_600_000);

    #[test]
    fn the_last_whole_period_is_asked_for() {
        let text = r#"{"reportType":"org","reportSubType":"itemUsages","timeDuration":"yearly","title":"T"}"#;
        let report = read(Some(text), PLANNED).expect("a report");
        let expected = [
            ("reportType", "org"),
            ("reportSubType", "itemUsages"),
            ("timeDuration", "yearly"),
            ("startTime", "1735689600000"),
            ("timeAggregate", "month"),
            ("title", "T"),
        ];
        assert_eq!(report.form, expected.map(|(name, text)| (name, text.to_owned())));
        let users = read(Some(r#"{"reportType":"org","reportSubType":"users"}"#), PLANNED).expect("a report");
        assert_eq!((users.span, users.form.len()), (None, 2));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (rest, named) in [
            (r#""reportSubType":"moods""#, "reportSubType"),
            (r#""reportSubType":"credits","timeDuration":"daily""#, "timeDuration"),
            (
                r#""reportSubType":"itemUsages","timeDuration":"weekly","timeAggregate":"year""#,
                "timeAggregate",
            ),
        ] {
            let text = format!(r#"{{"reportType":"org",{rest}}}"#);
            assert!(
                read(Some(&text), PLANNED).is_err_and(|error| error.to_string().contains(named)),
                "{rest}"
            );
        }
        assert!(is_of_portal(Some(r#"{"reportType":"org","source":"x"}"#)).is_err());
        assert_eq!(is_of_portal(Some(r#"{"reportType":"org","source":"isochrone"}"#)), Ok(false));
    }
}
