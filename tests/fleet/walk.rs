//! What works while nothing fails.

use anyhow::{Result, ensure};
use isochrone_domain::{EpochMillis, Outcome};
use isochrone_store::{AuditStore, TaskStore};
use isochrone_testkit::eventually;
use isochrone_testkit::fleet::create_minutely;
use serde_json::Value;

use crate::fleet;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_as_often_as_it_may_and_the_fleet_knows_its_members() -> Result<()> {
    let mut fleet = fleet(30).await?;
    let scheduler = fleet.scheduler().await?;
    let standby = fleet.scheduler().await?;
    let workers = [fleet.worker(2).await?, fleet.worker(2).await?];
    let members = fleet.members()?;
    assert_eq!(members.len(), 4, "{members:?}");
    let leader = eventually("a leader", || async { fleet.leader() }).await?;
    ensure!([scheduler.pid(), standby.pid()].contains(&leader), "{leader}");

    let task = create_minutely(&standby, "three times", &[("maxOccurrences", "3")]).await?;
    let store = fleet.store().await?;
    let fires = eventually("three runs to end", || async {
        let fires = store.fires(Some(task), EpochMillis(0)..EpochMillis::MAX).await?;
        Ok((fires.iter().filter(|fire| fire.outcome.is_some()).count() == 3).then_some(fires))
    })
    .await?;
    assert_eq!(fires.len(), 3);
    let kept = store.task(task).await?.expect("the task is there");
    assert_eq!((kept.occurrences, kept.next_fire), (3, None));
    let begun = fleet.drill.begun();
    assert_eq!(begun.len(), 3, "{begun:?}");
    assert!(begun.iter().all(|begun| begun.attempt == 1 && workers.iter().any(|w| w.pid() == begun.worker)));

    let [one, two] = workers;
    ensure!(one.terminate().await? && two.terminate().await? && standby.terminate().await?);
    eventually("one member to be left", || async { Ok((fleet.members()?.len() == 1).then_some(())) }).await?;
    ensure!(scheduler.terminate().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_starts_before_its_broker_works_once_that_is_there() -> Result<()> {
    let mut fleet = fleet(30).await?;
    fleet.rabbit.stop().await?;
    let scheduler = fleet.scheduler().await?;
    let worker = fleet.worker(2).await?;
    let task = create_minutely(&scheduler, "once", &[("maxOccurrences", "1")]).await?;
    fleet.rabbit.restart().await?;
    let store = fleet.store().await?;
    eventually("the run to succeed", || async {
        let fires = store.fires(Some(task), EpochMillis(0)..EpochMillis::MAX).await?;
        Ok(fires.iter().any(|fire| matches!(fire.outcome, Some((Outcome::Succeeded, ..)))).then_some(()))
    })
    .await?;
    ensure!(worker.terminate().await? && scheduler.terminate().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_killed_is_shown_as_ended() -> Result<()> {
    let mut fleet = fleet(1).await?;
    let (killed, other) = (fleet.worker(1).await?, fleet.worker(1).await?);
    let pid = killed.pid();
    killed.kill()?;
    let state = |members: &[Value], pid: u32| {
        let member = members.iter().find(|member| member["pid"] == pid);
        member.map(|member| member["state"].as_str().unwrap_or_default().to_owned())
    };
    eventually("the killed one to be known as ended", || async {
        let members = fleet.members()?;
        assert_eq!(state(&members, other.pid()).as_deref(), Some("up"), "{members:?}");
        ensure!(state(&members, pid).is_some(), "it was forgotten before it was known: {members:?}");
        Ok((state(&members, pid).as_deref() == Some("ended")).then_some(()))
    })
    .await
}
