//! Kills and cancels while other servers do the work: a smoke of `cargo xtask chaos remote cancel`.

use anyhow::Result;
use isochrone_testkit::chaos::remote::{cancels, kills};

use crate::BINARY;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_begun_twice_and_what_goes_on_is_found_again() -> Result<()> {
    println!("{}", kills::run(BINARY.as_ref(), kills::Plan::SMOKE).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_at_any_moment_makes_one_outcome() -> Result<()> {
    println!("{}", cancels::run(BINARY.as_ref(), cancels::Plan::SMOKE).await?);
    Ok(())
}
