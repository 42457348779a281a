//! Tasks that move here from a portal.

use anyhow::{Context, Result};
use isochrone_sandbox::{Fault, SimulatedPortal};
use isochrone_testkit::ServerOptions;
use serde_json::{Value, json};

use crate::{PASSWORD, Place, add_user, place, simulated, told};

fn id(number: u32) -> String {
    format!("{number:032x}")
}

/// A portal with 230 tasks of ann's, which is more than two pages; each third one is paused.
async fn with_tasks() -> Result<SimulatedPortal> {
    let portal = simulated().await?;
    for number in 1..=230 {
        portal.add_task(&id(number), "ann", |task| {
            task["title"] = format!("Task {number}").into();
            if number % 3 == 0 {
                task["active"] = false.into();
                task["taskState"] = "paused".into();
            }
        });
    }
    Ok(portal)
}

/// A house that takes so many notebooks of one user.
fn without_limits() -> Result<Place> {
    let Place { dir, options } = place()?;
    let options = options.env("ISOCHRONE__LIMITS__NOTEBOOK_TASKS", 0);
    Ok(Place { dir, options: options.env("ISOCHRONE__LIMITS__NOTEBOOK_TASKS_PER_USER", 0) })
}

/// Imports as the administrator; gives whether all went well, the tally and what was said.
fn import(options: &ServerOptions, portal: &SimulatedPortal, more: &[&str]) -> Result<(bool, Value, String)> {
    let url = portal.url();
    let args = [&["import", "--from-portal", &url, "--user", "siteadmin"], more].concat();
    tokio::task::block_in_place(|| told(options, &args, &format!("{PASSWORD}\n")))
}

/// How many were imported, unchanged, replaced, disabled there, refused.
fn counts(tally: &Value) -> [u64; 5] {
    let count = |name: &str| tally[name].as_u64().unwrap_or(u64::MAX);
    let refused = tally["refused"].as_array().map_or(u64::MAX, |refused| refused.len() as u64);
    [count("imported"), count("unchanged"), count("replaced"), count("disabledThere"), refused]
}

fn active(portal: &SimulatedPortal) -> usize {
    portal.tasks().iter().filter(|task| task["active"] == true).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_comes_over_with_its_id_and_runs_in_one_place() -> Result<()> {
    let (portal, here) = (with_tasks().await?, without_limits()?);
    add_user(&here.options, "ann")?;
    let (good, tally, said) = import(&here.options, &portal, &[])?;
    assert!(good && counts(&tally) == [230, 0, 0, 0, 0], "{tally} {said}");
    assert_eq!(active(&portal), 154, "the portal was only read");
    let task = here.options.cli_json(&["task", "show", &id(7)])?;
    assert_eq!(
        (&task["title"], &task["owner"], &task["state"]),
        (&json!("Task 7"), &json!("ann"), &json!("active"))
    );
    assert_eq!(here.options.cli_json(&["task", "show", &id(9)])?["state"], "paused");

    let (good, tally, said) = import(&here.options, &portal, &["--disable-source"])?;
    assert!(good && counts(&tally) == [0, 230, 0, 154, 0], "{tally} {said}");
    assert_eq!(active(&portal), 0);
    // Once more: what was disabled there by us stays active here, even if it shall be replaced.
    let (good, tally, said) = import(&here.options, &portal, &["--disable-source", "--replace"])?;
    assert!(good && counts(&tally) == [0, 230, 0, 0, 0], "{tally} {said}");
    assert_eq!(here.options.cli_json(&["task", "show", &id(7)])?["state"], "active");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_t_be_disabled_there_is_told_and_tried_again() -> Result<()> {
    let (portal, here) = (simulated().await?, place()?);
    for number in 1..=3 {
        portal.add_task(&id(number), "ann", |_| {});
    }
    add_user(&here.options, "ann")?;
    portal.plan_fault("/disable", 1, 1, Fault::ErrorInBody);
    let (good, tally, said) = import(&here.options, &portal, &["--disable-source"])?;
    assert!(!good && counts(&tally) == [3, 0, 0, 2, 1], "{tally} {said}");
    assert!(said.contains(&id(2)) && said.contains("active there still"), "{said}");
    let (good, tally, _) = import(&here.options, &portal, &["--disable-source"])?;
    assert!(good && counts(&tally) == [0, 3, 0, 1, 0], "{tally}");
    assert_eq!(active(&portal), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_come_along_where_that_is_asked_for() -> Result<()> {
    let (portal, here) = (simulated().await?, place()?);
    portal.add_task(&id(1), "ann", |_| {});
    portal.add_task(&id(2), "left-long-ago", |_| {});
    portal.add_task(&id(3), "ann", |task| task["cronSchedule"]["hour"] = "25".into());
    let (good, tally, said) = import(&here.options, &portal, &["--disable-source"])?;
    assert!(!good && counts(&tally) == [0, 0, 0, 0, 3], "{tally}");
    assert!(said.contains("there is no user 'ann'") && said.contains("--add-owners"), "{said}");
    assert_eq!(active(&portal), 3, "what is not here goes on there");
    let (_, tally, said) = import(&here.options, &portal, &["--disable-source", "--add-owners"])?;
    assert_eq!(counts(&tally), [1, 0, 0, 1, 2], "{said}");
    assert!(said.contains("left-long-ago") && said.contains("'hour'"), "{said}");
    let users = here.options.cli_json(&["user", "list"])?;
    assert!(users.to_string().contains("\"publisher\""), "{users}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_not_enough_is_told() -> Result<()> {
    let (portal, here) = (with_tasks().await?, without_limits()?);
    add_user(&here.options, "ann")?;
    let url = portal.url();
    let ask = |more: &[&str], stdin: &str| -> Result<(bool, String)> {
        let args = [&["--output", "json", "import", "--from-portal", &url], more].concat();
        let output = tokio::task::block_in_place(|| here.options.cli(&args, stdin))?;
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned(),
        ))
    };
    let (good, said) = ask(&["--user", "siteadmin"], "guess-77\n")?;
    assert!(!good && said.contains("Unable to generate token") && !said.contains("guess-77"), "{said}");
    let (good, said) = ask(&["--user", "ann"], "ann-password\n")?;
    assert!(!good && said.contains("--owner"), "{said}");
    // One's own, with a token.
    let (good, said) = ask(&["--owner", "ann"], &format!("{}\n", portal.token("ann", None)))?;
    let tally: Value = serde_json::from_str(&said).context("a tally")?;
    assert!(good && counts(&tally)[0] == 230, "{said}");
    Ok(())
}
