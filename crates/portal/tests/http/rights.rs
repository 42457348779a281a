//! Who may do what.

use crate::server::{Server, error, hourly};

#[tokio::test]
async fn other_peoples_tasks_are_out_of_reach() {
    let server = Server::start().await;
    let task = server.create("bob", &hourly(&[("title", "bob's")])).await;
    for path in [String::new(), format!("/{task}"), format!("/{task}/runs")] {
        let (code, _, _) = error(&server.get("carol", &format!("/community/users/bob/tasks{path}")).await);
        assert_eq!(code, 403, "{path}");
    }
    for change in ["update", "enable", "disable", "delete", "run"] {
        let theirs = format!("/community/users/bob/tasks/{task}/{change}");
        assert_eq!(error(&server.post("carol", &theirs, &[("title", "mine")]).await).0, 403, "{change}");
        let through_own = format!("/community/users/carol/tasks/{task}/{change}");
        let answer = server.post("carol", &through_own, &[("title", "mine")]).await;
        let (code, message, _) = error(&answer);
        assert_eq!((code, message.as_str()), (400, "Task does not exist or is inaccessible."), "{change}");
    }
    let for_bob = server.post("carol", "/community/users/bob/createTask", &hourly(&[])).await;
    assert_eq!(error(&for_bob).0, 403);
    assert_eq!(for_bob["error"]["messageCode"], "GWM_0003");
    assert_eq!(error(&server.get("carol", "/portals/self/allScheduledTasks").await).0, 403);

    let seen = server.get("bob", &format!("/community/users/bob/tasks/{task}")).await;
    assert_eq!(seen["title"], "bob's");
    assert_eq!(server.task_count().await, 1);
}

#[tokio::test]
async fn an_administrator_reaches_everybodys() {
    let server = Server::start().await;
    let task = server.create("bob", &hourly(&[])).await;
    let path = format!("/community/users/bob/tasks/{task}");
    let answer = server.post("NBadmin", &format!("{path}/update"), &[("title", "renamed")]).await;
    assert_eq!(answer["success"], true);
    assert_eq!(server.get("NBadmin", &path).await["title"], "renamed");
    assert_eq!(server.get("NBadmin", &path).await["userId"], "bob");
    for (user, total) in [("BOB", 1), ("carol", 0)] {
        let of_one = format!("/portals/self/allScheduledTasks?userFilter={user}");
        assert_eq!(server.get("NBadmin", &of_one).await["total"], total, "{user}");
    }
    let all = server.get("NBadmin", "/portals/self/allScheduledTasks").await;
    assert_eq!(all["total"], 1);
    let made = server.post("NBadmin", "/community/users/BOB/createTask", &hourly(&[])).await;
    assert_eq!(made["success"], true);
    assert_eq!(server.get("bob", "/community/users/bob/tasks").await["total"], 2);
    let nobodys = server.post("NBadmin", "/community/users/nobody/createTask", &hourly(&[])).await;
    assert_eq!(error(&nobodys).1, "User does not exist or is inaccessible.");
}

#[tokio::test]
async fn a_viewer_changes_nothing() {
    let server = Server::start().await;
    let answer = server.post("victor", "/community/users/victor/createTask", &hourly(&[])).await;
    assert_eq!(error(&answer).0, 403);
    server.assert_nothing_stored("a viewer's createTask").await;
    assert_eq!(server.get("victor", "/community/users/victor/tasks").await["total"], 0);
}

#[tokio::test]
async fn nobody_in_particular_gets_nothing() {
    let server = Server::start().await;
    for path in ["/community/self", "/community/users/bob", "/community/users/bob/tasks", "/content/items/1"]
    {
        let answer =
            server.client.get(server.url(&format!("{path}?f=json"))).send().await.expect("an answer");
        assert!(answer.text().await.expect("text").contains("\"code\":499"), "{path}");
    }
}
