//! SIGKILL of a worker in mid-run: a smoke of `cargo xtask chaos worker`.

use anyhow::Result;
use isochrone_testkit::chaos::worker::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_killed_workers_begin_again_elsewhere() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
