//! Tasks as lines of JSON, as `isochrone export` writes them.

use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, Result};
use isochrone_domain::{Policies, Transfer};
use isochrone_portal::transfer;
use isochrone_scheduler::Taken;
use isochrone_store::seal::{Keyring, SecretField};

use super::tally::Tally;
use crate::args::Import;
use crate::wiring::House;

/// In UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Imports each line for itself: one that is refused keeps no other one out.
pub(super) async fn import(
    house: &House,
    policies: &Policies,
    taken: Taken,
    import: &Import,
) -> Result<Tally> {
    let input: Box<dyn BufRead> = match &import.file {
        Some(path) => Box::new(BufReader::new(File::open(path).with_context(|| path.display().to_string())?)),
        None => Box::new(BufReader::new(std::io::stdin())),
    };
    let mut tally = Tally::default();
    for (number, line) in (1..).zip(input.split(b'\n')) {
        let (line, what) = (line?, format!("line {number}"));
        // Some editors begin a file with a byte order mark.
        let line = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line[..] };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Ok(text) = std::str::from_utf8(line) else {
            tally.refuse(&what, "it is not UTF-8".to_owned());
            continue;
        };
        let read = transfer::from_json(text, policies).map_err(|unfit| unfit.to_string());
        match read.and_then(|transfer| open(house.sealed.ring(), transfer)) {
            Ok(transfer) => drop(tally.adopt(house, &what, transfer, taken).await?),
            Err(problem) => tally.refuse(&what, problem),
        }
    }
    Ok(tally)
}

/// The task with its secrets opened; what can't be opened is named by its field.
fn open(ring: &Keyring, mut transfer: Transfer) -> Result<Transfer, String> {
    let (id, submission) = (transfer.id, &mut transfer.submission);
    for (text, field) in [
        (&mut submission.parameters, SecretField::Parameters(id)),
        (&mut submission.task_url, SecretField::TaskUrl(id)),
    ] {
        if let Some(sealed) = text.take() {
            let opened = ring.open(sealed, field).map_err(|error| format!("'{}': {error}", field.field()))?;
            *text = Some(opened);
        }
    }
    Ok(transfer)
}
