//! Whether a task's parameters are those that what it runs declares.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{DeclaredParameters, ItemId, Task, TaskType, given_parameters};
use tracing::warn;

use super::{Submissions, SubmitError};

/// How long an item or a server may take to say what it declares; a slow one does not hold up createTask.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a task runs.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// How.
    pub kind: TaskType,
    /// The notebook.
    pub item: Option<ItemId>,
    /// The geoprocessing task.
    pub task_url: Option<&'a str>,
    /// As whom: the task's owner.
    pub owner: &'a str,
}

/// What knows the parameters that notebooks and geoprocessing tasks declare.
#[async_trait]
pub trait ParameterSource: Send + Sync {
    /// What the program declares, as far as its owner may read it. None: nothing, so that any value may be given. The
    /// error, for people: it could not be found out.
    async fn declared(&self, program: Program<'_>) -> Result<Option<DeclaredParameters>, String>;
}

impl Submissions {
    /// What the program declares. None: nothing, or nothing is known of it.
    ///
    /// # Errors
    /// For people: it could not be found out.
    pub async fn declared(&self, program: Program<'_>) -> Result<Option<DeclaredParameters>, String> {
        let Some(source) = &self.declared else { return Ok(None) };
        let declared = tokio::time::timeout(PATIENCE, source.declared(program)).await;
        declared.unwrap_or_else(|_| Err(format!("there was no answer within {} s", PATIENCE.as_secs())))
    }

    /// Checks the parameters of a task that is new, or gives others than before or to something else: a task whose
    /// notebook has changed since can still be renamed or disabled. What can't be found out is left to the run.
    pub(super) async fn check_declared(&self, old: Option<&Task>, new: &Task) -> Result<(), SubmitError> {
        let said = |task: &Task| {
            let allowed = task.policies.allow_unknown_parameters;
            (task.kind, task.item_id, task.task_url.clone(), task.parameters.clone(), allowed)
        };
        if new.policies.allow_unknown_parameters || old.map(said) == Some(said(new)) {
            return Ok(());
        }
        let Some(given) = given_parameters(new).filter(|given| !given.is_empty()) else { return Ok(()) };
        let program = Program {
            kind: new.kind,
            item: new.item_id,
            task_url: new.task_url.as_deref(),
            owner: &new.owner,
        };
        match self.declared(program).await {
            Ok(Some(declared)) => Ok(declared.check(&given)?),
            Ok(None) => Ok(()),
            Err(why) => {
                warn!(task_id = %new.id, why, "the task's parameters could not be checked");
                Ok(())
            }
        }
    }
}
