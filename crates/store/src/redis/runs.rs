//! Runs and the outbox.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, Claimant, EpochMillis, Fence, Held,
    ItemSnapshot, LogLine, Run, RunId, TaskId, TaskType,
};

use super::RedisStore;
use super::batch::{Batch, parse};
use super::commit::Commit;
use super::keys::{Index, Shard};
use super::lists::{From, Source, Span};
use super::records::{id_of, queued};
use crate::{
    Backlog, Cancelled, Claim, Finished, Keep, Page, Paged, Place, Renewal, Result, RunFilter, RunStore,
    Stretch, Unclaimed,
};

/// Runs of the outbox whose types are looked up for a count.
const COUNTED: u64 = 1_000;

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

    async fn unpublished(&self, now: EpochMillis, limit: u64) -> Result<Vec<Unclaimed>> {
        self.queued_in(&self.everywhere(Index::Outbox), &Span::through(now.0), limit).await
    }

    async fn mark_published(&self, published: &[Unclaimed]) -> Result<()> {
        if published.is_empty() {
            return Ok(());
        }
        let now = self.now_at(Shard::COMMON).await?;
        let steps = published.iter().map(|message| {
            let (shard, id) = (Shard::of_run(message.run), message.run.to_string());
            let mut commit = Commit::new(shard);
            // Not so: it was claimed meanwhile, or is queued for another attempt.
            commit.check_is(&self.keys.run(message.run), "t", queued(message.attempt));
            commit.take(&self.keys.index(shard, Index::Outbox), &id);
            commit.put(&self.keys.published(shard, message.kind), now.0, &id);
            commit
        });
        for done in self.commit_all(&steps.collect::<Vec<_>>()).await? {
            done?;
        }
        Ok(())
    }

    async fn unclaimed(&self, kind: TaskType, before: EpochMillis, limit: u64) -> Result<Vec<Unclaimed>> {
        let sources: Vec<Source> =
            Shard::of_tasks().map(|shard| (shard, self.keys.published(shard, kind))).collect();
        self.queued_in(&sources, &Span::before(before.0), limit).await
    }

    async fn backlog(&self, now: EpochMillis) -> Result<Backlog> {
        self.count_backlog(now).await
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
        self.cancel(run, why, &audit).await
    }

    async fn amend_run(&self, run: RunId, amendment: Amendment, audit: AuditEntry) -> Result<Cancelled> {
        self.amend(run, &amendment, &audit).await
    }

    async fn delete_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
        self.delete(run, &audit).await
    }

    async fn retry_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
        self.retry(run, &audit).await
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

    /// The queued runs that indexes name.
    async fn count_backlog(&self, now: EpochMillis) -> Result<Backlog> {
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            for kind in TaskType::ALL {
                batch.add(shard, ["ZCARD", &self.keys.published(shard, kind)]);
            }
            let outbox = self.keys.index(shard, Index::Outbox);
            batch.add(shard, ["ZCOUNT", &outbox, "-inf", &now.0.to_string()]);
            batch.add(shard, ["ZRANGE", &outbox, "0", "0", "WITHSCORES"]);
        }
        let mut answers = self.ask(batch).await?;
        let (mut queued, mut unpublished, mut oldest) = (BTreeMap::new(), 0, None);
        for _ in Shard::of_tasks() {
            for kind in TaskType::ALL {
                *queued.entry(kind).or_default() += answers.count()?;
            }
            unpublished += answers.count()?;
            let first = answers.scored()?.first().map(|(_, due)| EpochMillis(*due as i64));
            oldest = [oldest, first.filter(|due| *due <= now)].into_iter().flatten().min();
        }
        if unpublished > 0 {
            for run in self.unpublished(now, COUNTED).await? {
                *queued.entry(run.kind).or_default() += 1;
            }
        }
        queued.retain(|_, count| *count > 0);
        Ok(Backlog { queued, unpublished, oldest })
    }

    async fn queued_in(&self, sources: &[Source], span: &Span, limit: u64) -> Result<Vec<Unclaimed>> {
        let entries = self.first(sources, From::Lowest, span, limit).await?;
        let ids = entries.iter().map(|entry| id_of(&entry.member)).collect::<Result<Vec<RunId>>>()?;
        let mut batch = Batch::default();
        for id in &ids {
            batch.add(Shard::of_run(*id), ["HMGET", &self.keys.run(*id), "k", "t"]);
        }
        let mut answers = self.ask(batch).await?;
        let mut unclaimed = Vec::with_capacity(ids.len());
        for run in ids {
            let [kind, turn] = answers.fields()?;
            let attempt = turn.as_deref().and_then(|turn| parse(turn.strip_prefix(b"q")?));
            // Else it was claimed, or its task deleted, a moment ago.
            if let Some((kind, attempt)) = kind.as_deref().and_then(parse).zip(attempt) {
                unclaimed.push(Unclaimed { run, kind, attempt });
            }
        }
        Ok(unclaimed)
    }
}
