//! RabbitMQ that is stopped, loses its queue, closes connections, has no memory: a smoke of `cargo xtask chaos broker`.

use anyhow::Result;
use isochrone_testkit::chaos::broker::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_broker_loses_no_run() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
