//! In front of a portal, too, a notebook of somebody else's runs as its task's owner saw it.

use anyhow::{Context, Result};
use isochrone_testkit::Server;
use serde_json::{Value, json};

use crate::tasks::{create, notebook, run_task};
use crate::{PASSWORD, in_front_of, simulated};

const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
const RUN_IT: [(&str, &str); 2] = [("type", "ExecuteNotebook"), ("itemId", ITEM)];

async fn made(server: &Server, owner: &str, token: &str) -> Result<String> {
    let made = create(server, owner, token, &RUN_IT).await?;
    let task = made["taskId"].as_str().with_context(|| format!("createTask answered {made}"))?;
    Ok(format!("/portal/sharing/rest/community/users/{owner}/tasks/{task}"))
}

fn ended(run: &Value) -> (&Value, &Value) {
    (&run["status"], &run["reason"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_makes_of_an_item_later_does_not_run_for_the_administrator() -> Result<()> {
    let portal = simulated().await?;
    portal.add_item(ITEM, "ann", "org", &[], notebook("print('as it was seen')").as_bytes());
    let place = in_front_of(&portal.url(), "siteadmin", PASSWORD, 600)?;
    let server = Server::start(&place.options).await?;
    let (admin, ann) = (portal.token("siteadmin", None), portal.token("ann", None));

    let asked = portal.asked(ITEM);
    let task = made(&server, "siteadmin", &admin).await?;
    assert_eq!(portal.asked(ITEM) - asked, 2, "the item and its data, once each");
    let shown = server.get(&task, &[("token", &admin)]).await?;
    assert!(shown["pinnedItem"]["digest"].is_string(), "{shown}");
    let asked = portal.asked(ITEM);
    let of_ann = made(&server, "ann", &ann).await?;
    assert_eq!(portal.asked(ITEM) - asked, 1, "what one's own item does is not looked at");
    assert_eq!(ended(&run_task(&server, &task, &admin).await?), (&json!("succeeded"), &json!("done")));

    portal.add_item(ITEM, "ann", "org", &[], notebook("print('something else')").as_bytes());
    let refused = run_task(&server, &task, &admin).await?;
    assert_eq!(ended(&refused), (&json!("submitfailed"), &json!("item_changed")), "{refused}");
    assert!(refused["result"].as_str().is_some_and(|result| result.contains("ann's item")), "{refused}");
    assert_eq!(ended(&run_task(&server, &of_ann, &ann).await?), (&json!("succeeded"), &json!("done")));

    let accepted = server.post(&format!("{task}/accept"), &[("token", &admin)]).await?;
    assert_eq!(accepted["success"], true, "{accepted}");
    let run = run_task(&server, &task, &admin).await?;
    assert_eq!(ended(&run), (&json!("succeeded"), &json!("done")), "{run}");
    assert_eq!(run["item"]["digest"], server.get(&task, &[("token", &admin)]).await?["pinnedItem"]["digest"]);

    // Whoever may not read it any more runs it no more, whatever was pinned.
    portal.add_item(ITEM, "ann", "private", &[], notebook("print('something else')").as_bytes());
    let other = made(&server, "vic", &admin).await;
    assert!(other.is_err() || ended(&run_task(&server, &other?, &admin).await?).0 == "submitfailed");
    Ok(())
}
