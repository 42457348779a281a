//! Reports read the store.

use std::fmt::Display;
use std::sync::Arc;

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, Role, Task};
use isochrone_executors::report::{FireRecord, Records, Span, UserRecord};
use isochrone_store::{Page, Store, TaskFilter};

/// A list is read in pages of this many tasks.
const TASKS_A_PAGE: u64 = 1_000;

/// What reports are made of, from the store.
pub(super) struct StoreRecords(pub(super) Arc<dyn Store>);

#[async_trait]
impl Records for StoreRecords {
    async fn audit(&self, span: Span) -> Result<Vec<AuditEntry>, String> {
        self.0.audit(span.from..span.to).await.map_err(text)
    }

    async fn fires(&self, span: Span) -> Result<Vec<FireRecord>, String> {
        let fires = self.0.fires(None, span.from..span.to).await.map_err(text)?;
        Ok(fires.into_iter().map(fire_record).collect())
    }

    async fn tasks(&self) -> Result<Vec<Task>, String> {
        let mut tasks = Vec::new();
        loop {
            let page = Page { offset: tasks.len() as u64, limit: TASKS_A_PAGE };
            let part = self.0.tasks(&TaskFilter::default(), page).await.map_err(text)?;
            if part.rows.is_empty() {
                return Ok(tasks);
            }
            tasks.extend(part.rows);
        }
    }

    async fn role(&self, user: &str) -> Result<Option<Role>, String> {
        Ok(self.0.user(user).await.map_err(text)?.map(|user| user.role))
    }

    async fn users(&self) -> Result<Vec<UserRecord>, String> {
        let users = self.0.users().await.map_err(text)?;
        Ok(users
            .into_iter()
            .map(|user| UserRecord {
                name: user.name,
                role: user.role,
                created: user.created,
                last_login: user.last_login,
            })
            .collect())
    }
}

fn fire_record(fire: isochrone_store::FireRecord) -> FireRecord {
    let (outcome, reason, ended) = match fire.outcome {
        Some((outcome, reason, at)) => (Some(outcome), reason, Some(at)),
        None => (None, fire.reason, None),
    };
    FireRecord {
        task: fire.task,
        title: fire.title,
        owner: fire.owner,
        kind: fire.kind,
        run: fire.run,
        planned: fire.planned,
        started: fire.started,
        ended,
        outcome,
        reason,
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
