//! Sealing anew what is sealed with older keys, or not at all.

use std::collections::BTreeMap;

use isochrone_domain::{Run, Task};

use super::{Admitted, KeyId, SealError, SealedStore, SecretField, sealed_with};
use crate::{Result, RunFilter, StoreError, TaskFilter};

/// Records that are read at once.
const PART: u64 = 500;

/// How often a record that others write is tried.
const TRIES: usize = 50;

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The key that everything is sealed with now.
    pub key: Option<KeyId>,
    /// Tasks that were sealed anew.
    pub tasks: u64,
    /// Runs whose handles were sealed anew.
    pub runs: u64,
    /// Grants that were sealed anew.
    pub grants: u64,
    /// Records that were sealed with this key before.
    pub unchanged: u64,
    /// Keys that nothing is sealed with any more: they may be forgotten.
    pub retired: Vec<KeyId>,
    /// Keys that must be kept, and why.
    pub kept: Vec<(KeyId, String)>,
    /// Records that could not be opened, and why.
    pub failed: Vec<String>,
}

/// How many secrets are sealed with which key; none: in the clear.
pub type Survey = BTreeMap<Option<KeyId>, u64>;

/// What came of one record.
enum Anew {
    Written,
    Unchanged,
    Failed(SealError),
}

impl SealedStore {
    /// Seals everything with the first key. It can be cut short and begun again, and processes may work
    /// meanwhile. [`StoreError::Config`]: there is no key, or a process does not have it yet.
    pub async fn rotate(&self) -> Result<Rotation> {
        let Admitted { sealing, waiting_for } = self.admit().await?;
        if !waiting_for.is_empty() {
            return Err(StoreError::Config(format!(
                "these processes do not have the new key yet: {}; give it to them, below the one that they have",
                waiting_for.join(", ")
            )));
        }
        let Some(key) = sealing else {
            return Err(StoreError::Config("there is no key to seal with (secrets.key_file)".to_owned()));
        };
        let mut done = Rotation { key: Some(key), ..Rotation::default() };
        self.rotate_tasks(&mut done).await?;
        self.rotate_runs(&mut done).await?;
        self.rotate_grants(&mut done).await?;
        self.retire_others(key, &mut done).await?;
        Ok(done)
    }

    async fn rotate_tasks(&self, done: &mut Rotation) -> Result<()> {
        let mut place = None;
        loop {
            let part = self.store.tasks_from(&TaskFilter::default(), place, PART).await?;
            for task in part.rows {
                let id = task.id;
                match self.reseal_one_task(task).await? {
                    Anew::Written => done.tasks += 1,
                    Anew::Unchanged => done.unchanged += 1,
                    Anew::Failed(error) => done.failed.push(format!("task {id}: {error}")),
                }
            }
            place = part.next;
            if place.is_none() {
                return Ok(());
            }
        }
    }

    async fn reseal_one_task(&self, task: Task) -> Result<Anew> {
        let (id, mut read) = (task.id, Some(task));
        for _ in 0..TRIES {
            let Some(task) = read else { return Ok(Anew::Unchanged) };
            match self.sealing().task_anew(&task) {
                Ok(None) => return Ok(Anew::Unchanged),
                Ok(Some(fresh)) if self.store.reseal_task(&fresh).await? => return Ok(Anew::Written),
                Ok(Some(_)) => read = self.store.task(id).await?,
                Err(error) => return Ok(Anew::Failed(error)),
            }
        }
        Err(busy(&format!("task {id}")))
    }

    async fn rotate_runs(&self, done: &mut Rotation) -> Result<()> {
        let mut place = None;
        loop {
            let part = self.store.runs_from(&RunFilter::default(), place, PART).await?;
            for run in part.rows.into_iter().filter(|run| run.handle.is_some()) {
                let id = run.id;
                match self.reseal_one_run(run).await? {
                    Anew::Written => done.runs += 1,
                    Anew::Unchanged => done.unchanged += 1,
                    Anew::Failed(error) => done.failed.push(format!("run {id}: {error}")),
                }
            }
            place = part.next;
            if place.is_none() {
                return Ok(());
            }
        }
    }

    async fn reseal_one_run(&self, run: Run) -> Result<Anew> {
        let (id, mut handle) = (run.id, run.handle);
        for _ in 0..TRIES {
            let Some(old) = handle else { return Ok(Anew::Unchanged) };
            match self.sealing().anew(&old, SecretField::Handle(id)) {
                Ok(None) => return Ok(Anew::Unchanged),
                Ok(Some(new)) if self.store.reseal_handle(id, &old, &new).await? => return Ok(Anew::Written),
                Ok(Some(_)) => handle = self.store.run(id).await?.and_then(|run| run.handle),
                Err(error) => return Ok(Anew::Failed(error)),
            }
        }
        Err(busy(&format!("run {id}")))
    }

    async fn rotate_grants(&self, done: &mut Rotation) -> Result<()> {
        for (hash, grant) in self.store.grants().await? {
            match self.sealing().anew(&grant.terms, SecretField::Grant(hash)) {
                Ok(None) => done.unchanged += 1,
                Ok(Some(terms)) => {
                    let new = crate::Grant { terms, ..grant.clone() };
                    // Else it was taken: a grant is never changed otherwise.
                    done.grants += u64::from(self.store.reseal_grant(hash, &grant, &new).await?);
                }
                Err(error) => done.failed.push(format!("a grant of {}: {error}", grant.user)),
            }
        }
        Ok(())
    }

    /// Forgets the other keys, unless somebody still seals with them.
    async fn retire_others(&self, key: KeyId, done: &mut Rotation) -> Result<()> {
        let present = self.store.members().await?;
        for other in self.store.keys_in_use().await?.into_iter().filter(|other| *other != key) {
            let user = present.iter().find(|present| present.member.seals_with == Some(other));
            if !done.failed.is_empty() {
                done.kept.push((other, "not everything could be opened".to_owned()));
            } else if let Some(user) = user {
                done.kept.push((other, format!("{} still seals with it", user.member.name)));
            } else {
                self.store.retire_key(other).await?;
                done.retired.push(other);
            }
        }
        Ok(())
    }

    /// Counts tasks, handles and grants by the keys that they are sealed with.
    pub async fn survey(&self) -> Result<Survey> {
        let mut survey = Survey::new();
        let mut count = |text: Option<&String>| {
            // One that is malformed is in the clear, whatever it says.
            let Some(text) = text else { return };
            *survey.entry(sealed_with(text).and_then(std::result::Result::ok)).or_default() += 1;
        };
        let mut place = None;
        loop {
            let part = self.store.tasks_from(&TaskFilter::default(), place, PART).await?;
            for task in &part.rows {
                for text in [&task.parameters, &task.task_url, &task.request] {
                    count(text.as_ref());
                }
            }
            place = part.next;
            if place.is_none() {
                break;
            }
        }
        loop {
            let part = self.store.runs_from(&RunFilter::default(), place, PART).await?;
            part.rows.iter().for_each(|run| count(run.handle.as_ref()));
            place = part.next;
            if place.is_none() {
                break;
            }
        }
        self.store.grants().await?.iter().for_each(|(_, grant)| count(Some(&grant.terms)));
        Ok(survey)
    }
}

fn busy(what: &str) -> StoreError {
    StoreError::Unavailable(format!("{what} is written by others all the time"))
}
