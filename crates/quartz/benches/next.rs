//! What reading a schedule and asking for its next fire cost, over Quartz's own test expressions.

use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

use flate2::read::GzDecoder;
use isochrone_quartz::calendar::days_from_civil;
use isochrone_quartz::{Fields, Schedule};
use serde::Deserialize;

/// Calls per measurement, as a single one is shorter than the clock can tell.
const CALLS: u32 = 200;
/// Measurements of the same thing, of which the fastest counts: the others were disturbed.
const TRIES: u32 = 5;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    minute: String,
    hour: String,
    day_of_month: String,
    month: String,
    day_of_week: String,
    after: Option<i64>,
}

impl Vector {
    fn fields(&self) -> Fields<'_> {
        Fields {
            minute: &self.minute,
            hour: &self.hour,
            day_of_month: &self.day_of_month,
            month: &self.month,
            day_of_week: &self.day_of_week,
        }
    }
}

fn main() {
    let packed = include_bytes!("../tests/vectors/quartz-open.jsonl.gz");
    let mut lines = String::new();
    GzDecoder::new(packed.as_slice()).read_to_string(&mut lines).expect("the vectors unpack");
    let vectors: Vec<Vector> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line is a vector")).collect();
    let valid: Vec<(&Vector, Schedule, i64)> = vectors
        .iter()
        .filter_map(|vector| Some((vector, Schedule::parse(&vector.fields()).ok()?, vector.after?)))
        .collect();

    println!("{} lines with a valid schedule, ns a call", valid.len());
    report(
        "next, the same moment again",
        valid.iter().map(|(_, schedule, after)| fastest(|| schedule.next(black_box(*after)))),
    );
    report(
        "next, each from the one before",
        valid.iter().map(|(_, schedule, after)| {
            let mut from = *after;
            fastest(|| {
                from = schedule.next(black_box(from)).unwrap_or(*after);
                from
            })
        }),
    );
    report(
        "next, the longest searches",
        hardest().map(|(schedule, after)| fastest(|| schedule.next(black_box(after)))),
    );
    report(
        "parse",
        valid.iter().map(|(vector, ..)| fastest(|| Schedule::parse(black_box(&vector.fields())))),
    );
    report("describe", valid.iter().map(|(_, schedule, _)| fastest(|| black_box(schedule).describe())));
}

/// Rare days, asked for at every turn of a year.
fn hardest() -> impl Iterator<Item = (Schedule, i64)> {
    let rules =
        [("29", "2", "?"), ("30W", "2", "?"), ("29W", "2", "?"), ("31W", "4", "?"), ("?", "2", "1#5")];
    rules.into_iter().flat_map(|(day_of_month, month, day_of_week)| {
        let fields = Fields { minute: "0", hour: "0", day_of_month, month, day_of_week };
        let schedule = Schedule::parse(&fields).expect("a rare day");
        (1970..2200).map(move |year| (schedule, days_from_civil(year, 1, 1) * 86_400_000))
    })
}

/// Nanoseconds a call.
fn fastest<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..TRIES {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    best
}

fn report(what: &str, costs: impl Iterator<Item = f64>) {
    let mut costs: Vec<f64> = costs.collect();
    costs.sort_by(f64::total_cmp);
    let at = |share: f64| costs[((costs.len() - 1) as f64 * share) as usize];
    println!("{what:32} median {:7.1}  99 % {:7.1}  worst {:8.1}", at(0.5), at(0.99), at(1.0));
}
