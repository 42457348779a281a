//! Schedules and dates as people mean them, over HTTP.

use isochrone_domain::TaskType;
use isochrone_portal::Config;
use isochrone_scheduler::{Quota, Quotas};
use serde_json::{Value, json};

use crate::server::{Server, error, hourly};

const TASKS: &str = "/community/users/bob/tasks";
/// In ArcGIS's own examples.
const SAMPLE_DATE: &str = "1589428800000";

async fn refused(server: &Server, fields: &[(&'static str, &str)], parameter: &str) -> String {
    let (code, message, _) =
        error(&server.post("bob", &format!("{TASKS}/createTask"), &hourly(fields)).await);
    assert_eq!((code, message.contains(&format!("'{parameter}'"))), (400, true), "{fields:?}: {message}");
    message
}

#[tokio::test]
async fn what_quartz_would_pass_over_is_refused_in_every_field() {
    let server = Server::start().await;
    for text in [
        "1\u{2013}5",
        "1\u{ff0c}15",
        "1;15",
        "1~5",
        "0x1F",
        "5x",
        "12:30",
        "1.5",
        "1e4",
        "1\u{2212}5",
        "\u{ff15}",
        "\u{665}",
        "5\u{a0}",
        "\u{200b}5",
        "*x",
        "5-10/2x",
        "99",
        "*/5garbage",
    ] {
        for field in ["minute", "hour", "dayOfMonth", "month"] {
            refused(&server, &[(field, text)], field).await;
        }
        refused(&server, &[("dayOfMonth", "?"), ("dayOfWeek", text)], "dayOfWeek").await;
        // The native API has the same door.
        let body = json!({"type": "ExecuteReport", "parameters": {},
            "schedule": {"minute": text, "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"}});
        let url = format!("http://{}/api/v1/tasks", server.address);
        let answer = server.client.post(url).bearer_auth("bob").json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), 422, "{text:?}: {}", answer.text().await.expect("text"));
    }
    server.assert_nothing_stored("fields that Quartz reads in part").await;
    // And an update.
    let id = server.create("bob", &hourly(&[])).await;
    let answer = server.post("bob", &format!("{TASKS}/{id}/update"), &[("minute", "1;15")]).await;
    assert!(error(&answer).1.contains("'minute'"), "{answer}");
    assert_eq!(server.get("bob", &format!("{TASKS}/{id}")).await["cronSchedule"]["minute"], "0");
    // What the reference lists.
    for fields in [
        [("dayOfMonth", "5C"), ("dayOfWeek", "?")],
        [("dayOfMonth", "L"), ("dayOfWeek", "?")],
        [("dayOfMonth", "?"), ("dayOfWeek", "2#1")],
    ] {
        server.create("bob", &hourly(&fields)).await;
    }
}

#[tokio::test]
async fn weekday_numbers_of_classic_cron_get_a_hint() {
    let server = Server::start().await;
    for numbers in ["1-5", "1", "0,6", "6", "7", "MON,3"] {
        let message = refused(&server, &[("dayOfMonth", "*"), ("dayOfWeek", numbers)], "dayOfWeek").await;
        assert!(message.contains("MON-FRI") && message.contains("'?'"), "{message}");
    }
    for weekdays in ["*", "0", "MON-FRI", "SUN"] {
        let id = server.create("bob", &hourly(&[("dayOfMonth", "*"), ("dayOfWeek", weekdays)])).await;
        assert!(server.get("bob", &format!("{TASKS}/{id}")).await["nextStart"].is_i64());
    }
}

#[tokio::test]
async fn windows_without_a_fire_are_refused_unless_they_have_passed() {
    let server = Server::start().await;
    for (fields, parameter) in [
        // Between two fires of the future; in a year that Quartz does not reach; in seconds.
        (vec![("startDate", "4102444860000"), ("endDate", "4102444920000")], "endDate"),
        (vec![("startDate", "221845392000000")], "startDate"),
        (vec![("startDate", "1893456000")], "startDate"),
        (vec![("endDate", "4102444800")], "endDate"),
        (vec![("month", "2"), ("startDate", "4107542400000"), ("endDate", "4110000000000")], "endDate"),
    ] {
        refused(&server, &fields, parameter).await;
    }
    server.assert_nothing_stored("windows without a fire").await;
    // ArcGIS's own examples, and other dates of the past.
    for dates in [
        vec![("startDate", SAMPLE_DATE), ("endDate", SAMPLE_DATE)],
        vec![("endDate", SAMPLE_DATE)],
        vec![("startDate", "0"), ("endDate", "1")],
        vec![("startDate", SAMPLE_DATE)],
        vec![("startDate", "4102444800000"), ("endDate", "4102444800000")],
        vec![("endDate", "253402300799999")],
    ] {
        server.create("bob", &hourly(&dates)).await;
    }
    // Whoever ends a task soon means it; dates still to come must have a fire.
    let id = server.create("bob", &hourly(&[])).await;
    let soon = (isochrone_store::Clock::SYSTEM.now().0 + 1_000).to_string();
    let update = format!("{TASKS}/{id}/update");
    assert_eq!(server.post("bob", &update, &[("endDate", &soon)]).await["success"], true);
    let never = [("startDate", "4102444860000"), ("endDate", "4102444920000")];
    assert!(error(&server.post("bob", &update, &never).await).1.contains("'endDate'"));
}

#[tokio::test]
async fn dates_can_be_taken_away() {
    let server = Server::start().await;
    for none in ["-1", "null"] {
        let dates = [("startDate", SAMPLE_DATE), ("endDate", SAMPLE_DATE)];
        let id = server.create("bob", &hourly(&dates)).await;
        let task = async || server.get("bob", &format!("{TASKS}/{id}")).await;
        let update = format!("{TASKS}/{id}/update");
        assert_eq!(task().await["taskState"], "completed");
        // An empty one says nothing, as clients send it.
        assert_eq!(server.post("bob", &update, &[("endDate", "")]).await["success"], true);
        assert_eq!(task().await["endDate"], 1_589_428_800_000_i64);
        assert_eq!(server.post("bob", &update, &[("endDate", none)]).await["success"], true);
        let after = task().await;
        assert_eq!((&after["endDate"], &after["taskState"]), (&Value::Null, &json!("active")), "{after}");
        assert_eq!(after["startDate"], 1_589_428_800_000_i64);
        assert_eq!(server.post("bob", &update, &[("startDate", none)]).await["success"], true);
        assert_eq!(task().await["startDate"], Value::Null);
    }
    let id = server.create("bob", &hourly(&[])).await;
    for wrong in ["-2", "never", "1.5"] {
        let answer = server.post("bob", &format!("{TASKS}/{id}/update"), &[("endDate", wrong)]).await;
        assert!(error(&answer).1.contains("'endDate'"), "{answer}");
    }
}

#[tokio::test]
async fn finished_tasks_are_not_active_wherever_that_is_said() {
    let quota = Quota { per_user: Some(3), per_organization: None };
    let quotas = Quotas::default().with(TaskType::ExecuteNotebook, quota);
    let server = Server::with_quotas(Config::default(), quotas).await;
    let past = [("startDate", SAMPLE_DATE), ("endDate", SAMPLE_DATE)];
    let mut finished = Vec::new();
    for _ in 0..6 {
        finished.push(server.create("bob", &hourly(&past)).await);
    }
    let active = server.create("bob", &hourly(&[])).await;
    let running = server.create("bob", &hourly(&[("maxOccurrences", "1")])).await;
    let run = server.post("bob", &format!("{TASKS}/{running}/run"), &[]).await;
    let list = async |filter: &str| server.get("bob", &format!("{TASKS}?{filter}")).await;
    let ids = |list: &Value| -> Vec<String> {
        let tasks = list["tasks"].as_array().expect("tasks");
        tasks.iter().map(|task| task["id"].as_str().expect("an id").to_owned()).collect()
    };
    let found = list("active=true").await;
    assert_eq!(ids(&found), [active.clone(), running.clone()]);
    assert_eq!(found["activeTasksAvailable"], 1);
    let found = list("active=false").await;
    assert_eq!(ids(&found), finished);

    let run = run["runId"].as_str().expect("a run");
    assert_eq!(
        server.post("bob", &format!("{TASKS}/{running}/runs/{run}/cancel"), &[]).await["success"],
        true
    );
    assert_eq!(list("").await["activeTasksAvailable"], 2);
    let shown = server.get("bob", &format!("{TASKS}/{running}")).await;
    assert_eq!(shown["taskState"], "completed");
    assert_eq!(list("active=false").await["total"], 7);
    for _ in 0..2 {
        server.create("bob", &hourly(&[])).await;
    }
    let (code, message, _) = error(&server.post("bob", &format!("{TASKS}/createTask"), &hourly(&[])).await);
    assert_eq!(code, 400);
    assert!(message.contains("3 active tasks"), "{message}");
}

#[tokio::test]
async fn an_administrator_hands_tasks_over() {
    let server = Server::start().await;
    let id = server.create("bob", &hourly(&[("title", "Nightly")])).await;
    let reassign = format!("{TASKS}/{id}/reassign");
    assert_eq!(error(&server.post("bob", &reassign, &[("targetUsername", "carol")]).await).0, 403);
    for (to, code) in [("victor", 409), ("nobody", 400), ("", 400)] {
        assert_eq!(
            error(&server.post("NBadmin", &reassign, &[("targetUsername", to)]).await).0,
            code,
            "{to}"
        );
    }
    assert_eq!(server.get("bob", &format!("{TASKS}/{id}")).await["userId"], "bob");
    assert_eq!(server.post("NBadmin", &reassign, &[("targetUsername", "CAROL")]).await["success"], true);
    let hers = server.get("carol", &format!("/community/users/carol/tasks/{id}")).await;
    assert_eq!((&hers["userId"], &hers["title"]), (&json!("carol"), &json!("Nightly")));
    assert_eq!(error(&server.get("bob", &format!("{TASKS}/{id}")).await).0, 400);

    let url = format!("http://{}/api/v1/tasks/{id}/reassign", server.address);
    let ask = async |token: &str, owner: &str| {
        let request = server.client.post(&url).bearer_auth(token).query(&[("owner", owner)]);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask("carol", "bob").await, 403);
    assert_eq!(ask("NBadmin", "bob").await, 200);
    assert_eq!(server.get("bob", &format!("{TASKS}/{id}")).await["userId"], "bob");
    use isochrone_store::AuditStore;
    let always = isochrone_domain::EpochMillis(0)..isochrone_domain::EpochMillis::MAX;
    let entries = server.store.audit(always).await.expect("a log");
    let handed: Vec<_> = entries.iter().filter(|entry| entry.action.name() == "reassignTask").collect();
    let said: Vec<_> = handed
        .iter()
        .map(|entry| (entry.actor.as_str(), entry.owner.as_str(), entry.title.as_str()))
        .collect();
    assert_eq!(
        said,
        [("NBadmin", "carol", "Nightly (before: bob)"), ("NBadmin", "bob", "Nightly (before: carol)")]
    );
}

#[tokio::test]
async fn a_request_id_whose_run_is_gone_says_so_at_once() {
    let server = Server::start().await;
    let id = server.create("bob", &hourly(&[])).await;
    let (path, request) = (format!("{TASKS}/{id}/run"), [("requestId", "00112233445566778899aabbccddeeff")]);
    let run = server.post("bob", &path, &request).await["runId"].as_str().expect("a run").to_owned();
    for operation in ["cancel", "delete"] {
        let answer = server.post("bob", &format!("{TASKS}/{id}/runs/{run}/{operation}"), &[]).await;
        assert_eq!(answer["success"], true, "{answer}");
    }
    for _ in 0..2 {
        let message = error(&server.post("bob", &path, &request).await).1;
        assert!(message.contains("no longer kept") && message.contains("requestId"), "{message}");
    }
    assert_eq!(server.post("bob", &path, &[]).await["success"], true);
}

#[tokio::test]
async fn disabling_a_task_that_is_overdue_makes_it_run_no_more() {
    use isochrone_domain::{EpochMillis, Reason};
    use isochrone_store::{AuditStore, Saved, TaskStore};
    // No scheduler runs in these tests: every minute is an outage.
    let server = Server::start().await;
    let always = EpochMillis(0)..EpochMillis::MAX;
    for (operation, form) in [
        ("disable", vec![]),
        ("update", vec![("isActive", "false")]),
        ("delete", vec![]),
        ("update", vec![("endDate", SAMPLE_DATE)]),
    ] {
        let id = server.create("bob", &hourly(&[("minute", "*")])).await;
        let task = id.parse().expect("an id");
        let mut overdue = server.store.task(task).await.expect("a store").expect("the task");
        overdue.next_fire = overdue.next_fire.map(|next| EpochMillis(next.0 - 180_000));
        let audit = server.store.audit(always.clone()).await.expect("a log").remove(0);
        assert_eq!(server.store.save_task(&overdue, audit).await.expect("a store"), Saved::Done);
        let answer = server.post("bob", &format!("{TASKS}/{id}/{operation}"), &form).await;
        assert_eq!(answer["success"], true, "{answer}");
        let fires = server.store.fires(Some(task), always.clone()).await.expect("a ledger");
        assert!((2..=3).contains(&fires.len()), "{fires:?}");
        let reason = match operation {
            "delete" => Reason::TaskDeleted,
            _ if form.contains(&("endDate", SAMPLE_DATE)) => Reason::SkippedExcluded,
            _ => Reason::SkippedDisabled,
        };
        // One that is on time may run where dates are changed.
        let skipped = fires.iter().filter(|fire| fire.reason == reason).count();
        assert!(
            skipped + usize::from(reason == Reason::SkippedExcluded) >= fires.len(),
            "{operation}: {fires:?}"
        );
    }
}
