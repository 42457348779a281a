//! Confirms that are cut off: a smoke of `cargo xtask chaos confirm`.

use anyhow::Result;
use isochrone_testkit::chaos::confirm::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_confirm_is_cut_off_is_executed_once() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
