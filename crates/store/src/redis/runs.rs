//! Runs and the outbox.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, Claimant, EpochMillis, Fence, Held,
    ItemSnapshot, LogLine, Run, RunId, TaskId, TaskType,
};

use super::RedisStore;
use super::batch::Batch;
use super::keys::{Index, Shard};
use super::lists::{From, Source, Span};
use super::records::id_of;
use crate::{
    Backlog, Cancelled, Claim, Finished, Keep, OutboxEntry, OutboxState, Page, Paged, Place,
    PublishedThrough, Renewal, Result, RunFilter, RunStore, Stretch,
};

#[async_trait]
impl RunStore for RedisStore {
    async fn run(&self, id: RunId) -> Result<Option<Run>> {
        Ok(self.find_run(id).await?.map(|stored| stored.run))
    }

    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Paged<Run>> {
        let sources = self.histories(filter).await?;
        let total = self.total(&sources).await?;
        let until = page.offset.saturating_add(page.limit).min(total);
        let entries = self.first(&sources, From::Highest, &Span::all(), until).await?;
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let ids = entries.iter().skip(skip).map(|entry| id_of(&entry.member)).collect::<Result<Vec<_>>>()?;
        let rows = self.find_runs(&ids).await?.into_iter().map(|stored| stored.run).collect();
        Ok(Paged { rows, total })
    }

    async fn runs_from(&self, filter: &RunFilter, after: Option<Place>, limit: u64) -> Result<Stretch<Run>> {
        let sources = self.histories(filter).await?;
        let span = after.map_or_else(Span::all, |after| Span::through(after.first));
        let mut asked = limit;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut behind = loop {
            let entries = self.first(&sources, From::Highest, &span, asked).await?;
            let all = (entries.len() as u64) < asked;
            let places = entries.iter().map(|entry| Ok((id_of::<RunId>(&entry.member)?, entry.score as i64)));
            let mut behind = places.collect::<Result<Vec<_>>>()?;
            behind.retain(|(id, planned)| after.is_none_or(|after| is_behind(after, *planned, *id)));
            if all || behind.len() >= most {
                break behind;
            }
            // Others of the same moment stand before the place.
            asked = asked.saturating_mul(2);
        };
        behind.truncate(most);
        let last = behind.last().filter(|_| behind.len() == most);
        let next = last.map(|(id, planned)| Place { first: *planned, then: number(*id) });
        let ids: Vec<RunId> = behind.into_iter().map(|(id, _)| id).collect();
        let rows = self.find_runs(&ids).await?.into_iter().map(|stored| stored.run).collect();
        Ok(Stretch { rows, next })
    }

    async fn outbox_state(&self) -> Result<OutboxState> {
        self.read_outbox_state().await
    }

    async fn queue_delayed(&self, now: EpochMillis, limit: u64) -> Result<u64> {
        self.queue_due(now, limit).await
    }

    async fn unpublished(
        &self,
        kind: TaskType,
        published: &PublishedThrough,
        limit: u64,
    ) -> Result<Vec<OutboxEntry>> {
        self.read_unpublished(kind, published, limit).await
    }

    async fn published_through(&self, kind: TaskType) -> Result<PublishedThrough> {
        self.read_published_through(kind).await
    }

    async fn set_published_through(&self, kind: TaskType, published: &PublishedThrough) -> Result<()> {
        self.keep_published_through(kind, published).await
    }

    async fn unclaimed(&self, kind: TaskType, published: &PublishedThrough) -> Result<u64> {
        self.count_unclaimed(kind, published).await
    }

    async fn requeue(&self, kind: TaskType, published: &PublishedThrough, count: u64) -> Result<u64> {
        self.requeue_published(kind, published, count).await
    }

    async fn backlog(&self) -> Result<Backlog> {
        self.count_backlog().await
    }

    async fn next_expiry(&self) -> Result<Option<EpochMillis>> {
        self.first_lease_end().await
    }

    async fn claim(&self, run: RunId, by: &Claimant, lease: Duration) -> Result<Claim> {
        self.begin_attempt(run, by, self.capped(lease)).await
    }

    async fn renew(&self, worker: &str, held: &[Held], lease: Duration) -> Result<Vec<Renewal>> {
        self.renew_all(worker, held, self.capped(lease)).await
    }

    async fn checkpoint(&self, run: RunId, fence: Fence, handle: &str) -> Result<Finished> {
        self.note(run, fence, |run| run.handle = Some(handle.to_owned())).await
    }

    async fn note_item(&self, run: RunId, fence: Fence, item: &ItemSnapshot) -> Result<Finished> {
        self.note(run, fence, |run| run.item = Some(item.clone())).await
    }

    async fn append_log(&self, run: RunId, fence: Fence, first: u64, lines: &[LogLine]) -> Result<Finished> {
        self.add_lines(run, fence, first, lines).await
    }

    async fn log(&self, run: RunId, page: Page) -> Result<Paged<LogLine>> {
        self.lines(run, page).await
    }

    async fn finish(
        &self,
        run: RunId,
        fence: Fence,
        end: AttemptEnd,
        artifacts: Vec<Artifact>,
    ) -> Result<Finished> {
        self.end_attempt(run, fence, end, artifacts).await
    }

    async fn reap(&self, now: EpochMillis, limit: u64) -> Result<Vec<Run>> {
        self.reap_lapsed(now, limit).await
    }

    async fn trim_runs(&self, task: TaskId, keep: Keep, limit: u64) -> Result<Vec<RunId>> {
        self.forget_runs(task, keep, limit).await
    }

    async fn deleted_runs(&self, until: EpochMillis, limit: u64) -> Result<Vec<RunId>> {
        self.find_deleted_runs(until, limit).await
    }

    async fn forget_deleted_runs(&self, runs: &[RunId]) -> Result<()> {
        self.take_deleted_runs(runs).await
    }

    async fn cancel_run(&self, run: RunId, why: CancelReason, audit: AuditEntry) -> Result<Cancelled> {
        self.confirmed(run, self.cancel(run, why, &audit).await?).await
    }

    async fn amend_run(&self, run: RunId, amendment: Amendment, audit: AuditEntry) -> Result<Cancelled> {
        self.confirmed(run, self.amend(run, &amendment, &audit).await?).await
    }

    async fn delete_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
        self.confirmed(run, self.delete(run, &audit).await?).await
    }

    async fn retry_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
        self.confirmed(run, self.retry(run, &audit).await?).await
    }
}

/// Whether a run comes after the place, where the latest planned come first.
fn is_behind(place: Place, planned: i64, run: RunId) -> bool {
    (planned, number(run)) < (place.first, place.then)
}

/// An id as a number: in the order of the ids.
fn number(run: RunId) -> u128 {
    u128::from_be_bytes(*run.as_bytes())
}

impl RedisStore {
    /// What was found done already is said once replicas have it.
    async fn confirmed(&self, run: RunId, answer: Cancelled) -> Result<Cancelled> {
        if !matches!(answer, Cancelled::Done(_)) {
            self.confirm_shard(Shard::of_run(run)).await?;
        }
        Ok(answer)
    }

    /// The indexes that have the runs that pass the filter, and no others.
    async fn histories(&self, filter: &RunFilter) -> Result<Vec<Source>> {
        let (open, ended) = (filter.ended != Some(true), filter.ended != Some(false));
        let tasks = match (filter.task, &filter.owner) {
            (None, None) => {
                let mut sources = Vec::new();
                if open {
                    sources.extend(self.everywhere(Index::Open));
                }
                if ended {
                    sources.extend(self.everywhere(Index::Ended));
                }
                return Ok(sources);
            }
            (Some(task), None) => vec![task],
            (Some(task), Some(owner)) => {
                let found = self.find_task(task).await?;
                let owned = found.is_some_and(|stored| stored.task.owner.eq_ignore_ascii_case(owner));
                if owned { vec![task] } else { Vec::new() }
            }
            // Merged from its tasks, so that a change of owner moves nothing.
            (None, Some(owner)) => self.tasks_of_owner(owner).await?,
        };
        let mut sources = Vec::new();
        for task in tasks {
            let shard = Shard::of_task(task);
            if open {
                sources.push((shard, self.keys.open_of(task)));
            }
            if ended {
                sources.push((shard, self.keys.ended_of(task)));
            }
        }
        Ok(sources)
    }

    async fn tasks_of_owner(&self, owner: &str) -> Result<Vec<TaskId>> {
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            batch.add(shard, ["ZRANGE", &self.keys.tasks_of(shard, owner), "0", "-1"]);
        }
        let mut answers = self.ask(batch).await?;
        let mut tasks = Vec::new();
        for _ in Shard::of_tasks() {
            for member in answers.members()? {
                tasks.push(id_of(&member)?);
            }
        }
        Ok(tasks)
    }
}
