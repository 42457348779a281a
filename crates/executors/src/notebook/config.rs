//! What an operator can choose about notebooks.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How notebooks are kept apart from the rest of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// The strongest way that is real here: `Bwrap`, else `Landlock`; where neither is, notebooks are refused.
    #[default]
    Auto,
    /// Namespaces of their own, made by the program bubblewrap.
    Bwrap,
    /// Linux's Landlock on files, and a filter on system calls.
    Landlock,
    /// Not at all: by this choice only.
    None,
}

/// The configuration's section `[notebook]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A Python that has nbclient (0.7 or later) and ipykernel. None: an environment is made on first use.
    pub python: Option<PathBuf>,
    /// What keeps a notebook from what is not its own.
    pub isolation: Isolation,
    /// Files and folders that isolated notebooks may read, beside the system and the Python environment.
    pub readable: Vec<PathBuf>,
    /// Files and folders that isolated notebooks may read and write.
    pub writable: Vec<PathBuf>,
    /// Memory of a notebook's processes together, in MiB.
    pub memory_mib: u64,
    /// Size of any one file that a notebook writes, in MiB.
    pub file_mib: u64,
    /// How many processes a notebook may have at once.
    pub processes: usize,
    /// How much output a notebook's cells may have together, in MiB.
    pub output_mib: u64,
    /// How long an attempt may take where its task does not say, in seconds.
    pub timeout_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            python: None,
            isolation: Isolation::Auto,
            readable: Vec::new(),
            writable: Vec::new(),
            memory_mib: 4_096,
            file_mib: 1_024,
            processes: 256,
            output_mib: 16,
            timeout_seconds: 3_600,
        }
    }
}

const MIB: u64 = 1 << 20;

impl Config {
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_mib.saturating_mul(MIB)
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_mib.saturating_mul(MIB)
    }

    pub(super) fn output_bytes(&self) -> u64 {
        self.output_mib.saturating_mul(MIB)
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}
