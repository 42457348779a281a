//! Ctrl-C and SIGTERM.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A second signal this soon is the same one, sent to the process and to its group.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

/// Ctrl-C or SIGTERM: first the worker drains, then everything else ends. A later one ends at once.
pub(super) struct Stop {
    pub(super) draining: CancellationToken,
    pub(super) stopped: CancellationToken,
}

impl Stop {
    pub(super) fn on_signals() -> Result<Stop> {
        let stop = Stop { draining: CancellationToken::new(), stopped: CancellationToken::new() };
        let draining = stop.draining.clone();
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::spawn(async move {
            let mut first: Option<Instant> = None;
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                match first {
                    None => first = Some(Instant::now()),
                    Some(first) if first.elapsed() < ONE_SIGNAL => continue,
                    Some(_) => {
                        eprintln!("Stopped at once; the leases of running work will lapse.");
                        std::process::exit(130);
                    }
                }
                draining.cancel();
            }
        });
        Ok(stop)
    }
}
