//! The methods of the store's traits that have to do with secrets.

use std::time::Duration;

use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, CancelReason, Claimant, EpochMillis, Fence, Held,
    ItemSnapshot, LogLine, Run, RunId, Task, TaskId,
};

use super::records::open_grant;
use super::{SealedStore, SecretField};
use crate::{
    Cancelled, Claim, Claimed, Finished, FireCommit, Grant, Page, Paged, Place, Renewal, Result, RunFilter,
    Saved, Stretch, TaskFilter, TokenHash,
};

/// What `store_methods` calls secret. A type of its own without the traits, so that a method that is missing here does
/// not compile, rather than calling itself.
pub(super) struct SecretMethods<'a>(pub(super) &'a SealedStore);

impl SecretMethods<'_> {
    pub(super) async fn insert_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved> {
        let task = self.0.sealing().task(task.clone())?;
        self.0.store.insert_task(&task, audit).await
    }

    pub(super) async fn task(&self, id: TaskId) -> Result<Option<Task>> {
        self.0.store.task(id).await?.map(|task| self.0.open_task(task)).transpose()
    }

    pub(super) async fn tasks(&self, filter: &TaskFilter, page: Page) -> Result<Paged<Task>> {
        let Paged { rows, total } = self.0.store.tasks(filter, page).await?;
        Ok(Paged { rows: self.0.show_tasks(rows), total })
    }

    pub(super) async fn tasks_from(
        &self,
        filter: &TaskFilter,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Stretch<Task>> {
        let Stretch { rows, next } = self.0.store.tasks_from(filter, after, limit).await?;
        Ok(Stretch { rows: self.0.show_tasks(rows), next })
    }

    pub(super) async fn save_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved> {
        let task = self.0.sealing().task(task.clone())?;
        self.0.store.save_task(&task, audit).await
    }

    pub(super) async fn commit_fires(&self, commits: Vec<FireCommit>) -> Result<Vec<Saved>> {
        let sealing = self.0.sealing();
        let sealed = commits.into_iter().map(|commit| {
            let FireCommit { task, fires, runs } = commit;
            Ok(FireCommit { task: sealing.fired(task)?, fires, runs })
        });
        self.0.store.commit_fires(sealed.collect::<Result<_>>()?).await
    }

    pub(super) async fn commit_request(&self, task: Task, run: Run, audit: AuditEntry) -> Result<Saved> {
        self.0.store.commit_request(self.0.sealing().task(task)?, run, audit).await
    }

    pub(super) async fn run(&self, id: RunId) -> Result<Option<Run>> {
        self.0.store.run(id).await?.map(|run| self.0.open_run(run)).transpose()
    }

    pub(super) async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Paged<Run>> {
        let Paged { rows, total } = self.0.store.runs(filter, page).await?;
        Ok(Paged { rows: self.0.show_runs(rows), total })
    }

    pub(super) async fn runs_from(
        &self,
        filter: &RunFilter,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Stretch<Run>> {
        let Stretch { rows, next } = self.0.store.runs_from(filter, after, limit).await?;
        Ok(Stretch { rows: self.0.show_runs(rows), next })
    }

    pub(super) async fn claim(&self, run: RunId, by: &Claimant, lease: Duration) -> Result<Claim> {
        Ok(match self.0.store.claim(run, by, lease).await? {
            Claim::Granted(claimed) => {
                let Claimed { run, task } = *claimed;
                let claimed = Claimed { run: self.0.open_run(run)?, task: self.0.open_task(task)? };
                Claim::Granted(Box::new(claimed))
            }
            Claim::Refused(refusal) => Claim::Refused(refusal),
        })
    }

    pub(super) async fn renew(&self, worker: &str, held: &[Held], lease: Duration) -> Result<Vec<Renewal>> {
        let sealed = held.iter().map(|held| {
            let mut held = held.clone();
            let field = SecretField::Handle(held.run);
            held.handle = held.handle.map(|handle| self.0.sealing().text(handle, field)).transpose()?;
            Ok(held)
        });
        self.0.store.renew(worker, &sealed.collect::<Result<Vec<_>>>()?, lease).await
    }

    pub(super) async fn checkpoint(&self, run: RunId, fence: Fence, handle: &str) -> Result<Finished> {
        let handle = self.0.sealing().text(handle.to_owned(), SecretField::Handle(run))?;
        self.0.finished(self.0.store.checkpoint(run, fence, &handle).await?)
    }

    pub(super) async fn note_item(&self, run: RunId, fence: Fence, item: &ItemSnapshot) -> Result<Finished> {
        self.0.finished(self.0.store.note_item(run, fence, item).await?)
    }

    pub(super) async fn append_log(
        &self,
        run: RunId,
        fence: Fence,
        first: u64,
        lines: &[LogLine],
    ) -> Result<Finished> {
        self.0.finished(self.0.store.append_log(run, fence, first, lines).await?)
    }

    pub(super) async fn finish(
        &self,
        run: RunId,
        fence: Fence,
        end: AttemptEnd,
        artifacts: Vec<Artifact>,
    ) -> Result<Finished> {
        self.0.finished(self.0.store.finish(run, fence, end, artifacts).await?)
    }

    pub(super) async fn reap(&self, now: EpochMillis, limit: u64) -> Result<Vec<Run>> {
        Ok(self.0.show_runs(self.0.store.reap(now, limit).await?))
    }

    pub(super) async fn cancel_run(
        &self,
        run: RunId,
        why: CancelReason,
        audit: AuditEntry,
    ) -> Result<Cancelled> {
        Ok(self.0.cancelled(self.0.store.cancel_run(run, why, audit).await?))
    }

    pub(super) async fn retry_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
        Ok(self.0.cancelled(self.0.store.retry_run(run, audit).await?))
    }

    pub(super) async fn amend_run(
        &self,
        run: RunId,
        amendment: Amendment,
        audit: AuditEntry,
    ) -> Result<Cancelled> {
        Ok(self.0.cancelled(self.0.store.amend_run(run, amendment, audit).await?))
    }

    pub(super) async fn delete_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled> {
        Ok(self.0.cancelled(self.0.store.delete_run(run, audit).await?))
    }

    pub(super) async fn put_grant(&self, hash: TokenHash, grant: &Grant) -> Result<()> {
        let grant = self.0.sealing().grant(hash, grant.clone())?;
        self.0.store.put_grant(hash, &grant).await
    }

    pub(super) async fn grant(&self, hash: TokenHash) -> Result<Option<Grant>> {
        let grant = self.0.store.grant(hash).await?;
        Ok(grant.map(|grant| open_grant(&self.0.ring, hash, grant)).transpose()?)
    }

    pub(super) async fn take_grant(&self, hash: TokenHash) -> Result<Option<Grant>> {
        let grant = self.0.store.take_grant(hash).await?;
        Ok(grant.map(|grant| open_grant(&self.0.ring, hash, grant)).transpose()?)
    }
}
