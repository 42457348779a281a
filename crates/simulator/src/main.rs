//! `simulate`: runs many seeds, on all cores, and prints the trace of the first one that breaks a promise.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use isochrone_simulator::{Plan, Report, simulate};

/// Simulates a fleet with faults, a seed after the other.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Virtual hours of a seed.
    #[arg(long, default_value_t = 2.0)]
    hours: f64,
    /// Tasks of a seed.
    #[arg(long, default_value_t = 200)]
    tasks: usize,
    /// Nothing goes wrong.
    #[arg(long)]
    no_faults: bool,
    /// Print the trace of each seed.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all promises were kept.
fn run(args: &Args) -> Result<bool> {
    let plan = Plan {
        length: Duration::from_secs_f64(args.hours * 3_600.0),
        tasks: args.tasks,
        faults: !args.no_faults,
        traced: args.trace,
        bug: None,
    };
    let began = Instant::now();
    let reports = all(args, plan)?;
    let took = began.elapsed().as_secs_f64();
    let (fires, steps) =
        reports.iter().fold((0, 0), |(fires, steps), one| (fires + one.fires, steps + one.steps));
    println!("{} seeds, {fires} fires, {steps} steps of work in {took:.1} s", reports.len());
    let overlaps: u64 = reports.iter().map(|report| report.overlaps).sum();
    println!("{overlaps} runs were worked on by two right after a failover: a known gap");
    let failed: Vec<&Report> = reports.iter().filter(|report| !report.violations.is_empty()).collect();
    for report in &failed {
        println!(
            "seed {}: {} violations, the first: {}",
            report.seed,
            report.violations.len(),
            report.violations[0]
        );
    }
    if let Some(first) = failed.first() {
        let replayed = simulate(first.seed, Plan { traced: true, ..plan })?;
        println!("the trace of seed {} (digest {:016x}):", first.seed, replayed.digest);
        for line in &replayed.trace {
            println!("{line}");
        }
    }
    Ok(failed.is_empty())
}

/// Simulates the seeds on all cores.
fn all(args: &Args, plan: Plan) -> Result<Vec<Report>> {
    let (next, last) = (AtomicU64::new(args.first_seed), args.first_seed + args.seeds);
    let reports = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= last {
                            return Ok(());
                        }
                        let report = simulate(seed, plan)?;
                        if args.trace {
                            report.trace.iter().for_each(|line| println!("{line}"));
                        }
                        reports.lock().expect("no thread panics with it").push(report);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a simulation does not panic")?;
        }
        Ok(())
    })?;
    let mut reports = reports.into_inner().expect("no thread panics with it");
    reports.sort_by_key(|report| report.seed);
    Ok(reports)
}
