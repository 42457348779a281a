//! A server with 10,000 tasks and nothing due: how fast it starts, what it takes while it waits.

use std::time::Duration;

use anyhow::{Context, Result};
use isochrone_testkit::{Server, ServerOptions};

const TASKS: u32 = 10_000;
const WATCH: Duration = Duration::from_mins(1);

pub(crate) async fn measure(options: ServerOptions) -> Result<()> {
    let server = Server::start(&options).await?.sign_in().await?;
    add_tasks(&server).await?;
    server.terminate().await?;
    let mut starts = Vec::new();
    for _ in 0..5 {
        let server = Server::start(&options).await?;
        starts.push(i64::try_from(server.ready_after.as_millis())?);
        server.terminate().await?;
    }
    starts.sort_unstable();
    println!(
        "start with {TASKS} tasks: median {} ms, worst {} ms",
        super::at(&starts, 0.5),
        super::at(&starts, 1.0)
    );
    let server = Server::start(&options).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = processor_ticks(server.pid())?;
    tokio::time::sleep(WATCH).await;
    let ticks = processor_ticks(server.pid())? - before;
    // USER_HZ is 100 on every Linux that Rust runs on.
    let percent = ticks as f64 / WATCH.as_secs_f64();
    println!(
        "idle with {TASKS} tasks: {:.1} MiB resident, {percent:.2} % of a core",
        resident_mib(server.pid())?
    );
    server.terminate().await?;
    Ok(())
}

/// Tasks that are not due for a long time.
pub(super) async fn add_tasks(server: &Server) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for n in 0..TASKS {
        ids.push(server.create_task(&yearly(&format!("yearly {n}"))).await?);
    }
    Ok(ids)
}

pub(super) fn yearly(title: &str) -> [(&str, &str); 8] {
    [
        ("title", title),
        ("type", "ExecuteReport"),
        ("parameters", r#"{"reportType":"org","reportSubType":"users","title":"Users"}"#),
        ("minute", "0"),
        ("hour", "0"),
        ("dayOfMonth", "29"),
        ("month", "2"),
        ("dayOfWeek", "?"),
    ]
}

fn processor_ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name in brackets, which may hold anything: state is field 3, utime 14, stime 15.
    let fields: Vec<&str> = stat.rsplit(')').next().context("a stat line")?.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0)
}
