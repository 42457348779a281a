//! SIGKILL at random moments while tasks fire: a smoke of `cargo xtask chaos`.

use std::time::Duration;

use anyhow::Result;
use isochrone_testkit::{ServerOptions, kills};

#[tokio::test(flavor = "multi_thread")]
async fn after_kills_no_fire_is_missing_or_doubled_and_every_run_has_an_outcome() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(env!("CARGO_BIN_EXE_isochrone"), dir.path().join("data"));
    let plan = kills::Kills { kills: 8, tasks: 20, speed: 30, longest_life: Duration::from_secs(4) };
    let seen = kills::run(&options, plan).await?;
    println!("{seen:#?}");
    // Twenty tasks, and more than a minute passed on their clock.
    assert!(seen.fires >= 40, "{seen:?}");
    Ok(())
}
