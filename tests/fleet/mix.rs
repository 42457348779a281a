//! Everything at once: a smoke of `cargo xtask chaos mix`.

use anyhow::Result;
use isochrone_testkit::chaos::mix::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_exact_whatever_goes_wrong() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
