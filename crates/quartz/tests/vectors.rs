//! Quartz's own answers, line by line.

use std::io::Read;

use flate2::read::GzDecoder;
use isochrone_quartz::{Fields, Schedule};
use serde::Deserialize;

/// The horizon under which Quartz gave its answers.
const HORIZON: u16 = 2126;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    minute: String,
    hour: String,
    day_of_month: String,
    month: String,
    day_of_week: String,
    after: Option<i64>,
    valid: bool,
    next: Option<Vec<i64>>,
    #[serde(default)]
    exhausted: bool,
    #[serde(default)]
    tag: Vec<String>,
}

impl Vector {
    /// Where this line and the engine disagree.
    fn mismatch(&self) -> Option<String> {
        let fields = Fields {
            minute: &self.minute,
            hour: &self.hour,
            day_of_month: &self.day_of_month,
            month: &self.month,
            day_of_week: &self.day_of_week,
        };
        let parsed = Schedule::parse(&fields);
        if self.tag.iter().any(|tag| tag == "inner-blank") {
            return parsed.is_ok().then(|| format!("{fields:?} has a blank inside and is accepted"));
        }
        let schedule = match parsed {
            Ok(_) if !self.valid => return Some(format!("{fields:?} is accepted")),
            Err(error) if self.valid => return Some(format!("{fields:?} is refused: {error}")),
            Err(_) => return None,
            Ok(schedule) => schedule.with_horizon(HORIZON),
        };
        let expected = self.next.as_deref().unwrap_or_default();
        let wanted = expected.len() + usize::from(self.exhausted);
        let after = self.after.expect("a valid line has a moment");
        let fires: Vec<i64> = schedule.iter_after(after).take(wanted).collect();
        (fires != expected).then(|| format!("{fields:?} after {after}: {fires:?}, Quartz {expected:?}"))
    }
}

fn vectors() -> Vec<Vector> {
    let packed = include_bytes!("vectors/quartz-open.jsonl.gz");
    let mut lines = String::new();
    GzDecoder::new(packed.as_slice()).read_to_string(&mut lines).expect("the vectors unpack");
    lines.lines().map(|line| serde_json::from_str(line).expect("a line is a vector")).collect()
}

#[test]
fn equals_quartz_on_every_line() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 7_120);
    let mismatches: Vec<String> = vectors.iter().filter_map(Vector::mismatch).collect();
    let shown = mismatches.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(mismatches.is_empty(), "{} of {} lines differ:\n{shown}", mismatches.len(), vectors.len());
}
