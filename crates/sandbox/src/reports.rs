//! The simulated portal's administrative reports: items that take a while.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answers::Refused;
use super::asked::Asked;
use super::state::{Item, State};

/// How long a report is processed.
const TAKES: Duration = Duration::from_secs(2);

/// A report that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) item: String,
    pub(super) title: String,
    begun: Instant,
    /// Why it fails, if it does.
    failure: Option<&'static str>,
}

/// Begins a report for this administrator.
pub(super) fn begin(state: &mut State, asked: &Asked, owner: &str) -> Result<Value, Refused> {
    if asked.parameter("reportType") != Some("org") {
        return Err(Refused(400, "'reportType' must be org."));
    }
    let kind = asked.parameter("reportSubType").unwrap_or_default();
    let in_time = matches!(kind, "activity" | "credits" | "serviceUsages" | "itemUsages");
    if !in_time && !matches!(kind, "content" | "users") {
        return Err(Refused(400, "'reportSubType' is unknown."));
    }
    if in_time && (asked.number("startTime").is_none() || asked.parameter("timeDuration").is_none()) {
        return Err(Refused(400, "'startTime' and 'timeDuration' are required."));
    }
    let id = format!("{:032x}", 0xe0_0000 + state.reports.len());
    let data = csv(state, kind).into_bytes();
    let item = Item { owner: owner.to_owned(), access: "private".to_owned(), groups: Vec::new(), data };
    state.items.insert(id.clone(), item);
    // An organization whose data are not there yet.
    let failure =
        (asked.parameter("title") == Some("Too early")).then_some("The data of this period are not there.");
    let title = asked.parameter("title").unwrap_or_default().to_owned();
    state.reports.push(Report { item: id.clone(), title, begun: Instant::now(), failure });
    Ok(json!({"itemId": id, "status": "processing"}))
}

/// What the report does whose item this is.
pub(super) fn status(state: &State, id: &str) -> Option<Value> {
    let report = state.reports.iter().find(|report| report.item == id && state.items.contains_key(id))?;
    Some(match report.failure {
        _ if report.begun.elapsed() < TAKES => json!({"itemId": id, "status": "processing"}),
        Some(why) => json!({"itemId": id, "status": "failed", "statusMessage": why}),
        None => json!({"itemId": id, "status": "completed", "statusMessage": "completed"}),
    })
}

fn csv(state: &State, kind: &str) -> String {
    let rows: Vec<String> = match kind {
        "users" => state.users.iter().map(|(name, user)| format!("{name},{}", user.role)).collect(),
        "content" => state.items.iter().map(|(id, item)| format!("{id},{}", item.owner)).collect(),
        _ => Vec::new(),
    };
    let header = match kind {
        "users" => "Username,Role",
        "content" => "Item ID,Owner",
        "activity" => "id,action,actor,created_utc",
        _ => "Name,Usage",
    };
    std::iter::once(header.to_owned()).chain(rows).map(|row| row + "\r\n").collect()
}
