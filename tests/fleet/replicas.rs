//! Redis's master dies while its replicas lag: a smoke of `cargo xtask chaos replicas`.

use anyhow::{Context, Result};
use isochrone_domain::TaskType;
use isochrone_store::RunStore;
use isochrone_testkit::chaos::replicas::{Plan, run};
use isochrone_testkit::fleet::{Fleet, TASKS, never};
use isochrone_testkit::{RabbitServer, RedisServer, Server, eventually};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_master_whose_replica_lags() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}

/// A worker begins what a replica knows to be its own, and nothing else. Who asks for anything meanwhile gets 503.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_no_replica_has_is_not_begun_and_the_api_says_503() -> Result<()> {
    let _alone = alone().await;
    // A replica that is stopped counts as one that follows, so that it is waited for.
    let settings = [("min-replicas-to-write", "1"), ("min-replicas-max-lag", "3600")];
    let (redis, rabbit) = tokio::try_join!(RedisServer::start_with(&settings), RabbitServer::start())?;
    let replica = redis.start_replica(&[]).await?;
    let mut fleet = Fleet::on(redis, rabbit, BINARY, 1).await?;
    let scheduler = fleet.scheduler().await?;
    let options = fleet.options();
    let log = options.data_dir.with_extension("log");
    let worker = Server::start(&options.command(&["worker", "--slots", "1"])).await?;
    let task = scheduler.create_task(&never("asked for")).await?;

    // Its message is on its way when nobody follows the master any more.
    worker.pause()?;
    let asked = scheduler.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = asked["runId"].as_str().with_context(|| format!("run now: {asked}"))?;
    let (store, kind) = (fleet.store().await?, TaskType::ExecuteReport);
    eventually("the run to be published", async || {
        let published = store.published_through(kind).await?;
        Ok((store.unclaimed(kind, &published).await? == 1).then_some(()))
    })
    .await?;
    replica.pause()?;
    worker.resume()?;
    eventually("the claim to be in doubt", async || {
        let told = std::fs::read_to_string(&log)?;
        Ok((told.matches("too few of Redis's replicas").count() >= 2).then_some(()))
    })
    .await?;
    let at = format!("{TASKS}/{task}/runs/{run}");
    assert_eq!(scheduler.get(&at, &[]).await?["status"], "executing", "the master has the claim");
    for (path, form) in [
        (format!("{TASKS}/createTask"), never("another")),
        (format!("{TASKS}/{task}/run"), Vec::new()),
        (format!("{TASKS}/{task}/disable"), Vec::new()),
        // The second time it is disabled already.
        (format!("{TASKS}/{task}/disable"), Vec::new()),
    ] {
        let answer = scheduler.post(&path, &form).await?;
        assert_eq!(answer["error"]["code"], 503, "{path}: {answer}");
    }
    assert_eq!(fleet.drill.begun().len(), 0, "nothing is begun");

    replica.resume()?;
    eventually("the run to succeed", async || {
        Ok((scheduler.get(&at, &[]).await?["status"] == "succeeded").then_some(()))
    })
    .await?;
    // The run that was asked for in vain may be there, too: nobody knew.
    let begun = fleet.drill.begun().into_iter().filter(|begun| begun.run.to_string() == run);
    assert_eq!(begun.map(|begun| begun.attempt).collect::<Vec<_>>(), [1]);
    Ok(())
}
