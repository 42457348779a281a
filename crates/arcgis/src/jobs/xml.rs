//! XML that some servers answer with: OWS exceptions, and the jobs of WPS 1.0 and 2.0.

use roxmltree::{Document, Node};

use super::page;
use super::state::JobState;

/// What a document of WPS says of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WpsJob {
    /// What it does.
    pub(crate) state: Option<JobState>,
    /// Where it tells of itself.
    pub(crate) location: Option<String>,
    /// Names it.
    pub(crate) id: Option<String>,
    /// What it is at, or why it failed.
    pub(crate) message: Option<String>,
    /// How far it is.
    pub(crate) percent: Option<u8>,
    /// Whether what came of it is in the same document.
    pub(crate) has_outputs: bool,
}

/// The exception that the document is, as one line; none: it is another document.
pub(crate) fn exception(text: &str) -> Option<String> {
    const REPORTS: [&str; 2] = ["ExceptionReport", "ServiceExceptionReport"];
    let Some(document) = parsed(text) else {
        // With a document type, which is not read, or broken: it is one all the same.
        return REPORTS.contains(&root_name(text)?).then(|| page::summary(text));
    };
    let root = document.root_element();
    REPORTS.contains(&root.tag_name().name()).then(|| exceptions_below(root))
}

/// The name of the first element, without its prefix, of a document that need not be whole.
fn root_name(text: &str) -> Option<&str> {
    let start = text.char_indices().find(|(at, letter)| {
        *letter == '<' && text[at + 1..].starts_with(|next: char| next.is_ascii_alphabetic())
    });
    let name = &text[start?.0 + 1..];
    let name = &name[..name.find(|letter: char| letter.is_whitespace() || "/>".contains(letter))?];
    Some(name.rsplit(':').next().unwrap_or(name))
}

/// What an XML document says, for people.
pub(crate) fn words(text: &str) -> Option<String> {
    if let Some(exception) = exception(text) {
        return Some(exception);
    }
    let document = parsed(text)?;
    Some(all_text(document.root_element()))
}

/// The job that the document tells of, if it is one of WPS.
pub(crate) fn wps_job(text: &str) -> Option<WpsJob> {
    let document = parsed(text)?;
    let root = document.root_element();
    match root.tag_name().name() {
        "ExecuteResponse" => Some(of_execute_response(root)),
        "StatusInfo" => Some(of_status_info(root)),
        _ => None,
    }
}

/// WPS 1.0.
fn of_execute_response(root: Node<'_, '_>) -> WpsJob {
    let status = below(root, "Status").and_then(|status| status.children().find(Node::is_element));
    let state = status.map(|status| JobState::read(status.tag_name().name()));
    let failed = below(root, "ProcessFailed").map(exceptions_below);
    WpsJob {
        location: root.attribute("statusLocation").map(str::to_owned),
        message: failed.or_else(|| status.map(all_text)).filter(|text| !text.is_empty()),
        percent: status.and_then(|status| status.attribute("percentCompleted")?.parse().ok()),
        has_outputs: below(root, "ProcessOutputs").is_some(),
        state,
        id: None,
    }
}

/// WPS 2.0.
fn of_status_info(root: Node<'_, '_>) -> WpsJob {
    let text = |name: &str| below(root, name).map(all_text).filter(|text| !text.is_empty());
    WpsJob {
        state: text("Status").map(|word| JobState::read(&word)),
        id: text("JobID"),
        percent: text("PercentCompleted").and_then(|text| text.parse().ok()),
        ..WpsJob::default()
    }
}

/// Without a document type: no entities, and nothing is fetched.
fn parsed(text: &str) -> Option<Document<'_>> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('<') { Document::parse(text).ok() } else { None }
}

fn below<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.descendants().find(|node| node.is_element() && node.tag_name().name() == name)
}

fn exceptions_below(node: Node<'_, '_>) -> String {
    let exceptions =
        node.descendants().filter(|node| ["Exception", "ServiceException"].contains(&node.tag_name().name()));
    let texts: Vec<String> = exceptions
        .map(|exception| {
            let code = exception.attribute("exceptionCode").or_else(|| exception.attribute("code"));
            let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
            format!("{}{code}", all_text(exception)).trim().to_owned()
        })
        .filter(|text| !text.is_empty())
        .collect();
    if texts.is_empty() { all_text(node) } else { texts.join(" ") }
}

fn all_text(node: Node<'_, '_>) -> String {
    let texts = node.descendants().filter(Node::is_text).filter_map(|node| node.text()).map(str::trim);
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_wps_are_read() {
        let accepted = r#"<?xml version="1.0"?><wps:ExecuteResponse xmlns:wps="http://www.opengis.net/wps/1.0.0"
            statusLocation="http://x/status/7"><wps:Status creationTime="2026"><wps:ProcessAccepted>in line</wps:ProcessAccepted></wps:Status></wps:ExecuteResponse>"#;
        let job = wps_job(accepted).expect("a job");
        assert_eq!(job.state, Some(JobState::Accepted));
        assert_eq!(
            (job.location.as_deref(), job.message.as_deref()),
            (Some("http://x/status/7"), Some("in line"))
        );
        let failed = r#"<ExecuteResponse><Status><ProcessFailed><ExceptionReport><Exception exceptionCode="E">
            <ExceptionText>It broke.</ExceptionText></Exception></ExceptionReport></ProcessFailed></Status></ExecuteResponse>"#;
        let job = wps_job(failed).expect("a job");
        assert_eq!((job.state, job.message.as_deref()), (Some(JobState::Failed), Some("It broke. (E)")));
        let info = "<wps:StatusInfo xmlns:wps='w'><wps:JobID>7</wps:JobID><wps:Status>Running</wps:Status><wps:PercentCompleted>40</wps:PercentCompleted></wps:StatusInfo>";
        let job = wps_job(info).expect("a job");
        assert_eq!(
            (job.state, job.id.as_deref(), job.percent),
            (Some(JobState::Running), Some("7"), Some(40))
        );
        assert_eq!(wps_job("<gml:FeatureCollection xmlns:gml='g'/>"), None);
        for (text, expected) in [
            ("<!DOCTYPE x [<!ENTITY a 'b'>]><ExceptionReport>&a;</ExceptionReport>", Some("&a;")),
            (
                "<!DOCTYPE ServiceExceptionReport SYSTEM 'http://x/y.dtd'><ServiceExceptionReport>No.</ServiceExceptionReport>",
                Some("No."),
            ),
            ("<ows:ExceptionReport><ows:Exception>No.", Some("No.")),
            ("<!DOCTYPE html><p>ExceptionReport</p>", None),
            ("<gml:x/>", None),
            ("", None),
        ] {
            let said = exception(text);
            assert_eq!(said.is_some(), expected.is_some(), "{text}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{text}");
        }
    }
}
