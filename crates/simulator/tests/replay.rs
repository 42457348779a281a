//! A seed's trace can be seen again.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use isochrone_simulator::{Plan, simulate};

fn short() -> Plan {
    Plan { length: Duration::from_mins(30), tasks: 40, traced: true, ..Plan::default() }
}

#[test]
#[cfg_attr(not(tokio_unstable), ignore = "`cargo xtask test` runs it with Tokio's seeded order of `select!`")]
fn the_same_seed_has_the_same_trace() {
    let (first, again) = (simulate(7, short()).unwrap(), simulate(7, short()).unwrap());
    for (one, other) in first.trace.iter().zip(&again.trace) {
        assert_eq!(one, other);
    }
    assert_eq!(first.digest, again.digest);
    assert!(first.fires > 0 && first.steps > 0, "{first:?}");
}

#[test]
fn another_seed_has_another_trace() {
    assert_ne!(simulate(7, short()).unwrap().digest, simulate(8, short()).unwrap().digest);
}

#[test]
fn promises_are_kept_where_nothing_goes_wrong() {
    let report = simulate(1, Plan { faults: false, ..short() }).unwrap();
    assert_eq!(report.violations, Vec::<String>::new());
    assert!(report.fires > 50, "{report:?}");
}
