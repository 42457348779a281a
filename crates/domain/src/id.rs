//! Ids: 128 bits, written as 32 lower-case hex digits, as on ArcGIS's wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{EpochMillis, Generation};

/// The text is no id: 32 hex digits were expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 32 hex digits")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The id's bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// A new id that nobody can guess.
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 32];
                hex::encode_to_slice(self.0, &mut digits).expect("two digits a byte");
                f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError)?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

id!(
    /// Names a task for its whole life.
    TaskId
);
id!(
    /// Names a run; derived from its fire, so that a run can't be made twice.
    RunId
);
id!(
    /// Names a planned moment of a task; two schedulers compute the same id.
    FireId
);
id!(
    /// Names a portal item (a notebook, a scene service ...).
    ItemId
);

id!(
    /// Names an installation: a store and all that is kept beside it.
    InstallationId
);
id!(
    /// Names a folder for artifacts: processes that share theirs find the same id in it.
    ArtifactsId
);

impl TaskId {
    /// The task that a request with this key makes, however often its sender repeats it.
    pub fn requested(user: &str, key: &str) -> TaskId {
        let user = user.to_ascii_lowercase();
        TaskId(digest(b"task", &[user.as_bytes(), &[0], key.as_bytes()]))
    }
}

impl FireId {
    /// The fire of a schedule: task, generation of the schedule, planned moment.
    pub fn scheduled(task: TaskId, generation: Generation, planned: EpochMillis) -> FireId {
        let parts: [&[u8]; 3] = [&task.0, &generation.0.to_be_bytes(), &planned.0.to_be_bytes()];
        FireId(beside(task.0, digest(b"fire", &parts)))
    }

    /// The fire of a "run now" or a backfill; `nonce` makes a repeated request the same fire.
    pub fn requested(task: TaskId, nonce: [u8; 16]) -> FireId {
        FireId(beside(task.0, digest(b"request", &[&task.0, &nonce])))
    }

    /// The run that this fire makes.
    pub fn run(self) -> RunId {
        RunId(beside(self.0, digest(b"run", &[&self.0])))
    }
}

/// An id that begins with the byte that its origin's begins with: a store of many shards finds a task,
/// its fires and its runs in one of them by any of their ids.
fn beside(origin: [u8; 16], mut id: [u8; 16]) -> [u8; 16] {
    id[0] = origin[0];
    id
}

/// Parts have fixed lengths, so that no two lists of parts meet in one digest.
fn digest(kind: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(kind);
    for part in parts {
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fire_id_depends_on_each_of_its_three_parts() {
        let task = TaskId::from_bytes([7; 16]);
        let base = FireId::scheduled(task, Generation(1), EpochMillis(60_000));
        assert_eq!(base, FireId::scheduled(task, Generation(1), EpochMillis(60_000)));
        assert_ne!(base, FireId::scheduled(task, Generation(2), EpochMillis(60_000)));
        assert_ne!(base, FireId::scheduled(task, Generation(1), EpochMillis(120_000)));
        assert_ne!(base, FireId::scheduled(TaskId::from_bytes([8; 16]), Generation(1), EpochMillis(60_000)));
    }

    #[test]
    fn a_fire_and_its_run_begin_as_their_task_does() {
        let task = TaskId::from_bytes([7; 16]);
        for fire in
            [FireId::scheduled(task, Generation(1), EpochMillis(60_000)), FireId::requested(task, [3; 16])]
        {
            assert_eq!((fire.as_bytes()[0], fire.run().as_bytes()[0]), (7, 7));
            assert_ne!(fire.run().as_bytes(), fire.as_bytes());
        }
    }

    #[test]
    fn ids_are_32_hex_digits() {
        let id = TaskId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("029b61ca770e428d9468a2a55f40b9f".parse::<ItemId>(), Err(IdError));
        assert_eq!("029b61ca770e428d9468a2a55f40b9fg".parse::<ItemId>(), Err(IdError));
    }
}
