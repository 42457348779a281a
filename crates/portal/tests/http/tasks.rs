//! Tasks: created, read, listed, changed, deleted.

use isochrone_domain::TaskType;
use isochrone_portal::Config;
use isochrone_scheduler::{Quota, Quotas};
use serde_json::{Value, json};

use crate::server::{Server, error, hourly};

const TASKS: &str = "/community/users/bob/tasks";

#[tokio::test]
async fn what_was_sent_is_read_back_to_the_letter() {
    let server = Server::start().await;
    let parameters = r#"{"z": 1.0, "a": 123456789012345678901234567890, "z": 2, "t": "\u00e9"}"#;
    let title = "Zürich 東京 🗺️ \u{202e}rtl <b>\"'&";
    let id = server
        .create(
            "bob",
            &hourly(&[
                ("title", title),
                ("parameters", parameters),
                ("minute", "0,30"),
                ("dayOfWeek", "MON-FRI"),
                ("dayOfMonth", "?"),
                ("misfirePolicy", "runAll:24"),
                ("overlapPolicy", "queue"),
                ("maxRetries", "3"),
                ("retryBackoffSeconds", "60"),
                ("timeoutSeconds", "900"),
                ("crashPolicy", "atMostOnce"),
                ("maxConsecutiveFailures", "-1"),
            ]),
        )
        .await;
    let request = server.client.get(server.url(&format!("{TASKS}/{id}?f=json"))).bearer_auth("bob");
    let text = request.send().await.expect("an answer").text().await.expect("text");
    assert!(text.contains(parameters), "{text}");
    let task: Value = serde_json::from_str(&text).expect("json");
    for (name, value) in [
        ("title", json!(title)),
        ("maxOccurrences", json!(-1)),
        ("misfirePolicy", json!("runAll:24")),
        ("overlapPolicy", json!("queue")),
        ("maxRetries", json!(3)),
        ("retryBackoffSeconds", json!(60)),
        ("timeoutSeconds", json!(900)),
        ("crashPolicy", json!("atMostOnce")),
        ("maxConsecutiveFailures", json!(-1)),
        ("taskState", json!("active")),
        ("active", json!(true)),
    ] {
        assert_eq!(task[name], value, "{name}");
    }
    assert_eq!(task["cronSchedule"]["dayOfWeek"], "MON-FRI");
    assert!(task.get("startDate").is_none() && task.get("error").is_none());
}

#[tokio::test]
async fn the_three_spellings_of_create() {
    let server = Server::start().await;
    for path in ["/createTask", "/tasks/createTask", "/tasks/anything/createTask", "/tasks/createTask/"] {
        let answer = server.post("bob", &format!("/community/users/bob{path}"), &hourly(&[])).await;
        assert_eq!(answer["success"], true, "{path}: {answer}");
    }
    assert_eq!(server.task_count().await, 4);
}

#[tokio::test]
async fn the_body_goes_before_the_query() {
    let server = Server::start().await;
    let path = "/community/users/bob/createTask?title=query&maxOccurrences=7&minute=61";
    let answer = server.post("bob", path, &hourly(&[("title", "body")])).await;
    let task = server.get("bob", &format!("{TASKS}/{}", answer["taskId"].as_str().expect("an id"))).await;
    assert_eq!((&task["title"], &task["maxOccurrences"]), (&json!("body"), &json!(7)));
}

#[tokio::test]
async fn what_the_python_client_sends_for_its_shortcuts_is_understood() {
    let server = Server::start().await;
    let id = server.create("bob", &hourly(&[("dayOfMonth", "*"), ("dayOfWeek", "*")])).await;
    let task = server.get("bob", &format!("{TASKS}/{id}")).await;
    assert_eq!(
        task["cronSchedule"],
        json!({"minute": "0", "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "*"})
    );
    assert_eq!(task["runIntervalSeconds"], 3600);
    server.create("bob", &hourly(&[("type", "RunDataPipeline")])).await;
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        let title = number.to_string();
        let kind = if number % 3 == 0 { "UpdateInsightsWorkbook" } else { "ExecuteNotebook" };
        ids.push(server.create("bob", &hourly(&[("title", &title), ("type", kind)])).await);
    }
    let first = server.get("bob", TASKS).await;
    let shape = ["total", "start", "num", "nextStart"].map(|name| first[name].as_i64().expect("a number"));
    assert_eq!(shape, [12, 1, 10, 11]);
    assert_eq!(titles(&first), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());

    // ArcGIS's Python client asks the last task's URL for the second page.
    let second = server.get("bob", &format!("{TASKS}/{}?start=11&num=10", ids[9])).await;
    assert_eq!(second["id"], ids[9].as_str());
    assert_eq!((titles(&second), &second["nextStart"]), (vec!["10".to_owned(), "11".to_owned()], &json!(-1)));

    assert_eq!(
        server.get("bob", &format!("{TASKS}?types=UpdateInsightsWorkbook,GPService")).await["total"],
        4
    );
    assert_eq!(server.get("bob", &format!("{TASKS}?active=False")).await["total"], 0);
    server.post("bob", &format!("{TASKS}/{}/disable", ids[0]), &[]).await;
    assert_eq!(server.get("bob", &format!("{TASKS}?active=false")).await["total"], 1);
    assert_eq!(server.get("bob", &format!("{TASKS}?itemId={}", "0".repeat(32))).await["total"], 0);
    assert_eq!(server.get("bob", &format!("{TASKS}?num=0")).await["total"], 12);
    assert_eq!(server.get("bob", &format!("{TASKS}?num=5000")).await["num"], 100);
    assert_eq!(server.get("carol", "/community/users/carol/tasks").await["total"], 0);
    for (query, name) in [
        ("start=0", "start"),
        ("start=-1", "start"),
        ("num=1e400", "num"),
        ("active=maybe", "active"),
        ("itemId=1", "itemId"),
        ("types=Nonsense", "types"),
    ] {
        let (code, message, _) = error(&server.get("bob", &format!("{TASKS}?{query}")).await);
        assert_eq!((code, message.contains(&format!("'{name}'"))), (400, true), "{query}: {message}");
    }
}

fn titles(list: &Value) -> Vec<String> {
    let tasks = list["tasks"].as_array().expect("a list");
    tasks.iter().map(|task| task["title"].as_str().expect("a title").to_owned()).collect()
}

#[tokio::test]
async fn an_update_changes_what_it_names() {
    let server = Server::start().await;
    let form = hourly(&[
        ("title", "old"),
        ("parameters", "{\"a\":1}"),
        ("maxRetries", "2"),
        ("endDate", "4102444800000"),
    ]);
    let id = server.create("bob", &form).await;
    let path = format!("{TASKS}/{id}");
    let before = server.get("bob", &path).await;
    let answer = server
        .post(
            "bob",
            &format!("{path}/update"),
            &[
                ("minute", "30"),
                ("maxOccurrences", "5"),
                ("title", ""),
                ("itemId", ""),
                ("endDate", ""),
                ("taskUrl", "https://host/x"),
                ("overlapPolicy", "allow"),
            ],
        )
        .await;
    assert_eq!(answer, json!({"success": true, "taskId": id}));
    let after = server.get("bob", &path).await;
    assert_eq!(
        after["cronSchedule"],
        json!({"minute": "30", "hour": "*", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"})
    );
    for kept in ["title", "parameters", "itemId", "maxRetries", "created", "endDate"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    assert_eq!((&after["taskUrl"], &after["maxOccurrences"]), (&json!("https://host/x"), &json!(5)));
    assert_eq!(after["overlapPolicy"], "allow");
    assert_ne!(after["nextStart"], before["nextStart"]);

    // The client sends back what it read: -1 takes the limit away.
    server.post("bob", &format!("{path}/update"), &[("maxOccurrences", "-1"), ("isActive", "False")]).await;
    let paused = server.get("bob", &path).await;
    assert_eq!(
        (&paused["maxOccurrences"], &paused["taskState"], &paused["active"]),
        (&json!(-1), &json!("paused"), &json!(false))
    );

    for (name, value) in [
        ("minute", "61"),
        ("maxOccurrences", "0"),
        ("parameters", "[]"),
        ("isActive", "1"),
        ("type", "x"),
        ("startDate", "NaN"),
        ("itemId", "1"),
        ("misfirePolicy", "x"),
    ] {
        let answer =
            server.post("bob", &format!("{path}/update"), &[("title", "changed"), (name, value)]).await;
        let (code, message, _) = error(&answer);
        assert_eq!((code, message.contains(&format!("'{name}'"))), (400, true), "{answer}");
    }
    assert_eq!(server.get("bob", &path).await, paused);
}

#[tokio::test]
async fn enable_disable_and_delete() {
    let server = Server::start().await;
    let id = server.create("bob", &hourly(&[])).await;
    let path = format!("{TASKS}/{id}");
    for (change, state, has_next) in [("disable", "paused", false), ("enable", "active", true)] {
        let answer = server.post("bob", &format!("{path}/{change}"), &[]).await;
        assert_eq!(answer, json!({"success": true, "taskId": id}));
        let task = server.get("bob", &path).await;
        assert_eq!((&task["taskState"], task["nextStart"].is_i64()), (&json!(state), has_next));
    }
    for change in ["enable", "restart", "disable", "delete", "update", "run"] {
        assert_eq!(error(&server.get("bob", &format!("{path}/{change}")).await).0, 405, "{change}");
    }
    assert_eq!(server.post("bob", &format!("{path}/delete"), &[]).await["success"], true);
    for gone in [
        server.post("bob", &format!("{path}/delete"), &[]).await,
        server.get("bob", &path).await,
        server.get("bob", &format!("{TASKS}/nonsense")).await,
    ] {
        let (code, message, _) = error(&gone);
        assert_eq!((code, message.as_str()), (400, "Task does not exist or is inaccessible."));
    }
}

#[tokio::test]
async fn a_task_in_any_state_is_restarted_or_it_is_said_what_leaves_it_no_run() {
    let server = Server::start().await;
    let id = server.create("bob", &hourly(&[("maxOccurrences", "1")])).await;
    let path = format!("{TASKS}/{id}");
    let restart = async || server.post("bob", &format!("{path}/restart"), &[]).await;
    let done = json!({"success": true, "taskId": id});
    let state = async || {
        let task = server.get("bob", &path).await;
        (task["taskState"].as_str().unwrap_or_default().to_owned(), task["nextStart"].is_i64())
    };
    assert_eq!((restart().await, state().await), (done.clone(), ("active".to_owned(), true)), "it is active");
    server.post("bob", &format!("{path}/disable"), &[]).await;
    assert_eq!(state().await.0, "paused");
    assert_eq!(
        (restart().await, state().await),
        (done.clone(), ("active".to_owned(), true)),
        "it was paused"
    );

    // Its only run is made.
    assert_eq!(server.post("bob", &format!("{path}/run"), &[]).await["success"], true);
    assert_eq!(state().await.0, "completed");
    let (code, message, details) = error(&restart().await);
    let told = format!("{message} {details:?}");
    assert!(code == 400 && told.contains("maxOccurrences") && told.contains("larger"), "{told}");
    server.post("bob", &format!("{path}/update"), &[("maxOccurrences", "3")]).await;
    assert_eq!((restart().await, state().await), (done, ("active".to_owned(), true)), "it has runs left");

    let ended = server.create("bob", &hourly(&[("endDate", "1589428800000")])).await;
    let refused = server.post("bob", &format!("{TASKS}/{ended}/restart"), &[]).await;
    assert!(error(&refused).0 == 400 && refused.to_string().contains("endDate"), "{refused}");
}

#[tokio::test]
async fn lists_tell_how_many_more_tasks_may_be_active() {
    let quota = Quota { per_user: Some(3), per_organization: None };
    let quotas = Quotas::default().with(TaskType::ExecuteNotebook, quota);
    let server = Server::with_quotas(Config::default(), quotas).await;
    let room = async |query: &str| {
        server.get("bob", &format!("{TASKS}{query}")).await["activeTasksAvailable"].clone()
    };
    assert_eq!(room("").await, 3);
    let first = server.create("bob", &hourly(&[])).await;
    let second = server.create("bob", &hourly(&[])).await;
    server.create("carol", &hourly(&[])).await;
    assert_eq!(room("").await, 1);
    server.post("bob", &format!("{TASKS}/{first}/disable"), &[]).await;
    assert_eq!(room("?types=ExecuteNotebook&num=1").await, 2);
    assert_eq!(room(&format!("/{second}?start=1&num=1")).await, 2, "the list, asked for at a task's URL");
    assert_eq!(room("?types=GPService").await, Value::Null, "that type has no limit");
    let all = server.get("NBadmin", "/portals/self/allScheduledTasks").await;
    assert_eq!(all["activeTasksAvailable"], Value::Null, "it is not of one user");
    assert_eq!(Server::start().await.get("bob", TASKS).await["activeTasksAvailable"], Value::Null);
}
