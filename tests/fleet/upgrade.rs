//! A fleet that is brought to another binary process by process, and back: a smoke of `cargo xtask chaos upgrade`. There
//! it is another version's, here the same: a rolling restart.

use anyhow::Result;
use isochrone_testkit::chaos::upgrade::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_costs_no_fire_and_no_run() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
