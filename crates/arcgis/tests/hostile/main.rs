//! What becomes of answers that are none: each has an outcome that a caller can act on, and none takes long or much.

mod jobs;
mod portal_and_gp;

use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use isochrone_arcgis::jobs::SubmitOutcome;
use isochrone_arcgis::{Connection, Credentials, Error, Portal, SignedIn, Trust};
use isochrone_sandbox::{Fault, SimulatedPortal};
use isochrone_testkit::peak_memory;

/// Of one request; the real limit is a minute.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Where much is sent before it is too much, by a debug build.
const PATIENT: Duration = Duration::from_mins(1);
const MIB: u64 = 1 << 20;

type Read<'a> = (&'static str, Pin<Box<dyn Future<Output = isochrone_arcgis::Result<()>> + 'a>>);

/// What became of a request as the table has it.
fn word(outcome: &isochrone_arcgis::Result<()>) -> &'static str {
    outcome.as_ref().map_or_else(kind, |()| "done")
}

/// The same of a submission.
fn submitted<H>(outcome: &SubmitOutcome<H>) -> String {
    match outcome {
        SubmitOutcome::Begun(_) => "done".to_owned(),
        SubmitOutcome::BegunWithoutHandle(_) => "taken".to_owned(),
        SubmitOutcome::NotBegun { error, .. } => kind(error).to_owned(),
        SubmitOutcome::Unknown(error) => format!("unknown, {}", kind(error)),
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Token(_) => "token",
        Error::Forbidden(_) => "forbidden",
        Error::Refused(_) => "refused",
        Error::Unavailable(_) => "unavailable",
        Error::Busy(_) => "busy",
        Error::Unreadable(_) => "unreadable",
        Error::Config(_) => "config",
    }
}

/// The most memory that this process ever had, in bytes.
fn peak() -> Result<u64> {
    peak_memory(std::process::id())
}

/// A client of the portal, and one that is signed in there as its administrator.
fn clients_of(portal: &SimulatedPortal, timeout: Duration) -> Result<(Portal, SignedIn)> {
    let connection = Connection { url: portal.url(), trust: Trust::System, timeout: Some(timeout) };
    let bare = Portal::new(&connection)?;
    let (username, password) = ("siteadmin".to_owned(), "site-password".to_owned());
    let signed_in = SignedIn::new(bare.clone(), Credentials::Password { username, password });
    Ok((bare, signed_in))
}

/// Each, asked while the fault is planned, has the expected outcome, and soon.
async fn assert_outcomes(
    reads: Vec<Read<'_>>,
    expected: &str,
    fault: Fault,
    plan: impl Fn(),
    heal: impl Fn(),
) -> Result<()> {
    for (name, asked) in reads {
        plan();
        let started = Instant::now();
        let outcome = asked.await;
        assert_eq!(word(&outcome), expected, "{name}: {fault:?}: {outcome:?}");
        ensure!(fault == Fault::Endless || started.elapsed() < TIMEOUT * 4, "{name}: {fault:?}");
        heal();
    }
    Ok(())
}

/// One test, for the memory is the process's.
#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_answer_has_an_outcome() -> Result<()> {
    Box::pin(jobs::check()).await?;
    portal_and_gp::check().await
}
