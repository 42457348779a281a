//! Due tasks, read ahead of their fires.

use std::collections::{HashMap, VecDeque};

use isochrone_domain::{EpochMillis, TaskId};
use isochrone_store::{DueTask, Store, StoreError};

/// Tasks that are read together.
const READ: u64 = 1_000;

/// Due tasks that were read and are still to be fired.
#[derive(Debug)]
pub(crate) struct Due {
    read: VecDeque<DueTask>,
    /// When they were read.
    at: EpochMillis,
    /// The versions that were taken: until its fires are kept, a task is due as it was.
    taken: HashMap<TaskId, u64>,
}

impl Default for Due {
    /// Nothing is read yet.
    fn default() -> Due {
        Due { read: VecDeque::new(), at: EpochMillis(0), taken: HashMap::new() }
    }
}

impl Due {
    /// So many due tasks at most that were not taken yet as they are, and the moment at which they are due.
    /// None: there is none.
    pub(crate) async fn take(
        &mut self,
        store: &dyn Store,
        most: usize,
    ) -> Result<Option<(Vec<DueTask>, EpochMillis)>, StoreError> {
        if self.read.is_empty() {
            self.at = store.now().await?;
            self.read = store.due_tasks(self.at, READ).await?.into();
            self.read.retain(|DueTask { task, .. }| self.taken.get(&task.id) != Some(&task.version));
        }
        let batch: Vec<DueTask> = self.read.drain(..most.min(self.read.len())).collect();
        self.taken.extend(batch.iter().map(|DueTask { task, .. }| (task.id, task.version)));
        Ok((!batch.is_empty()).then_some((batch, self.at)))
    }
}
