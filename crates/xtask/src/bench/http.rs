//! 64 connections that ask the portal at once, with 10,000 tasks in the store: reads of all kinds, then creates.
//!
//! The client works on the same cores: built without optimization it takes half of them, so for figures it is
//! `cargo run --release -p xtask -- bench http`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use isochrone_testkit::{Server, ServerOptions};

use super::idle::add_tasks;

const CONNECTIONS: usize = 64;
const LASTS: Duration = Duration::from_secs(20);
const TASKS: &str = "/sharing/rest/community/users/admin/tasks";

pub(crate) async fn measure(options: ServerOptions) -> Result<()> {
    let server = Server::start(&options).await?.sign_in().await?;
    let ids = Arc::new(add_tasks(&server).await?);
    let server = Arc::new(server);
    let (read, reads) = measured(&server, async |server, n| {
        let task = &ids[(n * 7_919) % ids.len()];
        let page = (1 + (n * 104_729) % ids.len()).to_string();
        let answer = match n % 5 {
            0 => server.get(TASKS, &[("start", &page), ("num", "10")]).await?,
            1 | 2 => server.get(&format!("{TASKS}/{task}"), &[]).await?,
            3 => server.get(&format!("{TASKS}/{task}/runs"), &[]).await?,
            _ => server.get("/sharing/rest/portals/self", &[]).await?,
        };
        ensure!(answer.get("error").is_none(), "{answer}");
        Ok(())
    })
    .await?;
    tell("reads", read, &reads);
    let (created, creates) = measured(&server, async |server, n| {
        server.create_task(&super::idle::yearly(&format!("created {n}"))).await.map(drop)
    })
    .await?;
    tell("creates", created, &creates);
    Ok(())
}

/// What each of the connections does again and again, numbered; gives how many a second, and how long each
/// took in microseconds, sorted.
async fn measured(
    server: &Arc<Server>,
    ask: impl AsyncFn(&Server, usize) -> Result<()>,
) -> Result<(f64, Vec<i64>)> {
    let began = Instant::now();
    let ask = &ask;
    let connections = (0..CONNECTIONS).map(|connection| async move {
        let mut took = Vec::new();
        for n in (connection..).step_by(CONNECTIONS) {
            if began.elapsed() > LASTS {
                break;
            }
            let asked = Instant::now();
            ask(server, n).await?;
            took.push(i64::try_from(asked.elapsed().as_micros())?);
        }
        anyhow::Ok(took)
    });
    let mut all: Vec<i64> = futures::future::try_join_all(connections).await?.into_iter().flatten().collect();
    all.sort_unstable();
    Ok((all.len() as f64 / began.elapsed().as_secs_f64(), all))
}

fn tell(what: &str, rate: f64, took: &[i64]) {
    let ms = |share| super::at(took, share) as f64 / 1_000.0;
    println!(
        "http, {CONNECTIONS} connections: {what}: {rate:.0}/s, median {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
}
