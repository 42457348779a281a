//! What becomes of answers that are none: each has an outcome that a caller can act on, and none takes long or much.

mod jobs;
mod portal_and_gp;

use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use isochrone_arcgis::gp::NotSubmitted;
use isochrone_arcgis::{Connection, Credentials, Error, Portal, SignedIn, Trust};
use isochrone_sandbox::{Fault, SimulatedPortal};
use isochrone_testkit::peak_memory;

/// Of one request; the real limit is a minute.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Where much is sent before it is too much, by a debug build.
const PATIENT: Duration = Duration::from_mins(1);
const MIB: u64 = 1 << 20;

type Read<'a> = (&'static str, Pin<Box<dyn Future<Output = isochrone_arcgis::Result<()>> + 'a>>);

/// An outcome as the table has it.
fn word(outcome: &std::result::Result<(), NotSubmitted>) -> String {
    let kind = |error: &Error| match error {
        Error::Token(_) => "token",
        Error::Forbidden(_) => "forbidden",
        Error::Refused(_) => "refused",
        Error::Unavailable(_) => "unavailable",
        Error::Busy(_) => "busy",
        Error::Unreadable(_) => "unreadable",
        Error::Config(_) => "config",
    };
    match outcome {
        Ok(()) => "done".to_owned(),
        Err(NotSubmitted::Nothing(error)) => kind(error).to_owned(),
        Err(NotSubmitted::Unknown(error)) => format!("unknown, {}", kind(error)),
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
        let outcome = asked.await.map_err(NotSubmitted::Nothing);
        assert_eq!(word(&outcome), expected, "{name}: {fault:?}: {outcome:?}");
        ensure!(fault == Fault::Endless || started.elapsed() < TIMEOUT * 4, "{name}: {fault:?}");
        heal();
    }
    Ok(())
}

/// One test, for the memory is the process's.
#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_answer_has_an_outcome() -> Result<()> {
    jobs::check().await?;
    portal_and_gp::check().await
}
