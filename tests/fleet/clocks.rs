//! Redis's clock is off: a smoke of `cargo xtask chaos clocks`.

use anyhow::Result;
use isochrone_testkit::chaos::clocks::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_while_clocks_disagree_and_everything_goes_on_after() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
