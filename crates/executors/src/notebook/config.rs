//! What an operator can choose about notebooks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use super::limits::UserRange;
use super::network::Reach;
use super::secrets::Secrets;

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

/// What a notebook's network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// `Guarded` where bubblewrap makes network namespaces; else the machine's, as far as Landlock can hold
    /// connections of TCP to some ports.
    #[default]
    Auto,
    /// Public addresses, the portal, and what is listed.
    Guarded,
    /// Loopback of its own alone.
    None,
    /// The machine's.
    Open,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Network::Auto => "auto",
            Network::Guarded => "guarded",
            Network::None => "none",
            Network::Open => "open",
        })
    }
}

/// The configuration's section `[notebook]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A Python that has nbclient (0.7 or later) and ipykernel. None: an environment is made on first use.
    pub python: Option<PathBuf>,
    /// Packages that notebooks have beside Jupyter's, as `geopandas==1.0.1`.
    pub packages: Vec<String>,
    /// A file that lists more of them, as pip's requirements files do.
    pub requirements: Option<PathBuf>,
    /// Whether a notebook may ask for packages itself: `metadata.isochrone.requirements`, or PEP 723's block in its
    /// first code cell.
    pub item_requirements: bool,
    /// Whether packages may be built from their sources, which runs code of theirs in the notebooks' sandbox.
    pub allow_source_builds: bool,
    /// Where environments are. Workers of a machine that name the same folder share them. None: below `data_dir`.
    pub environments_dir: Option<PathBuf>,
    /// How many environments there may be; those that were used longest ago give way.
    pub environments_max: usize,
    /// For how long an environment is kept that nobody uses, in days.
    pub environments_unused_days: u64,
    /// What an environment and its build may take of the disk, in MiB.
    pub environment_mib: u64,
    /// How long the build of an environment may take, in seconds.
    pub environment_timeout_seconds: u64,
    /// What keeps a notebook from what is not its own.
    pub isolation: Isolation,
    /// What their network is.
    pub network: Network,
    /// What guarded notebooks may reach beside public addresses, the portal and `[egress] servers`.
    pub reach: Vec<Reach>,
    /// Variables that all notebooks have in their environment.
    #[serde(deserialize_with = "variables")]
    pub environment: BTreeMap<String, String>,
    /// Variables that the notebooks of an owner's tasks have besides, masked in what is kept of a run:
    /// `[notebook.secrets.OWNER]`.
    pub secrets: Secrets,
    /// Files and folders that isolated notebooks may read, beside the system and the Python environment.
    pub readable: Vec<PathBuf>,
    /// Files and folders that isolated notebooks may read and write.
    pub writable: Vec<PathBuf>,
    /// Memory of a notebook's processes together, in MiB.
    pub memory_mib: u64,
    /// Size of any one file that a notebook writes, in MiB.
    pub file_mib: u64,
    /// What all files in a run's folder may take of the disk, in MiB.
    pub disk_mib: u64,
    /// How many processes a notebook may have at once.
    pub processes: usize,
    /// How much output a notebook's cells may have together, in MiB.
    pub output_mib: u64,
    /// A folder in which each owner has one that stays from run to run and is `/arcgis/home` in their notebooks. None:
    /// that is the run's own folder.
    pub homes: Option<PathBuf>,
    /// How much each of them may hold, in MiB.
    pub home_mib: u64,
    /// How many files of a notebook's working folder are kept with its run; 0: none.
    pub artifact_files: usize,
    /// How large each of them may be, in MiB.
    pub artifact_mib: u64,
    /// How large they may be together, in MiB.
    pub artifacts_mib: u64,
    /// How long an attempt may take where its task does not say, in seconds.
    pub timeout_seconds: u64,
    /// Users of which each run in progress gets one, where the worker is root and has no cgroups to give.
    pub uids: UserRange,
    /// The group that such a run has; its user's number where there is none.
    pub group: Option<u32>,
    /// Whether notebooks are refused where one of these limits does not hold.
    pub require_limits: bool,
}

/// Texts, numbers and flags. An error of serde's own would show the value.
fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Whole(i64),
        Number(f64),
        Flag(bool),
        Other(IgnoredAny),
    }
    let written = BTreeMap::<String, Written>::deserialize(deserializer)?;
    let text = |(name, value)| {
        let value = match value {
            Written::Text(text) => text,
            Written::Whole(number) => number.to_string(),
            Written::Number(number) => number.to_string(),
            Written::Flag(flag) => flag.to_string(),
            Written::Other(_) => return Err(D::Error::custom(format!("{name} is no text"))),
        };
        Ok((name, value))
    };
    written.into_iter().map(text).collect()
}

impl Default for Config {
    fn default() -> Self {
        Config {
            python: None,
            packages: Vec::new(),
            requirements: None,
            item_requirements: false,
            allow_source_builds: false,
            environments_dir: None,
            environments_max: 20,
            environments_unused_days: 30,
            environment_mib: 10_240,
            environment_timeout_seconds: 1_800,
            isolation: Isolation::Auto,
            network: Network::Auto,
            reach: Vec::new(),
            environment: BTreeMap::new(),
            secrets: Secrets::new(),
            readable: Vec::new(),
            writable: Vec::new(),
            memory_mib: 4_096,
            file_mib: 1_024,
            disk_mib: 9_216,
            processes: 256,
            output_mib: 16,
            homes: None,
            home_mib: 4_096,
            artifact_files: 100,
            artifact_mib: 1_024,
            artifacts_mib: 4_096,
            timeout_seconds: 3_600,
            uids: "200000-200063".parse().expect("a range of users"),
            group: None,
            require_limits: false,
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

    pub(super) fn disk_bytes(&self) -> u64 {
        self.disk_mib.saturating_mul(MIB)
    }

    pub(super) fn output_bytes(&self) -> u64 {
        self.output_mib.saturating_mul(MIB)
    }

    pub(super) fn home_bytes(&self) -> u64 {
        self.home_mib.saturating_mul(MIB)
    }

    pub(super) fn artifact_bytes(&self) -> u64 {
        self.artifact_mib.saturating_mul(MIB)
    }

    pub(super) fn artifacts_bytes(&self) -> u64 {
        self.artifacts_mib.saturating_mul(MIB)
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}
