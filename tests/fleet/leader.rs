//! SIGKILL of the scheduler that leads: a smoke of `cargo xtask chaos leader`.

use anyhow::Result;
use isochrone_testkit::chaos::leader::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn killed_leaders_cost_no_fire_and_little_time() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
