//! Planted bugs are found.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use isochrone_simulator::{Bug, Plan, simulate};

/// A bug is found within so many seeds.
const SEEDS: u64 = 60;

fn is_found(bug: Bug) {
    let plan = Plan { length: Duration::from_hours(1), tasks: 100, bug: Some(bug), ..Plan::default() };
    let mut found =
        (1..=SEEDS).map(|seed| simulate(seed, plan).unwrap()).filter(|one| !one.violations.is_empty());
    let first = found.next().unwrap_or_else(|| panic!("{bug:?} is not found within {SEEDS} seeds"));
    println!("{bug:?} is found by seed {}: {}", first.seed, first.violations[0]);
}

macro_rules! found {
    ($($name:ident: $bug:ident),* $(,)?) => {
        $(
            #[test]
            #[cfg_attr(not(tokio_unstable), ignore = "`cargo xtask test` runs it, optimized")]
            fn $name() {
                is_found(Bug::$bug);
            }
        )*

        /// No bug is without a test.
        #[test]
        fn each_bug_is_looked_for() {
            assert_eq!(Bug::ALL.to_vec(), vec![$(Bug::$bug),*]);
        }
    };
}

found! {
    a_fence_that_compares_numbers_only: FenceByNumber,
    a_cancel_that_is_not_told: CancelLost,
    an_end_that_is_not_kept: EndNotKept,
    leases_that_expire_while_the_store_is_away: ExpiryWithoutLooks,
    a_run_that_is_counted_twice: CountedTwice,
    a_task_that_stops_firing: FiringStops,
    a_claim_of_a_run_that_another_has: ClaimAlwaysGranted,
}
