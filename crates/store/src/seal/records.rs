//! Which fields of the records are secret.

use isochrone_domain::{Run, Task};

use super::{KeyId, Keyring, SealError, SecretField, sealed_with};
use crate::{Grant, StoreError, TokenHash};

/// The secret fields of a task.
fn of_task(task: &mut Task) -> [(&mut Option<String>, SecretField); 3] {
    let id = task.id;
    [
        (&mut task.parameters, SecretField::Parameters(id)),
        (&mut task.task_url, SecretField::TaskUrl(id)),
        (&mut task.request, SecretField::Request(id)),
    ]
}

/// The secret fields of a run.
fn of_run(run: &mut Run) -> [(&mut Option<String>, SecretField); 1] {
    let id = run.id;
    [(&mut run.handle, SecretField::Handle(id))]
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> StoreError {
        match error {
            SealError::UnknownKey(_) => StoreError::Config(error.to_string()),
            SealError::Void(_) | SealError::Malformed => StoreError::Corrupt(error.to_string()),
        }
    }
}

/// A keyring, and which of its keys seals now.
#[derive(Clone, Copy)]
pub(super) struct Sealing<'a> {
    pub(super) ring: &'a Keyring,
    pub(super) with: Option<KeyId>,
}

impl Sealing<'_> {
    /// The text as it is kept. One that is sealed already is kept as it is, if it can be opened there.
    pub(super) fn text(self, text: String, field: SecretField) -> Result<String, SealError> {
        if sealed_with(&text).is_some() {
            self.ring.open(text.clone(), field)?;
            return Ok(text);
        }
        Ok(match self.with {
            Some(key) => self.ring.seal_with(key, &text, field),
            None => text,
        })
    }

    /// The task as it is kept.
    pub(super) fn task(self, mut task: Task) -> Result<Task, SealError> {
        for (text, field) in of_task(&mut task) {
            *text = text.take().map(|text| self.text(text, field)).transpose()?;
        }
        Ok(task)
    }

    /// A task that fired, as it is kept. One that was handed on sealed is not opened for it: tasks fire often.
    pub(super) fn fired(self, mut task: Task) -> Result<Task, SealError> {
        for (text, field) in of_task(&mut task) {
            if text.as_ref().is_some_and(|text| sealed_with(text).is_none()) {
                *text = text.take().map(|text| self.text(text, field)).transpose()?;
            }
        }
        Ok(task)
    }

    /// The grant as it is kept.
    pub(super) fn grant(self, hash: TokenHash, mut grant: Grant) -> Result<Grant, SealError> {
        grant.terms = self.text(grant.terms, SecretField::Grant(hash))?;
        Ok(grant)
    }

    /// Whether a text is kept otherwise than it would be now.
    fn is_stale(self, text: &str) -> bool {
        match (sealed_with(text), self.with) {
            (Some(Ok(found)), Some(key)) => found != key,
            (None, Some(_)) => true,
            // Without a key nothing can be sealed anew.
            (Some(Err(_)), _) | (None | Some(Ok(_)), None) => false,
        }
    }

    /// A text sealed with the key that seals now; none: it is already.
    pub(super) fn anew(self, text: &str, field: SecretField) -> Result<Option<String>, SealError> {
        if !self.is_stale(text) {
            return Ok(None);
        }
        let opened = self.ring.open(text.to_owned(), field)?;
        self.text(opened, field).map(Some)
    }

    /// A task as it is kept, sealed with the key that seals now; none: it is already.
    pub(super) fn task_anew(self, task: &Task) -> Result<Option<Task>, SealError> {
        let mut fresh = task.clone();
        let mut changed = false;
        for (text, field) in of_task(&mut fresh) {
            let anew = text.as_ref().map(|text| self.anew(text, field)).transpose()?.flatten();
            if anew.is_some() {
                *text = anew;
                changed = true;
            }
        }
        Ok(changed.then_some(fresh))
    }
}

/// The task as it was before it was sealed.
pub(super) fn open_task(ring: &Keyring, mut task: Task) -> Result<Task, SealError> {
    for (text, field) in of_task(&mut task) {
        *text = text.take().map(|text| ring.open(text, field)).transpose()?;
    }
    Ok(task)
}

/// The run as it was before it was sealed.
pub(super) fn open_run(ring: &Keyring, mut run: Run) -> Result<Run, SealError> {
    for (text, field) in of_run(&mut run) {
        *text = text.take().map(|text| ring.open(text, field)).transpose()?;
    }
    Ok(run)
}

/// The grant as it was before it was sealed.
pub(super) fn open_grant(ring: &Keyring, hash: TokenHash, mut grant: Grant) -> Result<Grant, SealError> {
    grant.terms = ring.open(grant.terms, SecretField::Grant(hash))?;
    Ok(grant)
}
