//! `cargo xtask bench pipe`: the whole way of many runs on a real Redis and RabbitMQ, beside a bare
//! program that does the same input and output without logic.

mod limit;
mod pipe;

use std::time::Duration;

use anyhow::{Context, Result};
use isochrone_testkit::{RabbitServer, RedisServer};

/// Runs in each measurement; each is the one run of a task.
const RUNS: usize = 10_000;

/// Each is measured so often, one after the other in turn.
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let runs = match std::env::var("ISOCHRONE_BENCH_RUNS") {
        Ok(text) => text.parse().context("ISOCHRONE_BENCH_RUNS")?,
        Err(_) => RUNS,
    };
    // Cargo gives `--bench`; a name gives that part alone.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let (mut limits, mut pipes) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Servers of its own for each: what the one left costs the other nothing.
        if wanted("limit") {
            let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
            let took = limit::run(&redis.url(), &rabbit.url(), runs).await.context("limit")?;
            limits.push(rate(runs, took));
            println!("limit {round}: {runs} runs in {took:.2?}: {:.0} runs/s", rate(runs, took));
        }
        if wanted("pipe") {
            let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
            let seen = pipe::run(&redis.url(), &rabbit.url(), runs).await.context("pipe")?;
            pipes.push(rate(runs, seen.ended));
            println!(
                "pipe {round}:  {runs} runs in {:.2?}: {:.0} runs/s; all published after {:.2?}",
                seen.ended,
                rate(runs, seen.ended),
                seen.published
            );
        }
        if wanted("fire") {
            let (redis, rabbit) = tokio::try_join!(RedisServer::start(), RabbitServer::start())?;
            let took = pipe::publish(&redis.url(), &rabbit.url(), runs).await.context("fire")?;
            println!(
                "fire {round}:  {runs} tasks due at one minute, no worker: all published after {took:.2?}"
            );
        }
    }
    if !limits.is_empty() && !pipes.is_empty() {
        let (limit, pipe) = (median(limits), median(pipes));
        println!(
            "medians: limit {limit:.0} runs/s, pipe {pipe:.0} runs/s: {:.0} % of the limit",
            pipe / limit * 100.0
        );
    }
    Ok(())
}

fn rate(runs: usize, took: Duration) -> f64 {
    runs as f64 / took.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
