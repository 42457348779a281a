use isochrone_domain::{Action, Generation, Policies, Reason, Role, RunId, TaskId, UnknownFields};

use super::*;

fn fire(kind: TaskType, planned: i64, times: Option<(i64, i64)>, outcome: Option<Outcome>) -> FireRecord {
    FireRecord {
        task: TaskId::from_bytes([1; 16]),
        title: "Cook".to_owned(),
        owner: "anna".to_owned(),
        kind,
        run: RunId::from_bytes([2; 16]),
        planned: EpochMillis(planned),
        started: times.map(|(started, _)| EpochMillis(started)),
        ended: times.map(|(_, ended)| EpochMillis(ended)).or(outcome.map(|_| EpochMillis(planned))),
        outcome,
        reason: Reason::Done,
    }
}

pub(in crate::report) fn task(title: &str, owner: &str, state: TaskState) -> Task {
    let any = |text: &str| text.to_owned();
    Task {
        id: TaskId::from_bytes([1; 16]),
        owner: any(owner),
        title: any(title),
        kind: TaskType::ExecuteNotebook,
        item_id: None,
        task_url: None,
        parameters: None,
        cron: CronFields {
            minute: any("30"),
            hour: any("9"),
            day_of_month: any("?"),
            month: any("*"),
            day_of_week: any("2-6"),
        },
        start: None,
        end: None,
        max_occurrences: Some(30),
        occurrences: 4,
        policies: Policies::default(),
        pinned: None,
        generation: Generation(1),
        state,
        next_fire: Some(EpochMillis(1_767_259_800_000)),
        last_fire: None,
        consecutive_failures: 1,
        created: EpochMillis(0),
        updated: EpochMillis(0),
        request: None,
        version: 1,
        unknown: UnknownFields::NONE,
    }
}

/// The cell of a row under the header with this name.
fn cell<'a>(table: &'a Table, row: usize, name: &str) -> &'a str {
    assert_eq!(table.rows[row].len(), table.header.len());
    let column = table.header.iter().position(|header| *header == name).expect("a header of this name");
    &table.rows[row][column]
}

#[test]
fn activity_tells_deeds_and_endings_by_time() {
    let deed = AuditEntry {
        at: EpochMillis(5_000),
        actor: "ben".to_owned(),
        ip: Some("127.0.0.1".to_owned()),
        action: Action::DeleteTask,
        task: Some(TaskId::from_bytes([7; 16])),
        run: None,
        item: None,
        title: "Old one".to_owned(),
        owner: "anna".to_owned(),
    };
    let fires = [
        fire(TaskType::GPService, 0, Some((1_000, 9_000)), Some(Outcome::Failed)),
        fire(TaskType::GPService, 0, Some((1_000, 2_000)), Some(Outcome::Succeeded)),
        fire(TaskType::GPService, 0, None, None),
    ];
    let table = activity(&[deed], &fires);
    let actions: Vec<_> = (0..table.rows.len()).map(|row| cell(&table, row, "action")).collect();
    assert_eq!(actions, ["runSucceeded", "deleteTask", "runFailed"]);
    assert_eq!(cell(&table, 1, "id"), "07".repeat(16));
    assert_eq!((cell(&table, 1, "idType"), cell(&table, 1, "actor")), ("task", "ben"));
    assert_eq!((cell(&table, 1, "owner"), cell(&table, 1, "ip")), ("anna", "127.0.0.1"));
    assert_eq!(cell(&table, 1, "created_utc"), "1970-01-01T00:00:05Z");
    assert_eq!((cell(&table, 2, "idType"), cell(&table, 2, "data")), ("run", "done"));
}

#[test]
fn content_lists_tasks_by_owner() {
    let table = content(vec![task("b", "zoe", TaskState::Paused), task("a", "anna", TaskState::Active)]);
    assert_eq!((cell(&table, 0, "Owner"), cell(&table, 1, "Owner")), ("anna", "zoe"));
    assert_eq!(cell(&table, 0, "Schedule"), "30 9 ? * 2-6");
    assert_eq!(cell(&table, 0, "Next Start"), "2026-01-01T09:30:00Z");
    assert_eq!((cell(&table, 0, "Runs Made"), cell(&table, 0, "Runs Allowed")), ("4", "30"));
    assert_eq!(cell(&table, 1, "State"), "paused");
}

#[test]
fn users_count_their_tasks() {
    let user = |name: &str| UserRecord {
        name: name.to_owned(),
        role: Role::Publisher,
        created: EpochMillis(0),
        last_login: None,
    };
    let tasks = [task("a", "Anna", TaskState::Active), task("b", "anna", TaskState::Disabled)];
    let table = users(vec![user("zoe"), user("anna")], &tasks);
    assert_eq!(cell(&table, 0, "Username"), "anna");
    assert_eq!(cell(&table, 0, "# of Tasks Owned"), "2");
    assert_eq!((cell(&table, 0, "# of Tasks Active"), cell(&table, 0, "# of Tasks Disabled")), ("1", "1"));
    assert_eq!((cell(&table, 1, "# of Tasks Owned"), cell(&table, 1, "Last Login Date")), ("0", ""));
    assert_eq!(cell(&table, 1, "Role"), "org_publisher");
}

#[test]
fn usage_counts_and_measures_each_type() {
    let mut fires: Vec<_> = (1..=20)
        .map(|n| fire(TaskType::ExecuteNotebook, 0, Some((500, 500 + n * 1_000)), Some(Outcome::Succeeded)))
        .collect();
    fires.push(fire(TaskType::ExecuteNotebook, 0, None, Some(Outcome::Skipped)));
    fires.push(fire(TaskType::GPService, 0, None, None));
    let table = service_usages(&fires);
    assert_eq!(table.rows.len(), 2);
    for (name, expected) in [
        ("Task Type", "ExecuteNotebook"),
        ("Fires", "21"),
        ("Succeeded", "20"),
        ("Skipped", "1"),
        ("Median Seconds", "10.000"),
        ("95th Percentile Seconds", "19.000"),
        ("Longest Seconds", "20.000"),
        ("Total Seconds", "210.000"),
        ("Median Wait Seconds", "0.500"),
    ] {
        assert_eq!(cell(&table, 0, name), expected, "{name}");
    }
    assert_eq!((cell(&table, 1, "Unfinished"), cell(&table, 1, "Median Seconds")), ("1", ""));
}
