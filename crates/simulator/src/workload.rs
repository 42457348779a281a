//! The tasks of a simulation, and who owns them.

use anyhow::{Result, anyhow};
use isochrone_domain::{
    Action, AuditEntry, CrashPolicy, CronFields, EpochMillis, ItemId, Limits, OverlapPolicy, Policies, Role,
    Submission, Task, TaskId, TaskType, UnknownFields, User, accept,
};
use isochrone_store::Store;

use crate::fleet::KINDS;

const OWNER: &str = "ada";

/// Minutes between the fires of a task; so many tasks, so many fires.
const EVERY: [u32; 8] = [5, 10, 10, 12, 15, 15, 20, 30];

pub(crate) fn entry(action: Action, at: EpochMillis) -> AuditEntry {
    AuditEntry {
        at,
        actor: OWNER.to_owned(),
        ip: None,
        action,
        task: None,
        run: None,
        item: None,
        title: String::new(),
        owner: OWNER.to_owned(),
    }
}

/// Makes the owner and the tasks. They fire until `end`.
pub(crate) async fn make(
    store: &dyn Store,
    chance: &mut fastrand::Rng,
    tasks: usize,
    now: EpochMillis,
    end: EpochMillis,
) -> Result<Vec<Task>> {
    let owner = User {
        name: OWNER.to_owned(),
        role: Role::Publisher,
        password_hash: String::new(),
        created: now,
        last_login: None,
        disabled: None,
        epoch: 0,
        unknown: UnknownFields::NONE,
    };
    store.add_user(&owner, entry(Action::SetUser, now)).await?;
    let mut made = Vec::with_capacity(tasks);
    for number in 0..tasks {
        let mut id = [0; 16];
        chance.fill(&mut id);
        let task =
            accept(submission(chance, number, end), TaskId::from_bytes(id), OWNER, now, &Limits::default());
        let task = task.map_err(|problem| anyhow!("the task is refused: {problem:?}"))?;
        let _ = store.insert_task(&task, entry(Action::CreateTask, now)).await?;
        made.push(task);
    }
    Ok(made)
}

fn submission(chance: &mut fastrand::Rng, number: usize, end: EpochMillis) -> Submission {
    let every = EVERY[chance.usize(..EVERY.len())];
    let any = |text: &str| text.to_owned();
    let overlap = [OverlapPolicy::Skip, OverlapPolicy::Queue, OverlapPolicy::Allow][chance.usize(..3)];
    let crash = if chance.u32(0..4) == 0 { CrashPolicy::AtMostOnce } else { CrashPolicy::AtLeastOnce };
    let mut policies = Policies { overlap, crash, max_consecutive_failures: None, ..Policies::default() };
    if chance.bool() {
        policies.retry.max_retries = 2;
    }
    let kind = KINDS[chance.usize(..KINDS.len())];
    Submission {
        title: format!("task {number}"),
        kind,
        // It is kept elsewhere; reports have none.
        item_id: (kind != TaskType::ExecuteReport).then(|| ItemId::from_bytes([7; 16])),
        task_url: (kind == TaskType::GPService).then(|| "https://gis.example/tool/GPServer/Tool".to_owned()),
        parameters: Some("{}".to_owned()),
        cron: CronFields {
            minute: format!("{}/{every}", chance.u32(0..every)),
            hour: any("*"),
            day_of_month: any("*"),
            month: any("*"),
            day_of_week: any("?"),
        },
        start: None,
        end: Some(end),
        max_occurrences: (chance.u32(0..4) == 0).then(|| chance.u64(3..8)),
        policies,
    }
}
