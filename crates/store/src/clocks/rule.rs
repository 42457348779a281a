//! The rule, without a clock of its own.

use std::collections::VecDeque;

/// Clocks that differ by no more than this agree.
const TOLERANCE_MS: i64 = 5_000;

/// A clock that was set is believed when it has gone on for so long.
const STEADY_MS: i64 = 30_000;

/// An answer that took longer says too little about the clocks to be remembered.
const PROMPT_MS: i64 = 2_000;

/// Samples closer to each other than this are one.
const APART_MS: i64 = 200;

/// What the clocks showed at one moment, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The clocks of the store's servers, since 1970 UTC, always in the same order.
    pub servers: Vec<i64>,
    /// This machine's clock, since 1970 UTC.
    pub machine: i64,
    /// Since this machine was started, its sleep included (`CLOCK_BOOTTIME`).
    pub boot: i64,
    /// How long it took to ask: the servers may be off by as much.
    pub took: i64,
}

/// In what the clocks disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// A server shows another time than this machine.
    #[error("the store's clock is {} s {} this machine's", seconds(*ahead_ms), side(*ahead_ms))]
    Apart {
        /// How far the server is ahead; behind, if negative.
        ahead_ms: i64,
    },
    /// A server's clock was set in the last 30 s.
    #[error("the store's clock was set by {} s in the last 30 s", seconds(*by_ms))]
    ServerSet {
        /// How far it moved against the time since this machine's start.
        by_ms: i64,
    },
    /// This machine's clock was set in the last 30 s.
    #[error("this machine's clock was set by {} s in the last 30 s", seconds(*by_ms))]
    MachineSet {
        /// How far it moved against the time since this machine's start.
        by_ms: i64,
    },
}

fn seconds(ms: i64) -> i64 {
    (ms.abs() + 500) / 1_000
}

fn side(ahead_ms: i64) -> &'static str {
    if ahead_ms < 0 { "behind" } else { "ahead of" }
}

/// What was seen in the last 30 s.
///
/// Clocks agree where those of the servers and of this machine show the same time, and each has gone as the time since
/// the machine's start has, within 5 s. At the first sample they are taken as they are.
#[derive(Clone, Debug, Default)]
pub struct ClockRule {
    seen: VecDeque<Sample>,
}

impl ClockRule {
    /// Whether the clocks agree, this sample included.
    ///
    /// # Errors
    /// In what they disagree.
    pub fn observe(&mut self, sample: &Sample) -> Result<(), Disagreement> {
        while self.seen.front().is_some_and(|first| sample.boot - first.boot > STEADY_MS) {
            self.seen.pop_front();
        }
        let tolerated = TOLERANCE_MS + sample.took / 2;
        let verdict = self.judge(sample, tolerated);
        let is_new = self.seen.back().is_none_or(|last| {
            let moved = |now: i64, then: i64| (offset(now, sample) - offset(then, last)).abs() > APART_MS;
            sample.boot - last.boot >= APART_MS
                || moved(sample.machine, last.machine)
                || sample.servers.iter().zip(&last.servers).any(|(now, then)| moved(*now, *then))
        });
        if is_new && sample.took <= PROMPT_MS {
            self.seen.push_back(sample.clone());
        }
        verdict
    }

    fn judge(&self, sample: &Sample, tolerated: i64) -> Result<(), Disagreement> {
        for server in &sample.servers {
            let ahead_ms = server - sample.machine;
            if ahead_ms.abs() > tolerated {
                return Err(Disagreement::Apart { ahead_ms });
            }
        }
        // Against every sample there is: a clock that went back and forth has not gone on.
        let all = || self.seen.iter().chain([sample]);
        let by_ms = spread(all().map(|seen| offset(seen.machine, seen)));
        if by_ms > TOLERANCE_MS {
            return Err(Disagreement::MachineSet { by_ms });
        }
        for place in 0..sample.servers.len() {
            let offsets = all().filter_map(|seen| Some(offset(*seen.servers.get(place)?, seen)));
            let by_ms = spread(offsets);
            if by_ms > tolerated {
                return Err(Disagreement::ServerSet { by_ms });
            }
        }
        Ok(())
    }
}

/// How far a clock is ahead of the time since the machine's start.
fn offset(clock: i64, sample: &Sample) -> i64 {
    clock - sample.boot
}

fn spread(offsets: impl Iterator<Item = i64>) -> i64 {
    let bounds = offsets.fold(None, |bounds: Option<(i64, i64)>, offset| {
        let (low, high) = bounds.unwrap_or((offset, offset));
        Some((low.min(offset), high.max(offset)))
    });
    bounds.map_or(0, |(low, high)| high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;

    /// The seconds, of those in which the clocks are asked, in which they disagree. The clocks are off by what `server`
    /// and `machine` say of a second.
    fn disagree(
        seconds: impl IntoIterator<Item = i64>,
        server: impl Fn(i64) -> i64,
        machine: impl Fn(i64) -> i64,
    ) -> Vec<i64> {
        let mut rule = ClockRule::default();
        let sample = |second: i64| Sample {
            servers: vec![START + (second + server(second)) * 1_000],
            machine: START + (second + machine(second)) * 1_000,
            boot: 77_000 + second * 1_000,
            took: 1,
        };
        seconds.into_iter().filter(|second| rule.observe(&sample(*second)).is_err()).collect()
    }

    fn between(from: i64, until: i64) -> Vec<i64> {
        (from..until).collect()
    }

    #[test]
    fn clocks_that_go_with_each_other_agree_from_the_first_moment() {
        assert_eq!(disagree(0..600, |_| 0, |_| 0), between(0, 0));
        assert_eq!(disagree(0..600, |_| 4, |_| 0), between(0, 0), "they differ by less than is tolerated");
        assert_eq!(
            disagree(0..600, |second| second / 100, |second| second / 100),
            between(0, 0),
            "a drift is no step"
        );
    }

    #[test]
    fn a_server_that_steps_is_off_at_once_and_until_it_has_gone_on_for_half_a_minute() {
        for by in [3_600, -3_600, 60, -60, 6] {
            let server = |second| if (100..106).contains(&second) { by } else { 0 };
            assert_eq!(disagree(0..300, server, |_| 0), between(100, 136), "{by} s");
        }
    }

    #[test]
    fn a_server_that_stays_off_is_never_believed_nor_is_a_machine() {
        let off = |second| if second >= 100 { 60 } else { 0 };
        assert_eq!(disagree(0..300, off, |_| 0), between(100, 300));
        assert_eq!(disagree(0..300, |_| 0, off), between(100, 300));
        assert_eq!(disagree(0..300, |_| -60, |_| 0), between(0, 300), "from the start on");
    }

    #[test]
    fn back_and_forth_is_one_long_disagreement() {
        let server =
            |second: i64| if (100..220).contains(&second) && second / 5 % 2 == 0 { 3_600 } else { 0 };
        assert_eq!(disagree(0..400, server, |_| 0), between(100, 245));
    }

    #[test]
    fn both_clocks_of_one_machine_are_believed_when_they_have_gone_on() {
        let off = |second| if second >= 100 { -3_600 } else { 0 };
        assert_eq!(disagree(0..300, off, off), between(100, 130));
    }

    #[test]
    fn a_step_that_nobody_looked_at_is_seen_at_the_next_look() {
        let off = |second| if second >= 100 { 60 } else { 0 };
        assert_eq!(
            disagree((0..90).chain(110..150), off, off),
            between(110, 120),
            "half a minute after the last"
        );
        assert_eq!(disagree((0..90).chain(200..250), off, off), between(0, 0), "as at a start");
    }

    #[test]
    fn each_server_counts() {
        let mut rule = ClockRule::default();
        let mut sample = Sample { servers: vec![START, START, START], machine: START, boot: 0, took: 1 };
        assert_eq!(rule.observe(&sample), Ok(()));
        sample.servers[2] += 7_000;
        assert_eq!(rule.observe(&sample), Err(Disagreement::Apart { ahead_ms: 7_000 }));
    }

    #[test]
    fn a_slow_answer_proves_no_disagreement_and_is_not_remembered() {
        let mut rule = ClockRule::default();
        let sample =
            |boot, off, took| Sample { servers: vec![START + boot + off], machine: START + boot, boot, took };
        assert_eq!(rule.observe(&sample(0, 0, 1)), Ok(()));
        assert_eq!(rule.observe(&sample(10_000, 6_000, 9_000)), Ok(()));
        assert_eq!(rule.observe(&sample(11_000, 0, 1)), Ok(()));
    }
}
