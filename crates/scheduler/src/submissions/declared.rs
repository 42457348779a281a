//! Whether a task's parameters are those that what it runs declares.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{DeclaredParameters, ItemId, Task, TaskType, check_parameters, given_parameters};
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
    /// The geoprocessing task or process.
    pub task_url: Option<&'a str>,
    /// As whom: the task's owner.
    pub owner: &'a str,
}

/// What knows the parameters that notebooks and geoprocessing tasks declare.
#[async_trait]
pub trait ParameterSource: Send + Sync {
    /// What the program declares, as far as its owner may read it. None: programs of this kind declare nothing. The
    /// error, for people: why it could not be found out.
    async fn declared(&self, program: Program<'_>) -> Result<Option<DeclaredParameters>, String>;
}

impl Submissions {
    /// What the program declares. None: programs of this kind declare nothing.
    ///
    /// # Errors
    /// For people: it could not be found out.
    pub async fn declared(&self, program: Program<'_>) -> Result<Option<DeclaredParameters>, String> {
        let Some(source) = &self.declared else { return Ok(None) };
        let declared = tokio::time::timeout(PATIENCE, source.declared(program)).await;
        declared.unwrap_or_else(|_| Err(format!("there was no answer within {} s", PATIENCE.as_secs())))
    }

    /// Checks the parameters of a task that is new, or gives others than before or to something else: a task whose
    /// notebook has changed since can still be renamed or disabled. Answers what could not be checked and what is still
    /// missing, as warnings for people; that is left to the run.
    pub(super) async fn check_declared(
        &self,
        old: Option<&Task>,
        new: &Task,
    ) -> Result<Vec<String>, SubmitError> {
        let said = |task: &Task| {
            let allowed = task.policies.allow_unknown_parameters;
            (task.kind, task.item_id, task.task_url.clone(), task.parameters.clone(), allowed)
        };
        if new.policies.allow_unknown_parameters || old.map(said) == Some(said(new)) {
            return Ok(Vec::new());
        }
        let Some(given) = given_parameters(new) else { return Ok(Vec::new()) };
        let nothing_given = given.is_empty();
        if nothing_given && new.kind != TaskType::GPService {
            return Ok(Vec::new());
        }
        let program = Program {
            kind: new.kind,
            item: new.item_id,
            task_url: new.task_url.as_deref(),
            owner: &new.owner,
        };
        match self.declared(program).await {
            // What is required may be given later, by a change.
            Ok(Some(declared)) if nothing_given => {
                let problem = check_parameters(new, &declared).err();
                Ok(problem.map(|problem| problem.to_string()).into_iter().collect())
            }
            Ok(Some(declared)) => Ok(check_parameters(new, &declared)?),
            Ok(None) => Ok(Vec::new()),
            Err(_) if nothing_given => Ok(Vec::new()),
            Err(why) => {
                warn!(task_id = %new.id, why, "the task's parameters could not be checked");
                Ok(vec![format!("'parameters' could not be checked: {why}. Runs check them again")])
            }
        }
    }
}

/// A task as it was stored, with what its sender should know.
#[derive(Clone, Debug)]
pub struct StoredTask {
    /// The task.
    pub task: Task,
    /// What could not be checked, for people.
    pub warnings: Vec<String>,
}
