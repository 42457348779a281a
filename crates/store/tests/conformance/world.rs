//! What the cases have in common: tasks, runs, and time that passes.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{
    Action, AttemptEnd, AuditEntry, Claimant, CronFields, EpochMillis, Fence, Held, Limits, Nonce,
    OverlapPolicy, Policies, Reason, Run, RunId, Submission, Task, TaskId, TaskType, accept, plan_fires,
    plan_request,
};
use isochrone_store::{Claim, Claimed, Clock, Finished, FireCommit, Page, PublishedThrough, Saved, Store};

use super::Fresh;

/// A lease that does not lapse during a test.
pub(crate) const LONG: Duration = Duration::from_hours(1);

/// A lease to see lapse.
pub(crate) const SHORT: Duration = Duration::from_millis(20);

pub(crate) const ALL: Page = Page { offset: 0, limit: 1_000 };

pub(crate) const KIND: TaskType = TaskType::ExecuteReport;

/// A store and what the cases do with it again and again.
#[derive(Clone)]
pub(crate) struct World(pub(crate) Arc<dyn Store>);

impl Deref for World {
    type Target = dyn Store;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl World {
    pub(crate) async fn new(fresh: &impl Fresh) -> World {
        World(fresh.store(Clock::SYSTEM).await)
    }

    /// A world in which a minute takes 60 ms.
    pub(crate) async fn hasty(fresh: &impl Fresh) -> World {
        World(fresh.store(Clock::faster(1_000, Clock::SYSTEM.now())).await)
    }

    /// Waits until the store's clock shows `moment`.
    pub(crate) async fn reach(&self, moment: EpochMillis) {
        while self.now().await.unwrap() < moment {
            tokio::time::sleep(self.clock().until(moment)).await;
        }
    }

    /// A task for each minute whose first fire is due, changed by `change`, in the store.
    pub(crate) async fn add(&self, change: impl FnOnce(&mut Task)) -> Task {
        let mut task = new_task(self.now().await.unwrap() - Duration::from_mins(1));
        change(&mut task);
        let saved = self.insert_task(&task, entry(Action::CreateTask, task.id)).await.unwrap();
        assert_eq!(saved, Saved::Done);
        task
    }

    /// A task whose runs wait for each other.
    pub(crate) async fn add_queueing(&self) -> Task {
        self.add(|task| task.policies.overlap = OverlapPolicy::Queue).await
    }

    pub(crate) async fn read_task(&self, id: TaskId) -> Task {
        self.task(id).await.unwrap().expect("the task is there")
    }

    pub(crate) async fn read_run(&self, id: RunId) -> Run {
        self.run(id).await.unwrap().expect("the run is there")
    }

    /// A run that somebody asked for.
    pub(crate) async fn request(&self, id: TaskId) -> Run {
        let task = self.read_task(id).await;
        let unfinished = self.unfinished(id).await.unwrap();
        let nonce = *TaskId::random().as_bytes();
        let now = self.now().await.unwrap();
        let (task, run) = plan_request(&task, unfinished, "ann", nonce, now).expect("the limit is far");
        let saved = self.commit_request(task, run.clone(), entry(Action::RunTask, id)).await.unwrap();
        assert_eq!(saved, Saved::Done);
        run
    }

    /// A run of a task of its own.
    pub(crate) async fn some_run(&self) -> Run {
        let task = self.add(|_| {}).await;
        self.request(task.id).await
    }

    /// A run of a task that plans no fire.
    pub(crate) async fn quiet_run(&self) -> Run {
        let task = self.add(|task| task.next_fire = None).await;
        self.request(task.id).await
    }

    /// When the only lease ends, where nothing else is planned.
    pub(crate) async fn lease_end(&self) -> EpochMillis {
        self.next_expiry().await.unwrap().expect("a lease")
    }

    /// Claims a run as its next attempt, which has the fence of that number.
    pub(crate) async fn claimed(&self, run: RunId, lease: Duration) -> Claimed {
        let next = fence(self.read_run(run).await.attempt + 1);
        match self.claim(run, &claimant("w1", next.nonce), lease).await.unwrap() {
            Claim::Granted(claimed) => *claimed,
            Claim::Refused(refusal) => panic!("refused: {refusal}"),
        }
    }

    /// Claims a run and ends it.
    pub(crate) async fn carried_out(&self, run: RunId, end: AttemptEnd) -> Run {
        let fence = self.claimed(run, LONG).await.run.fence();
        kept(self.finish(run, fence, end, Vec::new()).await.unwrap())
    }

    /// Claims a run and lets the lease lapse until the reaper comes; gives the lost attempt's number.
    pub(crate) async fn lost(&self, run: RunId) -> u32 {
        let attempt = self.claimed(run, SHORT).await.run.attempt;
        self.reach(self.now().await.unwrap() + SHORT).await;
        let reaped = self.reap(self.now().await.unwrap(), 10).await.unwrap();
        assert_eq!(reaped.iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
        attempt
    }

    /// What a scheduler commits for a task now.
    pub(crate) async fn plan(&self, id: TaskId) -> FireCommit {
        let task = self.read_task(id).await;
        let unfinished = self.unfinished(id).await.unwrap();
        plan(&task, unfinished, self.now().await.unwrap())
    }

    /// Fires what is due of a task.
    pub(crate) async fn fire(&self, id: TaskId) -> Vec<Run> {
        let commit = self.plan(id).await;
        let runs = commit.runs.clone();
        assert_eq!(self.commit_fires(vec![commit]).await.unwrap(), [Saved::Done]);
        runs
    }

    /// What is to be published.
    pub(crate) async fn outbox(&self) -> Vec<RunId> {
        let published = self.published_through(KIND).await.unwrap();
        let entries = self.unpublished(KIND, &published, 100).await.unwrap();
        entries.iter().map(|entry| entry.run).collect()
    }

    /// All of it is published, and that is said.
    pub(crate) async fn published_all(&self) -> PublishedThrough {
        let mut published = self.published_through(KIND).await.unwrap();
        for entry in self.unpublished(KIND, &published, 100).await.unwrap() {
            published.0.insert(entry.shard, entry.number);
        }
        self.set_published_through(KIND, &published).await.unwrap();
        published
    }
}

/// A task as createTask makes it at `created`.
pub(crate) fn new_task(created: EpochMillis) -> Task {
    let star = || "*".to_owned();
    let submission = Submission {
        title: "Every minute".to_owned(),
        kind: KIND,
        item_id: None,
        task_url: None,
        parameters: Some(r#"{"type":"content"}"#.to_owned()),
        cron: CronFields {
            minute: star(),
            hour: star(),
            day_of_month: star(),
            month: star(),
            day_of_week: "?".to_owned(),
        },
        start: None,
        end: None,
        max_occurrences: None,
        policies: Policies::default(),
    };
    accept(submission, TaskId::random(), "ann", created, &Limits::default()).expect("the task is right")
}

pub(crate) fn plan(task: &Task, unfinished: u64, now: EpochMillis) -> FireCommit {
    let plan = plan_fires(task, &task.schedule(), unfinished, now, 100);
    FireCommit { runs: plan.runs(now), fires: plan.fires, task: plan.task }
}

pub(crate) fn entry(action: Action, task: TaskId) -> AuditEntry {
    AuditEntry {
        at: Clock::SYSTEM.now(),
        actor: "ann".to_owned(),
        ip: Some("192.0.2.1".to_owned()),
        action,
        task: Some(task),
        run: None,
        item: None,
        title: "Every minute".to_owned(),
        owner: "ann".to_owned(),
    }
}

/// The fence of the attempt with this number, as [`World::claimed`] has it.
pub(crate) fn fence(attempt: u32) -> Fence {
    Fence { attempt, nonce: format!("{attempt:x}").parse().expect("a hex number") }
}

pub(crate) fn claimant(worker: &str, nonce: Nonce) -> Claimant {
    Claimant { worker: worker.to_owned(), nonce }
}

/// What a worker says of the attempt with this number when it renews its leases.
pub(crate) fn held(run: RunId, attempt: u32) -> Held {
    Held { run, fence: fence(attempt), started: EpochMillis(0), handle: None, progress: None }
}

#[track_caller]
pub(crate) fn kept(finished: Finished) -> Run {
    match finished {
        Finished::Kept(run) => *run,
        Finished::Fenced(refusal) => panic!("fenced: {refusal}"),
    }
}

pub(crate) fn succeeded() -> AttemptEnd {
    AttemptEnd::Succeeded { result: "done".to_owned() }
}

pub(crate) fn failed() -> AttemptEnd {
    AttemptEnd::Failed { reason: Reason::ExecutionError, result: "no".to_owned() }
}
