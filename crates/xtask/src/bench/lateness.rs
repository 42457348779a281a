//! From a fire's minute to its run's start, 100 tasks due at once, on the real clock.

use std::time::Duration;

use anyhow::Result;
use isochrone_testkit::{Ledger, Server, ServerOptions};

const TASKS: u32 = 100;
const MINUTES: u64 = 5;

pub(crate) async fn measure(options: ServerOptions) -> Result<()> {
    let server = Server::start(&options).await?.sign_in().await?;
    for n in 0..TASKS {
        let title = format!("minutely {n}");
        let form = [
            ("title", title.as_str()),
            ("type", "ExecuteReport"),
            ("parameters", r#"{"reportType":"org","reportSubType":"users","title":"Users"}"#),
            ("minute", "*"),
            ("hour", "*"),
            ("dayOfMonth", "*"),
            ("month", "*"),
            ("dayOfWeek", "?"),
        ];
        server.create_task(&form).await?;
    }
    tokio::time::sleep(Duration::from_secs(60 * MINUTES)).await;
    server.terminate().await?;
    let ledger = Ledger::read(&options.data_dir).await?;
    let fires = || ledger.tasks.values().flat_map(|fires| &fires.0);
    let mut decided: Vec<i64> = fires().map(|fire| fire.decided.since(fire.planned)).collect();
    let mut started: Vec<i64> =
        fires().filter_map(|fire| fire.started.map(|at| at.since(fire.planned))).collect();
    decided.sort_unstable();
    started.sort_unstable();
    for (what, waits) in [("decided", &decided), ("started", &started)] {
        println!(
            "lateness, {TASKS} tasks due at once: {what}: {} fires, first {} ms, median {} ms, p99 {} ms, worst {} ms",
            waits.len(),
            super::at(waits, 0.0),
            super::at(waits, 0.5),
            super::at(waits, 0.99),
            super::at(waits, 1.0)
        );
    }
    Ok(())
}
