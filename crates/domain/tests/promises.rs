//! Promises 1 to 3 of the design, held over random sequences of events: every planned fire is recorded
//! exactly once, a task never makes more runs than its limit, and a run is one attempt's at a time.
//!
//! The world here is a store of the simplest kind: compare-and-set on the task's version, attempts
//! fenced by their number. What was planned is told by a walk over the minutes that knows nothing of
//! the engine.

use std::collections::{BTreeMap, BTreeSet};

use isochrone_domain::{
    AttemptEnd, CancelReason, Change, CronFields, EpochMillis, FireId, ItemId, Lease, Limits, MisfirePolicy,
    Outcome, OverlapPolicy, Policies, Reason, RetryPolicy, Run, RunId, RunStatus, Submission, Task, TaskId,
    TaskState, TaskType, accept, cancel, disable, edit, enable, plan_fires, plan_request, retry, settle,
};
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const START: EpochMillis = EpochMillis(1_700_000_000_000);

#[derive(Clone, Debug)]
enum Event {
    /// Time passes; nobody fires.
    Wait(i64),
    /// A scheduler decides what is due, in chunks of this size.
    Fire(usize),
    /// Two schedulers read the same task and both try to commit.
    Race,
    /// Time jumps back.
    JumpBack(i64),
    Claim(prop::sample::Index),
    End(prop::sample::Index, bool),
    GiveBack(prop::sample::Index),
    Lapse(prop::sample::Index),
    /// An attempt that lost its run writes late.
    LateEnd(prop::sample::Index),
    Cancel(prop::sample::Index),
    Retry(prop::sample::Index),
    Disable,
    Enable,
    EverySoMany(i64),
    Limit(u64),
    RunNow(u8),
}

fn events() -> impl Strategy<Value = Event> {
    use prop::sample::Index;
    prop_oneof![
        6 => (1..20 * MINUTE).prop_map(Event::Wait),
        6 => (1..4_usize).prop_map(Event::Fire),
        2 => Just(Event::Race),
        1 => (1..5 * MINUTE).prop_map(Event::JumpBack),
        4 => any::<Index>().prop_map(Event::Claim),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(i, ok)| Event::End(i, ok)),
        1 => any::<Index>().prop_map(Event::GiveBack),
        2 => any::<Index>().prop_map(Event::Lapse),
        1 => any::<Index>().prop_map(Event::LateEnd),
        1 => any::<Index>().prop_map(Event::Cancel),
        1 => any::<Index>().prop_map(Event::Retry),
        1 => Just(Event::Disable),
        1 => Just(Event::Enable),
        1 => (1..7_i64).prop_map(Event::EverySoMany),
        1 => (1..40_u64).prop_map(Event::Limit),
        1 => any::<u8>().prop_map(Event::RunNow),
    ]
}

fn policies() -> impl Strategy<Value = Policies> {
    let misfire = prop_oneof![
        Just(MisfirePolicy::RunLatest),
        (1..5_u32).prop_map(|max| MisfirePolicy::RunAll { max }),
        (0..180_000_u64).prop_map(|grace_ms| MisfirePolicy::Skip { grace_ms }),
    ];
    let overlap =
        prop_oneof![Just(OverlapPolicy::Skip), Just(OverlapPolicy::Queue), Just(OverlapPolicy::Allow),];
    (misfire, overlap, 0..3_u32, prop::option::of(1..6_u32)).prop_map(
        |(misfire, overlap, max_retries, max_consecutive_failures)| Policies {
            misfire,
            overlap,
            retry: RetryPolicy { max_retries, backoff_ms: 30_000 },
            max_consecutive_failures,
            ..Policies::default()
        },
    )
}

/// What the schedule promises from a moment on, as the walk over the minutes sees it.
struct Promised {
    every: i64,
    after: EpochMillis,
    planning: bool,
}

struct World {
    now: EpochMillis,
    task: Task,
    runs: BTreeMap<RunId, Run>,
    /// Ledger: what was recorded of scheduled minutes.
    recorded: BTreeMap<FireId, EpochMillis>,
    promised: Promised,
    expected: BTreeSet<EpochMillis>,
    /// Attempts that were granted and are over: their writes must be refused.
    lost: Vec<(RunId, u32)>,
    made: u64,
}

impl World {
    fn new(policies: Policies, every: i64, max: Option<u64>) -> World {
        let submission = Submission {
            title: String::new(),
            kind: TaskType::ExecuteNotebook,
            item_id: Some(ItemId::from_bytes([1; 16])),
            task_url: None,
            parameters: None,
            cron: every_so_many(every),
            start: None,
            end: None,
            max_occurrences: max,
            policies,
        };
        let task = accept(submission, TaskId::from_bytes([9; 16]), "nora", START, &Limits::default())
            .expect("the submission is good");
        World {
            now: START,
            task,
            runs: BTreeMap::new(),
            recorded: BTreeMap::new(),
            promised: Promised { every, after: START, planning: true },
            expected: BTreeSet::new(),
            lost: Vec::new(),
            made: 0,
        }
    }

    /// The walk: which minutes were promised up to now.
    fn walk(&mut self) {
        if self.promised.planning {
            let first = self.promised.after.0.div_euclid(MINUTE) + 1;
            for minute in first..=self.now.0.div_euclid(MINUTE) {
                if minute.rem_euclid(60) % self.promised.every == 0 {
                    self.expected.insert(EpochMillis(minute * MINUTE));
                }
            }
        }
        self.promised.after = self.promised.after.max(self.now);
    }

    /// After the clock jumped back, a change takes back minutes that the clock had shown before.
    fn withdraw_what_lies_ahead(&mut self) {
        let recorded: BTreeSet<EpochMillis> = self.recorded.values().copied().collect();
        self.expected.retain(|minute| *minute <= self.now || recorded.contains(minute));
    }

    fn unfinished(&self) -> u64 {
        self.runs.values().filter(|run| !run.status.ended()).count() as u64
    }

    /// Decides what is due; false when nothing was.
    fn fire(&mut self, chunk: usize) -> bool {
        let plan = plan_fires(&self.task, &self.task.schedule(), self.unfinished(), self.now, chunk);
        if plan.fires.is_empty() {
            if plan.task.next_fire != self.task.next_fire {
                // The clock jumped back before a minute that was due when it was disabled.
                assert_ne!(self.task.state, TaskState::Active, "a plan without fires changed the task");
                assert_eq!(plan.task.next_fire, None);
                self.write(plan.task);
            }
            return false;
        }
        for fire in &plan.fires {
            let earlier = self.recorded.insert(fire.id, fire.planned);
            assert_eq!(earlier, None, "the fire of {} was recorded twice", fire.planned);
        }
        for run in plan.runs(self.now) {
            self.keep_new(run);
        }
        self.write(plan.task);
        true
    }

    fn keep_new(&mut self, run: Run) {
        if !run.status.ended() {
            self.made += 1;
        }
        assert!(self.runs.insert(run.id, run).is_none(), "a run was made twice");
    }

    fn write(&mut self, task: Task) {
        self.task = Task { version: self.task.version + 1, ..task };
    }

    /// Two schedulers that read the same version: the one whose compare-and-set comes second is refused.
    fn race(&mut self) {
        let read = self.task.version;
        let unfinished = self.unfinished();
        let second = plan_fires(&self.task, &self.task.schedule(), unfinished, self.now, 100);
        let fired = self.fire(100);
        if fired {
            assert_ne!(read, self.task.version);
            // Both computed the same ids: even without the version the ledger's key would refuse it.
            assert!(second.fires.iter().all(|fire| self.recorded.contains_key(&fire.id)));
        }
    }

    fn decide_all_due(&mut self) {
        while self.fire(100) {}
    }

    fn pick(&self, index: prop::sample::Index, wanted: impl Fn(&Run) -> bool) -> Option<Run> {
        let found: Vec<&Run> = self.runs.values().filter(|run| wanted(run)).collect();
        (!found.is_empty()).then(|| index.get(&found).to_owned().clone())
    }

    fn claim(&mut self, index: prop::sample::Index) {
        let now = self.now;
        let due = |run: &Run| matches!(run.status, RunStatus::Queued { due } if due <= now);
        if let Some(mut run) = self.pick(index, due) {
            run.attempt += 1;
            run.started.get_or_insert(now);
            run.status = RunStatus::Executing { lease: Lease { worker: format!("w{}", run.attempt) } };
            self.runs.insert(run.id, run);
        }
    }

    fn end(&mut self, run: &Run, end: AttemptEnd) {
        let settled = settle(&self.task, run, end, Vec::new(), self.now);
        self.lost.push((run.id, run.attempt));
        if settled.task != self.task {
            if settled.task.state == TaskState::Disabled && self.task.state != TaskState::Disabled {
                self.walk();
                self.withdraw_what_lies_ahead();
                self.promised.planning = false;
            }
            self.write(settled.task);
        }
        let ended = settled.run.status.ended();
        self.runs.insert(run.id, settled.run);
        if ended {
            self.release_next();
        }
    }

    fn release_next(&mut self) {
        let waiting = self.runs.values_mut().filter(|run| run.status == RunStatus::Waiting);
        if let Some(next) = waiting.min_by_key(|run| run.planned) {
            next.status = RunStatus::Queued { due: self.now };
        }
    }

    /// What is due is decided before a change, as the scheduler does it.
    fn change(&mut self, change: impl Fn(&Task, EpochMillis) -> Task, every: Option<i64>) {
        self.walk();
        self.decide_all_due();
        let changed = change(&self.task, self.now);
        let replans = (changed.generation, changed.state) != (self.task.generation, self.task.state);
        self.write(changed);
        if !replans {
            return;
        }
        self.withdraw_what_lies_ahead();
        self.promised = Promised {
            every: every.unwrap_or(self.promised.every),
            after: self.task.last_fire.map_or(self.now, |last| last.max(self.now)),
            planning: self.task.state == TaskState::Active,
        };
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Wait(ms) => self.now = EpochMillis(self.now.0 + ms),
            Event::JumpBack(ms) => self.now = EpochMillis(self.now.0 - ms),
            Event::Fire(chunk) => {
                self.walk();
                self.fire(chunk);
            }
            Event::Race => {
                self.walk();
                self.race();
            }
            Event::Claim(index) => self.claim(index),
            Event::End(index, ok) => {
                if let Some(run) = self.pick(index, executing) {
                    let result = String::new();
                    let reason = Reason::ExecutionError;
                    let end = if ok {
                        AttemptEnd::Succeeded { result }
                    } else {
                        AttemptEnd::Failed { reason, result }
                    };
                    self.end(&run, end);
                }
            }
            Event::GiveBack(index) => {
                if let Some(run) = self.pick(index, executing) {
                    self.end(&run, AttemptEnd::GivenBack);
                }
            }
            Event::Lapse(index) => {
                if let Some(run) = self.pick(index, executing) {
                    self.end(&run, AttemptEnd::Lapsed);
                }
            }
            Event::LateEnd(index) => {
                if !self.lost.is_empty() {
                    let (run, attempt) = *index.get(&self.lost);
                    let now = &self.runs[&run];
                    let holds = executing(now) && now.attempt == attempt;
                    assert!(!holds, "an attempt that is over holds its run");
                }
            }
            Event::Cancel(index) => {
                if let Some(run) = self.pick(index, |run| !run.status.ended()) {
                    let cancelled =
                        cancel(&run, "nora", CancelReason::Requested, self.now).expect("it has not ended");
                    let ended = cancelled.status.ended();
                    self.runs.insert(run.id, cancelled);
                    if ended {
                        self.release_next();
                    }
                }
            }
            Event::Retry(index) => {
                let ended = self.pick(index, |run| run.status.ended());
                if let Some(again) = ended.and_then(|run| retry(&run, self.now)) {
                    self.runs.insert(again.id, again);
                }
            }
            Event::Disable => self.change(disable, None),
            Event::Enable => self.change(enable, None),
            Event::EverySoMany(every) => {
                let CronFields { minute, .. } = every_so_many(every);
                let change = Change { minute: Some(minute), ..Change::default() };
                self.change(|task, now| edited(task, &change, now), Some(every));
            }
            Event::Limit(max) => {
                let change = Change { max_occurrences: Some(Some(max)), ..Change::default() };
                self.change(|task, now| edited(task, &change, now), None);
            }
            Event::RunNow(nonce) => self.run_now(nonce),
        }
        self.check();
    }

    fn run_now(&mut self, nonce: u8) {
        let planned = plan_request(&self.task, self.unfinished(), "nora", [nonce; 16], self.now);
        let Some((task, run)) = planned else {
            assert!(self.task.max_occurrences.is_some_and(|max| self.task.occurrences >= max));
            return;
        };
        // A repeated request is the same fire: the store has its run already.
        if !self.runs.contains_key(&run.id) {
            self.walk();
            self.keep_new(run);
            self.write(task);
        }
    }

    fn check(&self) {
        let task = &self.task;
        assert_eq!(task.occurrences, self.made, "the count is the number of runs that were made");
        let tries: u32 = self.runs.values().map(|run| run.attempt).sum();
        assert!(u64::from(tries) >= self.runs.values().filter(|run| executing(run)).count() as u64);
        for run in self.runs.values() {
            if let RunStatus::Executing { lease } = &run.status {
                // The lease names the latest attempt: an earlier one is fenced by its number.
                assert_eq!(lease.worker, format!("w{}", run.attempt));
            }
        }
    }
}

fn edited(task: &Task, change: &Change, now: EpochMillis) -> Task {
    edit(task, change.clone(), now, &Limits::default()).expect("the change is good")
}

fn executing(run: &Run) -> bool {
    matches!(run.status, RunStatus::Executing { .. })
}

fn every_so_many(minutes: i64) -> CronFields {
    CronFields {
        minute: format!("*/{minutes}"),
        hour: "*".into(),
        day_of_month: "*".into(),
        month: "*".into(),
        day_of_week: "?".into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn every_planned_fire_is_recorded_once_and_the_limit_holds(
        policies in policies(),
        every in 1..7_i64,
        max in prop::option::of(1..30_u64),
        sequence in prop::collection::vec(events(), 1..80),
    ) {
        let mut world = World::new(policies, every, max);
        let mut highest_limit = max;
        for event in sequence {
            if let Event::Limit(limit) = &event {
                highest_limit = highest_limit.map(|high| high.max(*limit));
            }
            world.step(event);
            if let Some(limit) = highest_limit {
                prop_assert!(world.made <= limit, "{} runs were made, {} allowed", world.made, limit);
            }
        }
        // Later than any moment that the clock showed before it jumped back.
        world.now = EpochMillis(world.now.0 + 80 * 5 * MINUTE);
        world.walk();
        world.decide_all_due();
        let recorded: BTreeSet<EpochMillis> = world.recorded.values().copied().collect();
        prop_assert_eq!(recorded.len(), world.recorded.len(), "a minute was recorded by two fires");
        let surplus: Vec<_> = recorded.difference(&world.expected).collect();
        prop_assert!(surplus.is_empty(), "recorded, but never planned: {:?}", surplus);
        // Once the limit was reached, the schedule promises nothing more.
        if world.task.max_occurrences.is_none() && highest_limit.is_none() {
            let missing: Vec<_> = world.expected.difference(&recorded).collect();
            prop_assert!(missing.is_empty(), "planned, but never recorded: {:?}", missing);
        }
    }

    #[test]
    fn without_interference_each_run_of_the_limit_is_made(
        every in 1..7_i64, max in 1..50_u64, pauses in prop::collection::vec(1..3 * MINUTE, 100..400),
    ) {
        let policies = Policies { overlap: OverlapPolicy::Allow, ..Policies::default() };
        let mut world = World::new(policies, every, Some(max));
        let mut fired_minutes = BTreeSet::new();
        for pause in pauses {
            world.now = EpochMillis(world.now.0 + pause);
            world.walk();
            world.decide_all_due();
            fired_minutes.extend(world.recorded.values().copied());
        }
        let runs = world.runs.values().filter(|run| !run.status.ended()).count() as u64;
        prop_assert!(runs <= max);
        prop_assert!(runs == max || fired_minutes.len() == world.expected.len());
        prop_assert_eq!(world.task.next_fire.is_none(), runs == max);
    }
}

#[test]
fn a_skipped_fire_is_no_occurrence() {
    let mut world = World::new(Policies::default(), 1, Some(2));
    world.now = EpochMillis(START.0 + 30 * MINUTE);
    world.decide_all_due();
    let skipped = world
        .runs
        .values()
        .filter(|run| matches!(run.status, RunStatus::Ended { outcome: Outcome::Skipped, .. }))
        .count();
    assert_eq!((world.recorded.len(), skipped, world.task.occurrences), (30, 29, 1));
}
