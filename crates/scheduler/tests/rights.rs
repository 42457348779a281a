//! Who may do what: each role, with own and with others' tasks, by each method.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use isochrone_domain::{Amendment, Change, Policies, Role, RunId, TaskId};
use isochrone_scheduler::{Caller, Submissions, SubmitError};
use isochrone_store::{Page, RunFilter, TaskFilter};
use world::{LEASE, NOON, World, caller, cron, slow_clock_at, submission};

const ALL: Page = Page { offset: 0, limit: 100 };

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Task,
    TasksOfOwner,
    AllTasks,
    Run,
    RunsOfTask,
    RunsOfOwner,
    AllRuns,
    Create,
    Update,
    Enable,
    Disable,
    RunNow,
    CancelRun,
    RetryRun,
    AmendRun,
    DeleteRun,
    Delete,
}

const METHODS: [Method; 17] = [
    Method::Task,
    Method::TasksOfOwner,
    Method::AllTasks,
    Method::Run,
    Method::RunsOfTask,
    Method::RunsOfOwner,
    Method::AllRuns,
    Method::Create,
    Method::Update,
    Method::Enable,
    Method::Disable,
    Method::RunNow,
    Method::CancelRun,
    Method::RetryRun,
    Method::AmendRun,
    Method::DeleteRun,
    Method::Delete,
];

/// The rule, written down once more and otherwise.
fn allowed(role: Role, own: bool, method: Method) -> bool {
    let of_everybody = matches!(method, Method::AllTasks | Method::AllRuns);
    let reads = matches!(
        method,
        Method::Task | Method::TasksOfOwner | Method::Run | Method::RunsOfTask | Method::RunsOfOwner
    );
    match role {
        Role::Admin => true,
        Role::Publisher => own && !of_everybody,
        Role::Viewer => own && reads,
    }
}

/// A task of somebody's with a run that ended, and another that executes.
struct Things {
    owner: &'static str,
    task: TaskId,
    ended: RunId,
    executing: RunId,
}

async fn things(world: &World, owner: &'static str) -> Things {
    let ada = caller("ada", Role::Admin);
    let policies = Policies { overlap: isochrone_domain::OverlapPolicy::Allow, ..Policies::default() };
    let s = &world.submissions;
    let task = s.create(&ada, owner, submission(cron("0", "0"), policies)).await.unwrap().task.id;
    let mut runs = Vec::new();
    let mut running = world.start();
    for nonce in 1..=2 {
        let run = s.run_now(&ada, task, [nonce; 16]).await.unwrap().id;
        assert_eq!(running.published().await, run);
        runs.push(world.take("w", LEASE).await);
    }
    running.stop().await;
    world.succeed(&runs[0]).await;
    Things { owner, task, ended: runs[0].run.id, executing: runs[1].run.id }
}

async fn ask(s: &Submissions, caller: &Caller, method: Method, things: &Things) -> Result<(), SubmitError> {
    let Things { owner, task, ended, executing } = *things;
    let of_owner = Some(owner.to_owned());
    match method {
        Method::Task => s.task(caller, task).await.map(drop),
        Method::TasksOfOwner => {
            let filter = TaskFilter { owner: of_owner, ..TaskFilter::default() };
            s.tasks(caller, &filter, ALL).await.map(drop)
        }
        Method::AllTasks => s.tasks(caller, &TaskFilter::default(), ALL).await.map(drop),
        Method::Run => s.run(caller, executing).await.map(drop),
        Method::RunsOfTask => {
            // Whoever names himself as the owner does not become it.
            let owner = Some(caller.user.name.clone());
            s.runs(caller, &RunFilter { task: Some(task), owner, ended: None }, ALL).await.map(drop)
        }
        Method::RunsOfOwner => {
            let filter = RunFilter { owner: of_owner, ..RunFilter::default() };
            s.runs(caller, &filter, ALL).await.map(drop)
        }
        Method::AllRuns => s.runs(caller, &RunFilter::default(), ALL).await.map(drop),
        Method::Create => {
            s.create(caller, owner, submission(cron("0", "0"), Policies::default())).await.map(drop)
        }
        Method::Update => {
            let change = Change { title: Some("changed".to_owned()), ..Change::default() };
            s.update(caller, task, change).await.map(drop)
        }
        Method::Enable => s.enable(caller, task).await.map(drop),
        Method::Disable => s.disable(caller, task).await.map(drop),
        Method::RunNow => s.run_now(caller, task, [9; 16]).await.map(drop),
        Method::CancelRun => s.cancel_run(caller, executing).await.map(drop),
        Method::RetryRun => s.retry_run(caller, ended).await.map(drop),
        Method::AmendRun => s.amend_run(caller, ended, Amendment::default()).await.map(drop),
        Method::DeleteRun => s.delete_run(caller, ended).await.map(drop),
        Method::Delete => s.delete(caller, task).await,
    }
}

async fn check(role: Role, own: (&'static str, bool), name: &str) {
    let (owner, own) = own;
    for method in METHODS {
        let world = World::new(slow_clock_at(NOON)).await;
        let things = things(&world, owner).await;
        let before = (world.task(things.task).await, world.audit().await);
        let answer = ask(&world.submissions, &caller(name, role), method, &things).await;
        let what = format!("{role} {name}, {method:?} of {owner}'s: {answer:?}");
        if allowed(role, own, method) {
            assert!(answer.is_ok(), "{what}");
        } else {
            assert!(matches!(answer, Err(SubmitError::Forbidden)), "{what}");
            let after = (world.task(things.task).await, world.audit().await);
            assert_eq!(after, before, "{what}: nothing may change");
        }
    }
}

macro_rules! matrix {
    ($($case:ident: $role:ident $name:literal, $owner:literal, own $own:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                check(Role::$role, ($owner, $own), $name).await;
            }
        )*
    };
}

matrix! {
    an_administrator_with_own: Admin "ada", "ada", own true;
    an_administrator_with_others: Admin "ada", "paul", own false;
    a_publisher_with_own: Publisher "pia", "pia", own true;
    a_publisher_with_own_by_another_spelling: Publisher "PIA", "pia", own true;
    a_publisher_with_others: Publisher "pia", "paul", own false;
    a_publisher_with_an_administrators: Publisher "pia", "ada", own false;
    a_viewer_with_own: Viewer "vera", "vera", own true;
    a_viewer_with_others: Viewer "vera", "vito", own false;
}
