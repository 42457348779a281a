//! The rules one by one: dates, misfires, overlaps, retries, cancels, what is refused.

use std::time::Duration;

use isochrone_domain::{
    AttemptEnd, CancelReason, Change, Claimant, CrashPolicy, CronFields, Decision, EpochMillis, Held, ItemId,
    Lease, Limits, MisfirePolicy, Outcome, OverlapPolicy, Policies, Progress, Reason, Refusal, Renewed,
    RetryPolicy, Run, RunStatus, Settled, Submission, Task, TaskId, TaskState, TaskType, accept, cancel,
    claim, disable, edit, enable, plan_backfill, plan_fires, plan_fires_before, planned_minutes, renew,
    replan, restart, settle,
};

const MINUTE: i64 = 60_000;
/// 2023-11-14T22:00:00Z.
const HOUR_BEGINS: EpochMillis = EpochMillis(1_699_999_200_000);

fn submission() -> Submission {
    Submission {
        title: "t".into(),
        kind: TaskType::ExecuteNotebook,
        item_id: Some(ItemId::from_bytes([1; 16])),
        task_url: None,
        parameters: None,
        cron: CronFields {
            minute: "*/1".into(),
            hour: "*".into(),
            day_of_month: "*".into(),
            month: "*".into(),
            day_of_week: "?".into(),
        },
        start: None,
        end: None,
        max_occurrences: None,
        policies: Policies::default(),
    }
}

fn task_of(submission: Submission, now: EpochMillis) -> Task {
    accept(submission, TaskId::from_bytes([2; 16]), "nora", now, &Limits::default()).expect("it is good")
}

fn refused(change: impl FnOnce(&mut Submission)) -> String {
    let mut submission = submission();
    change(&mut submission);
    accept(submission, TaskId::from_bytes([2; 16]), "nora", HOUR_BEGINS, &Limits::default())
        .expect_err("it is refused")
        .to_string()
}

fn minutes_after(minutes: i64) -> EpochMillis {
    EpochMillis(HOUR_BEGINS.0 + minutes * MINUTE)
}

fn due(task: &Task, unfinished: u64, now: EpochMillis) -> Vec<(i64, Decision, Reason)> {
    plan_fires(task, &task.schedule(), unfinished, now, 1_000)
        .fires
        .iter()
        .map(|fire| (fire.planned.since(HOUR_BEGINS) / MINUTE, fire.decision, fire.reason))
        .collect()
}

fn a_run(task: &Task) -> Run {
    let now = task.next_fire.expect("it fires");
    let mut run = plan_fires(task, &task.schedule(), 0, now, 1).runs(now).remove(0);
    run.attempt = 1;
    run
}

#[test]
fn start_and_end_are_inclusive() {
    let dated = Submission { start: Some(minutes_after(5)), end: Some(minutes_after(7)), ..submission() };
    let mut task = task_of(dated, HOUR_BEGINS);
    let mut fired = Vec::new();
    while let Some(next) = task.next_fire {
        fired.push(next.since(HOUR_BEGINS) / MINUTE);
        task = plan_fires(&task, &task.schedule(), 0, next, 1).task;
    }
    assert_eq!(fired, [5, 6, 7]);
}

#[test]
fn a_start_within_a_minute_waits_for_the_next_and_is_cut_to_the_second() {
    let at = |ms: i64| EpochMillis(minutes_after(5).0 + ms);
    let first = |start| task_of(Submission { start: Some(start), ..submission() }, HOUR_BEGINS).next_fire;
    assert_eq!(first(at(999)), Some(minutes_after(5)));
    assert_eq!(first(at(1_000)), Some(minutes_after(6)));
}

#[test]
fn dates_of_the_past_leave_no_fire_as_in_arcgis_own_examples() {
    let past = EpochMillis(1_589_428_800_000);
    let task = task_of(Submission { start: Some(past), end: Some(past), ..submission() }, HOUR_BEGINS);
    assert_eq!((task.state, task.next_fire), (TaskState::Active, None));
}

#[test]
fn an_hour_of_downtime_follows_the_misfire_policy() {
    let back = minutes_after(60);
    let with = |misfire| {
        let policies = Policies { misfire, ..Policies::default() };
        task_of(Submission { policies, ..submission() }, HOUR_BEGINS)
    };
    let fires = due(&with(MisfirePolicy::RunLatest), 0, EpochMillis(back.0 + 30_000));
    assert_eq!(fires.len(), 60);
    assert!(fires[..59].iter().all(|fire| (fire.1, fire.2) == (Decision::Skip, Reason::SkippedMisfire)));
    assert_eq!(fires[59], (60, Decision::Run, Reason::Late));

    let fires = due(&with(MisfirePolicy::RunAll { max: 3 }), 0, EpochMillis(back.0 + 30_000));
    assert_eq!(fires[56].1, Decision::Skip);
    assert_eq!(
        fires[57..],
        [
            (58, Decision::Run, Reason::CaughtUp),
            (59, Decision::RunAfterOthers, Reason::CaughtUp),
            (60, Decision::RunAfterOthers, Reason::Late)
        ]
    );

    let fires = due(&with(MisfirePolicy::Skip { grace_ms: 20_000 }), 0, EpochMillis(back.0 + 30_000));
    assert!(fires.iter().all(|fire| fire.1 == Decision::Skip));
    let fires = due(&with(MisfirePolicy::Skip { grace_ms: 20_000 }), 0, EpochMillis(back.0 + 5_000));
    assert_eq!(fires[59], (60, Decision::Run, Reason::OnTime));
}

#[test]
fn a_backlog_is_decided_in_chunks_that_agree_with_the_whole() {
    let task = task_of(submission(), HOUR_BEGINS);
    let now = minutes_after(60);
    let whole = due(&task, 0, now);
    let mut chunked = Vec::new();
    let mut task = task;
    loop {
        let plan = plan_fires(&task, &task.schedule(), 0, now, 7);
        if plan.fires.is_empty() {
            break;
        }
        chunked
            .extend(plan.fires.iter().map(|f| (f.planned.since(HOUR_BEGINS) / MINUTE, f.decision, f.reason)));
        task = plan.task;
    }
    assert_eq!(chunked, whole);
}

#[test]
fn an_overlap_follows_its_policy() {
    let with = |overlap| {
        let policies = Policies { overlap, ..Policies::default() };
        task_of(Submission { policies, ..submission() }, HOUR_BEGINS)
    };
    let now = minutes_after(1);
    assert_eq!(due(&with(OverlapPolicy::Skip), 1, now), [(1, Decision::Skip, Reason::SkippedOverlap)]);
    assert_eq!(due(&with(OverlapPolicy::Queue), 1, now), [(1, Decision::RunAfterOthers, Reason::OnTime)]);
    assert_eq!(due(&with(OverlapPolicy::Allow), 1, now), [(1, Decision::Run, Reason::OnTime)]);
}

#[test]
fn a_task_disabled_with_a_fire_undecided_tells_of_it() {
    let task = disable(&task_of(submission(), HOUR_BEGINS), minutes_after(2));
    let plan = plan_fires(&task, &task.schedule(), 0, minutes_after(30), 1_000);
    let told: Vec<_> = plan.fires.iter().map(|fire| (fire.decision, fire.reason)).collect();
    assert_eq!(told, [(Decision::Skip, Reason::SkippedDisabled); 2]);
    assert_eq!((plan.task.next_fire, plan.task.occurrences), (None, 0));
    // The clock went back and the task was changed before the fire that is due was decided.
    let back = isochrone_domain::Task { updated: HOUR_BEGINS, ..task };
    let plan_back = plan_fires(&back, &back.schedule(), 0, minutes_after(30), 1_000);
    assert_eq!((plan_back.fires.len(), plan_back.task.next_fire), (0, None), "it leaves the due index");
    let again = enable(&plan.task, minutes_after(30));
    assert_eq!(again.next_fire, Some(minutes_after(31)));
}

#[test]
fn a_restarted_task_plans_fires_whatever_ended_that() {
    let task = task_of(Submission { max_occurrences: Some(2), ..submission() }, HOUR_BEGINS);
    for state in [TaskState::Active, TaskState::Paused, TaskState::Disabled] {
        let ended = Task { state, next_fire: None, consecutive_failures: 5, occurrences: 1, ..task.clone() };
        let again = restart(&ended, minutes_after(30)).expect("it has a fire left");
        assert_eq!((again.state, again.consecutive_failures, again.occurrences), (TaskState::Active, 0, 1));
        assert_eq!(again.next_fire, Some(minutes_after(31)));
        let used_up = Task { occurrences: 2, ..ended };
        let refused = restart(&used_up, minutes_after(30)).map_err(|problem| problem.parameter);
        assert_eq!(refused, Err("maxOccurrences"), "{state:?}: it makes no more runs than its limit");
    }
}

#[test]
fn a_new_generation_fires_after_both_now_and_the_last_minute() {
    let task = task_of(submission(), HOUR_BEGINS);
    let fired = plan_fires(&task, &task.schedule(), 0, minutes_after(5), 1_000).task;
    let change = || Change { hour: Some("*/1".into()), ..Change::default() };
    // The clock jumped back three minutes.
    let changed = edit(&fired, change(), minutes_after(2), &Limits::default()).expect("it is good");
    assert_eq!((changed.generation.0, changed.next_fire), (2, Some(minutes_after(6))));
    assert_eq!(changed.occurrences, fired.occurrences);
    let titled = Change { title: Some("other".into()), ..Change::default() };
    let changed = edit(&fired, titled, minutes_after(5), &Limits::default()).expect("it is good");
    assert_eq!((changed.generation, changed.next_fire), (fired.generation, fired.next_fire));
}

#[test]
fn retries_wait_longer_each_time_and_then_the_run_has_failed() {
    let policies =
        Policies { retry: RetryPolicy { max_retries: 2, backoff_ms: 1_000 }, ..Policies::default() };
    let task = task_of(Submission { policies, ..submission() }, HOUR_BEGINS);
    let failed = || AttemptEnd::Failed { reason: Reason::ExecutionError, result: "no".into() };
    let mut run = a_run(&task);
    for wait in [1_000, 2_000] {
        run = settle(&task, &run, failed(), Vec::new(), HOUR_BEGINS).run;
        assert_eq!(run.status, RunStatus::Queued { due: EpochMillis(HOUR_BEGINS.0 + wait) });
    }
    let settled = settle(&task, &run, failed(), Vec::new(), HOUR_BEGINS);
    assert!(matches!(
        settled.run.status,
        RunStatus::Ended { outcome: Outcome::Failed, reason: Reason::ExecutionError, .. }
    ));
    assert_eq!(settled.task.consecutive_failures, 1);
}

#[test]
fn what_another_server_may_have_begun_is_not_begun_again_by_a_retry() {
    let policies =
        Policies { retry: RetryPolicy { max_retries: 2, backoff_ms: 1_000 }, ..Policies::default() };
    let task = task_of(Submission { policies, ..submission() }, HOUR_BEGINS);
    let run = Run { handle: Some("{}".to_owned()), ..a_run(&task) };
    let after = |reason: Reason| {
        let end = AttemptEnd::Failed { reason, result: "no".into() };
        let run = settle(&task, &run, end, Vec::new(), HOUR_BEGINS).run;
        (matches!(run.status, RunStatus::Queued { .. }), run.handle.is_some())
    };
    assert_eq!(after(Reason::ExecutionError), (true, false), "a new job");
    assert_eq!(after(Reason::BackendUnavailable), (true, true), "it goes back to its job");
    assert_eq!(after(Reason::NotAllowed), (true, true), "it goes back to its job");
    assert!(!after(Reason::SubmissionUnknown).0, "it ends");
}

#[test]
fn what_failed_because_it_stood_still_counts_against_nobody() {
    let after = |crash: CrashPolicy, handle: Option<&str>| {
        let policies = Policies { crash, ..Policies::default() };
        let task = task_of(Submission { policies, ..submission() }, HOUR_BEGINS);
        let run = Run { handle: handle.map(str::to_owned), ..a_run(&task) };
        let end = AttemptEnd::Suspended { reason: Reason::ExecutionError, result: "no".into() };
        settle(&task, &run, end, Vec::new(), HOUR_BEGINS)
    };
    let again = after(CrashPolicy::AtLeastOnce, None);
    assert_eq!(again.run.status, RunStatus::Queued { due: HOUR_BEGINS });
    assert_eq!((again.run.failures, again.run.crashes, again.task.consecutive_failures), (0, 0, 0));
    let reason = |settled: Settled| match settled.run.status {
        RunStatus::Ended { reason, .. } => Some(reason),
        _ => None,
    };
    let once = after(CrashPolicy::AtMostOnce, None);
    assert_eq!(once.run.result.as_deref(), Some(&*format!("{} no", Reason::Suspended.sentence())));
    assert_eq!(reason(once), Some(Reason::Suspended));
    // Another server's work did not stand still.
    for crash in [CrashPolicy::AtLeastOnce, CrashPolicy::AtMostOnce] {
        assert_eq!(reason(after(crash, Some("{}"))), Some(Reason::ExecutionError));
    }
}

/// Reads that a renewal needs: the run as a claim has left it, and as a store shows it that has forgotten.
#[test]
fn a_renewal_changes_only_what_a_store_has_forgotten() {
    let task = task_of(submission(), HOUR_BEGINS);
    let queued = Run { status: RunStatus::Queued { due: HOUR_BEGINS }, ..a_run(&task) };
    let by = Claimant::new("w1");
    let claimed = claim(&queued, &by, HOUR_BEGINS).expect("it is due");
    let ours = Held::of(&claimed);
    assert_eq!(renew(&claimed, &ours, "w1"), Ok(Renewed::Lease { progress: None }));
    let progress = Some(Progress { percent: Some(3), message: "p".to_owned() });
    let further = Held { progress: progress.clone(), ..ours.clone() };
    assert_eq!(renew(&claimed, &further, "w1"), Ok(Renewed::Lease { progress: progress.clone() }));
    let known = Run { progress, ..claimed.clone() };
    assert_eq!(renew(&known, &further, "w1"), Ok(Renewed::Lease { progress: None }), "it is known");
    let Ok(Renewed::Run(again)) = renew(&queued, &ours, "w1") else { panic!("it was forgotten") };
    assert_eq!(*again, claimed);
    let with_handle = Held { handle: Some("{}".to_owned()), ..ours.clone() };
    let Ok(Renewed::Run(again)) = renew(&claimed, &with_handle, "w1") else {
        panic!("its handle was forgotten")
    };
    assert_eq!(*again, Run { handle: Some("{}".to_owned()), ..claimed.clone() });
    let others = claim(&queued, &Claimant::new("w2"), HOUR_BEGINS).expect("it is due");
    assert_eq!(renew(&others, &ours, "w1"), Err(Refusal::Held));
}

#[test]
fn five_failures_in_a_row_disable_a_task_and_a_success_forgives_them() {
    let mut task = task_of(submission(), HOUR_BEGINS);
    let run = a_run(&task);
    let end = |task: &Task, ok: bool| {
        let result = String::new();
        let end = if ok {
            AttemptEnd::Succeeded { result }
        } else {
            AttemptEnd::Failed { reason: Reason::ExecutionError, result }
        };
        settle(task, &run, end, Vec::new(), HOUR_BEGINS).task
    };
    for _ in 0..4 {
        task = end(&task, false);
    }
    assert_eq!(end(&task, true).consecutive_failures, 0);
    task = end(&task, false);
    assert_eq!((task.state, task.next_fire), (TaskState::Disabled, None));
}

#[test]
fn a_cancelled_run_ends_and_counts_as_no_failure() {
    let task = task_of(submission(), HOUR_BEGINS);
    let queued =
        cancel(&a_run(&task), "nora", CancelReason::Requested, HOUR_BEGINS).expect("it has not ended");
    assert!(matches!(
        queued.status,
        RunStatus::Ended { outcome: Outcome::Skipped, reason: Reason::Cancelled, .. }
    ));
    assert_eq!(cancel(&queued, "nora", CancelReason::Requested, HOUR_BEGINS), None);
    // The worker dies before it hears of the cancel: the run does not start again.
    let mut run = a_run(&task);
    run.cancel = queued.cancel;
    let settled = settle(&task, &run, AttemptEnd::Lapsed, Vec::new(), HOUR_BEGINS);
    assert!(matches!(
        settled.run.status,
        RunStatus::Ended { outcome: Outcome::Failed, reason: Reason::Cancelled, .. }
    ));
    assert_eq!(settled.task.consecutive_failures, 0);
}

#[test]
fn a_cancel_reaches_a_remote_job_whose_worker_is_gone() {
    let task = task_of(submission(), HOUR_BEGINS);
    let mut run = a_run(&task);
    run.handle = Some("{}".to_owned());
    // It waits to go on with its job.
    let cancelled = cancel(&run, "nora", CancelReason::Requested, HOUR_BEGINS).expect("it has not ended");
    assert!(matches!(cancelled.status, RunStatus::Queued { .. }) && cancelled.cancel.is_some());
    // Its worker died before it heard of the cancel.
    let settled = settle(&task, &cancelled, AttemptEnd::Lapsed, Vec::new(), HOUR_BEGINS);
    assert!(matches!(settled.run.status, RunStatus::Queued { .. }) && settled.run.cancel.is_some());
    // A worker that hears of it ends both.
    let end = AttemptEnd::Failed { reason: Reason::Cancelled, result: String::new() };
    let settled = settle(&task, &cancelled, end, Vec::new(), HOUR_BEGINS);
    assert!(matches!(settled.run.status, RunStatus::Ended { reason: Reason::Cancelled, .. }));
}

#[test]
fn failures_are_counted_as_far_as_there_are_numbers() {
    let mut task = task_of(submission(), HOUR_BEGINS);
    task.policies.max_consecutive_failures = None;
    task.consecutive_failures = u32::MAX;
    let mut run = a_run(&task);
    (run.failures, run.crashes) = (u32::MAX, u32::MAX);
    let failed = AttemptEnd::Failed { reason: Reason::ExecutionError, result: String::new() };
    for end in [failed, AttemptEnd::Lapsed] {
        let settled = settle(&task, &run, end, Vec::new(), minutes_after(1));
        assert_eq!(settled.task.consecutive_failures, u32::MAX);
    }
    task.occurrences = u64::MAX;
    assert_eq!(
        plan_backfill(&task, 0, "nora", (HOUR_BEGINS, 0), HOUR_BEGINS).expect("no limit").0.occurrences,
        u64::MAX
    );
    let planned = plan_fires(&task, &task.schedule(), 0, minutes_after(3), 10);
    assert_eq!(planned.task.occurrences, u64::MAX);
}

#[test]
fn overdue_fires_are_skipped_when_somebody_disables_or_excludes_them() {
    let decided = |task: &Task, change: Change, minutes: i64| -> Vec<(i64, Decision, Reason)> {
        let now = minutes_after(minutes);
        let changed = edit(task, change, now, &Limits::default()).expect("a good change");
        plan_fires_before(task, &task.schedule(), 0, (Some(&changed), now), 100)
            .fires
            .iter()
            .map(|fire| ((fire.planned.0 - HOUR_BEGINS.0) / 60_000, fire.decision, fire.reason))
            .collect()
    };
    let skips = |minutes: std::ops::RangeInclusive<i64>, reason| {
        minutes.map(move |minute| (minute, Decision::Skip, reason)).collect::<Vec<_>>()
    };
    let task = task_of(submission(), HOUR_BEGINS);
    let off = || Change { active: Some(false), ..Change::default() };
    assert_eq!(decided(&task, off(), 4), skips(1..=4, Reason::SkippedDisabled));
    let latest = decided(&task, Change::default(), 4);
    assert_eq!(latest.last(), Some(&(4, Decision::Run, Reason::OnTime)), "another change excludes nothing");

    // Dates: what they leave in follows the misfire policy, as if the rest had never been planned.
    let until = |minute| Change { end: Some(Some(minutes_after(minute))), ..Change::default() };
    let now = EpochMillis(minutes_after(4).0 + 30_000);
    let changed = edit(&task, until(2), now, &Limits::default()).expect("a good change");
    let plan = plan_fires_before(&task, &task.schedule(), 0, (Some(&changed), now), 100);
    let told: Vec<_> = plan.fires.iter().map(|fire| (fire.decision, fire.reason)).collect();
    assert_eq!(
        told,
        [
            (Decision::Skip, Reason::SkippedMisfire),
            (Decision::Run, Reason::Late),
            (Decision::Skip, Reason::SkippedExcluded),
            (Decision::Skip, Reason::SkippedExcluded),
        ]
    );
    assert_eq!(plan.task.occurrences, 1);
    let from = Change { start: Some(Some(minutes_after(60))), ..Change::default() };
    let changed = edit(&task, from, now, &Limits::default()).expect("a good change");
    let plan = plan_fires_before(&task, &task.schedule(), 0, (Some(&changed), now), 2);
    assert_eq!(plan.fires.len(), 2, "the rest is for the next plan");
    assert!(plan.fires.iter().all(|fire| fire.reason == Reason::SkippedExcluded));
    assert_eq!(plan.task.next_fire, Some(minutes_after(3)));
}

#[test]
fn a_backfill_names_the_planned_minutes_and_is_the_same_fire_when_repeated() {
    let dated = Submission { start: Some(minutes_after(3)), ..submission() };
    let task = task_of(dated, HOUR_BEGINS);
    let minutes: Vec<_> = planned_minutes(&task, HOUR_BEGINS..=minutes_after(5)).collect();
    assert_eq!(minutes, [minutes_after(3), minutes_after(4), minutes_after(5)]);
    let again =
        |before| plan_backfill(&task, 0, "nora", (minutes[0], before), minutes_after(9)).expect("no limit");
    let make = || again(0);
    assert_eq!(make().1.id, make().1.id);
    assert_ne!(make().1.id, again(1).1.id, "what was filled in vain is filled by another run");
    assert_ne!(again(1).1.id, again(2).1.id);
    assert_eq!((make().1.planned, make().1.fired), (minutes_after(3), Reason::Backfilled));
    assert_eq!(make().0.occurrences, 1);
}

#[test]
fn what_is_refused_names_its_parameter() {
    let cases: [(&str, String); 11] = [
        ("'minute' is required", refused(|s| s.cron.minute = "  ".into())),
        ("'minute' is no valid Quartz field: '75'", refused(|s| s.cron.minute = "75".into())),
        (
            "'dayOfMonth' never meets",
            refused(|s| {
                s.cron.day_of_month = "31".into();
                s.cron.month = "2".into();
            }),
        ),
        (
            "'endDate' is 2023-11-14T22:00:00Z, before startDate",
            refused(|s| {
                s.start = Some(minutes_after(1));
                s.end = Some(HOUR_BEGINS);
            }),
        ),
        ("'startDate' is out of range", refused(|s| s.start = Some(EpochMillis(-1)))),
        ("'maxOccurrences' is 0", refused(|s| s.max_occurrences = Some(0))),
        ("'itemId' is required", refused(|s| s.item_id = None)),
        (
            "'taskURL' is required",
            refused(|s| {
                s.kind = TaskType::GPService;
                s.parameters = Some("{}".into());
            }),
        ),
        ("'parameters' is required", refused(|s| s.kind = TaskType::ExecuteSceneCook)),
        (
            "'parameters' is no valid JSON",
            refused(|s| {
                s.parameters = Some(r#"{"service_url": https://host/SceneServer}"#.into());
            }),
        ),
        (
            "'parameters' is nested deeper than 64",
            refused(|s| {
                s.parameters = Some(format!("{{\"a\":{}", "[".repeat(10_000)));
            }),
        ),
    ];
    for (expected, message) in cases {
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_run_whose_owner_was_disabled_ends_with_that_reason() {
    let task = task_of(submission(), HOUR_BEGINS);
    let why = CancelReason::OwnerDisabled;
    let queued = cancel(&a_run(&task), "nora", why, HOUR_BEGINS).expect("it has not ended");
    let reason = |run: &Run| match &run.status {
        RunStatus::Ended { reason, .. } => Some(*reason),
        _ => None,
    };
    assert_eq!(reason(&queued), Some(Reason::OwnerDisabled));
    let lease = Lease { worker: "w".to_owned() };
    let executing = Run { status: RunStatus::Executing { lease }, ..a_run(&task) };
    let told = cancel(&executing, "nora", why, HOUR_BEGINS).expect("it has not ended");
    assert_eq!(reason(&told), None);
    for end in [
        AttemptEnd::Failed { reason: Reason::Cancelled, result: "it was told to".to_owned() },
        AttemptEnd::GivenBack,
    ] {
        let ended = settle(&task, &told, end, Vec::new(), HOUR_BEGINS).run;
        assert_eq!(reason(&ended), Some(Reason::OwnerDisabled));
        assert_eq!(ended.result.as_deref(), Some(Reason::OwnerDisabled.sentence()));
    }
}

/// A clock that was an hour ahead for some seconds: its minutes are decided, and the next fire is an hour away.
#[test]
fn a_task_whose_fires_were_decided_ahead_of_time_is_planned_from_now() {
    let now = minutes_after(0);
    let task = task_of(submission(), now);
    let ahead = plan_fires(&task, &task.schedule(), 0, minutes_after(60), 100).task;
    assert_eq!((ahead.last_fire, ahead.next_fire), (Some(minutes_after(60)), Some(minutes_after(61))));
    let now = now + Duration::from_secs(30);
    let retitled = Change { title: Some("x".to_owned()), ..Change::default() };
    let updated = edit(&ahead, retitled, now, &Limits::default()).unwrap();
    let enabled = enable(&disable(&ahead, now), now);
    let restarted = restart(&ahead, now).unwrap();
    let replanned = replan(&ahead, now);
    for (how, planned) in
        [("update", updated), ("enable", enabled), ("restart", restarted), ("replan", replanned.clone())]
    {
        assert_eq!(planned.next_fire, Some(minutes_after(1)), "{how}");
        assert_eq!(planned.last_fire, None, "{how}");
        assert_eq!(planned.generation, ahead.generation.next(), "{how}: no minute is one that was decided");
        assert_eq!(planned.occurrences, ahead.occurrences, "{how}");
    }
    assert_eq!(replan(&replanned, now), replanned, "once more is nothing");
    assert_eq!(replan(&task, now), task, "nor where nothing is wrong");
    let paused = disable(&ahead, now);
    assert_eq!(replan(&paused, now), paused);
    // Servers' clocks may differ a little: that is no reason to fire a minute again.
    let a_little = EpochMillis(ahead.last_fire.unwrap().0 - 5_000);
    assert_eq!(replan(&ahead, a_little), ahead);
}
