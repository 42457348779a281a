//! The rows of each report, made from records. Columns that ArcGIS's reports have and this server knows
//! nothing for stay empty, so that what reads ArcGIS's reads these.

use std::collections::BTreeMap;

use isochrone_domain::{AuditEntry, CronFields, EpochMillis, Outcome, Task, TaskState, TaskType, public_url};

use super::records::{FireRecord, UserRecord};
use super::table::Table;

/// What people did and how runs ended, by time.
pub(super) fn activity(audit: &[AuditEntry], fires: &[FireRecord]) -> Table {
    let people = audit.iter().map(|entry| (entry.at, deed(entry)));
    let runs = fires.iter().filter_map(|fire| Some((fire.ended?, ending(fire)?)));
    let mut rows: Vec<_> = people.chain(runs).collect();
    rows.sort();
    Table {
        header: &[
            "id",
            "itemTitle",
            "idType",
            "orgId",
            "orgName",
            "owner",
            "ownerName",
            "actor",
            "actorFullName",
            "ip",
            "action",
            "created_utc",
            "request",
            "reqId",
            "clientId",
            "data",
        ],
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    }
}

fn deed(entry: &AuditEntry) -> Vec<String> {
    let (id, kind) = match (entry.run, entry.task, entry.item) {
        (Some(run), ..) => (run.to_string(), "run"),
        (None, Some(task), _) => (task.to_string(), "task"),
        (None, None, Some(item)) => (item.to_string(), "item"),
        (None, None, None) => (entry.owner.clone(), "user"),
    };
    Activity {
        id,
        title: &entry.title,
        kind,
        owner: &entry.owner,
        actor: &entry.actor,
        ip: entry.ip.as_deref().unwrap_or_default(),
        action: entry.action.name(),
        at: entry.at,
        data: "",
    }
    .row()
}

fn ending(fire: &FireRecord) -> Option<Vec<String>> {
    let action = match fire.outcome? {
        Outcome::Succeeded => "runSucceeded",
        Outcome::Failed => "runFailed",
        Outcome::SubmitFailed => "runSubmitFailed",
        Outcome::Skipped => "runSkipped",
    };
    let activity = Activity {
        id: fire.run.to_string(),
        title: &fire.title,
        kind: "run",
        owner: &fire.owner,
        actor: "",
        ip: "",
        action,
        at: fire.ended?,
        data: fire.reason.code(),
    };
    Some(activity.row())
}

struct Activity<'a> {
    id: String,
    title: &'a str,
    kind: &'a str,
    owner: &'a str,
    actor: &'a str,
    ip: &'a str,
    action: &'a str,
    at: EpochMillis,
    data: &'a str,
}

impl Activity<'_> {
    fn row(self) -> Vec<String> {
        let at = self.at.to_string();
        let cells = [
            &self.id,
            self.title,
            self.kind,
            "",
            "",
            self.owner,
            self.owner,
            self.actor,
            self.actor,
            self.ip,
            self.action,
            &at,
            "",
            "",
            "",
            self.data,
        ];
        cells.map(str::to_owned).to_vec()
    }
}

/// The tasks, by owner and title.
pub(super) fn content(mut tasks: Vec<Task>) -> Table {
    tasks.sort_by(|a, b| (&a.owner, &a.title, a.id).cmp(&(&b.owner, &b.title, b.id)));
    Table {
        header: &[
            "Title",
            "Item ID",
            "Item Url",
            "Item Type",
            "Date Created",
            "Date Modified",
            "Content Category",
            "View Counts",
            "Owner",
            "Schedule",
            "State",
            "Next Start",
            "Last Start",
            "Runs Made",
            "Runs Allowed",
            "Failures In A Row",
        ],
        rows: tasks.iter().map(task_row).collect(),
    }
}

fn task_row(task: &Task) -> Vec<String> {
    let CronFields { minute, hour, day_of_month, month, day_of_week } = &task.cron;
    vec![
        task.title.clone(),
        task.id.to_string(),
        task.task_url.as_deref().map(public_url).unwrap_or_default(),
        task.kind.to_string(),
        task.created.to_string(),
        task.updated.to_string(),
        String::new(),
        String::new(),
        task.owner.clone(),
        [minute, hour, day_of_month, month, day_of_week].map(String::as_str).join(" "),
        state(task.state).to_owned(),
        moment(task.next_fire),
        moment(task.last_fire),
        task.occurrences.to_string(),
        task.max_occurrences.map_or_else(String::new, |max| max.to_string()),
        task.consecutive_failures.to_string(),
    ]
}

fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Active => "active",
        TaskState::Paused => "paused",
        TaskState::Disabled => "disabled",
    }
}

/// The users by name, with how many tasks each owns.
pub(super) fn users(mut users: Vec<UserRecord>, tasks: &[Task]) -> Table {
    users.sort_by(|a, b| a.name.cmp(&b.name));
    Table {
        header: &[
            "Username",
            "Name",
            "Email",
            "Profile Visibility",
            "User Type",
            "Role",
            "Last Login Date",
            "Date Created",
            "Add-On Apps",
            "# of Items Owned",
            "# of Groups Owned",
            "# of Groups Total",
            "Login Type",
            "Member Account Status",
            "Member categories",
            "Multifactor authentication",
            "# of Tasks Owned",
            "# of Tasks Active",
            "# of Tasks Disabled",
        ],
        rows: users.iter().map(|user| user_row(user, tasks)).collect(),
    }
}

fn user_row(user: &UserRecord, tasks: &[Task]) -> Vec<String> {
    let owned = || tasks.iter().filter(|task| task.owner.eq_ignore_ascii_case(&user.name));
    let in_state = |state| owned().filter(|task| task.state == state).count().to_string();
    let unknown = String::new;
    vec![
        user.name.clone(),
        user.name.clone(),
        unknown(),
        unknown(),
        unknown(),
        user.role.arcgis().to_owned(),
        moment(user.last_login),
        user.created.to_string(),
        unknown(),
        unknown(),
        unknown(),
        unknown(),
        "built-in".to_owned(),
        "Enabled".to_owned(),
        unknown(),
        unknown(),
        owned().count().to_string(),
        in_state(TaskState::Active),
        in_state(TaskState::Disabled),
    ]
}

/// How often each type ran, and how long.
pub(super) fn service_usages(fires: &[FireRecord]) -> Table {
    let mut by_kind: BTreeMap<TaskType, Vec<&FireRecord>> = BTreeMap::new();
    for fire in fires {
        by_kind.entry(fire.kind).or_default().push(fire);
    }
    Table {
        header: &[
            "Task Type",
            "Fires",
            "Succeeded",
            "Failed",
            "Submit Failed",
            "Skipped",
            "Unfinished",
            "Median Seconds",
            "95th Percentile Seconds",
            "Longest Seconds",
            "Total Seconds",
            "Median Wait Seconds",
        ],
        rows: by_kind.into_iter().map(|(kind, fires)| usage_row(kind, &fires)).collect(),
    }
}

fn usage_row(kind: TaskType, fires: &[&FireRecord]) -> Vec<String> {
    let ended = |outcome| fires.iter().filter(|fire| fire.outcome == outcome).count().to_string();
    let between = |times: fn(&FireRecord) -> Option<i64>| {
        let mut all: Vec<i64> = fires.iter().filter_map(|fire| times(fire)).collect();
        all.sort_unstable();
        all
    };
    let lasted = between(|fire| Some(fire.ended?.since(fire.started?)));
    let waited = between(|fire| Some(fire.started?.since(fire.planned)));
    vec![
        kind.to_string(),
        fires.len().to_string(),
        ended(Some(Outcome::Succeeded)),
        ended(Some(Outcome::Failed)),
        ended(Some(Outcome::SubmitFailed)),
        ended(Some(Outcome::Skipped)),
        ended(None),
        seconds(percentile(&lasted, 50)),
        seconds(percentile(&lasted, 95)),
        seconds(lasted.last().copied()),
        seconds(Some(lasted.iter().sum())),
        seconds(percentile(&waited, 50)),
    ]
}

/// The smallest value that is no less than `percent` of all; nearest rank.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn seconds(ms: Option<i64>) -> String {
    ms.map_or_else(String::new, |ms| format!("{:.3}", ms as f64 / 1_000.0))
}

fn moment(moment: Option<EpochMillis>) -> String {
    moment.map_or_else(String::new, |moment| moment.to_string())
}

#[cfg(test)]
pub(super) mod tests;
