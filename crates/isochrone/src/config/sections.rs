//! The configuration's sections.

use std::net::SocketAddr;
use std::path::PathBuf;

use isochrone_domain::TaskType;
use isochrone_portal::client_address::{ForwardedHeader, Network};
use isochrone_portal::cors::AllowedOrigin;
use serde::{Deserialize, Serialize};

use super::{Secret, list};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// On loopback only, unless it may be insecure.
    pub(crate) listen: SocketAddr,
    /// Listen on more than loopback: tokens and passwords cross the network in the clear.
    pub(crate) insecure: bool,
    /// The portal answers under `/` and under this path.
    pub(crate) context: String,
    /// How clients reach the portal, as `https://host[:port][/context]`; without it, as each request says.
    pub(crate) public_url: Option<String>,
    /// Where OAuth may send tokens, beside this machine and the portal itself; to the letter.
    #[serde(with = "list")]
    pub(crate) redirect_uris: Vec<String>,
    /// The sites whose pages may ask the portal from a browser, as `https://host[:port]`; `*`: any, as ArcGIS has it.
    /// Those that are named may send credentials for a reverse proxy along.
    #[serde(with = "list")]
    pub(crate) allowed_origins: Vec<AllowedOrigin>,
    /// The reverse proxies in front of the portal, as addresses or networks: of a request of theirs, the client is
    /// whom they name.
    #[serde(with = "list")]
    pub(crate) trusted_proxies: Vec<Network>,
    /// The header in which they name it.
    pub(crate) forwarded_header: ForwardedHeader,
    /// Connections over HTTP and HTTPS together; 0: as many as open files and 8192 allow.
    pub(crate) max_connections: usize,
    /// From one address (IPv6: one /64) that is no trusted proxy's; 0: half of them, at most 1024.
    pub(crate) max_connections_per_address: usize,
}

/// Programs that sign their users in here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuth {
    /// Client ids that may ask for a code without PKCE, because they can't send a challenge.
    #[serde(with = "list")]
    pub(crate) without_pkce: Vec<String>,
}

/// The portal over TLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Https {
    pub(crate) listen: SocketAddr,
    /// The certificate and what leads to its authority (PEM); without it, one that is made at the first
    /// start and signs itself.
    pub(crate) cert_file: Option<PathBuf>,
    /// The certificate's key (PEM).
    pub(crate) key_file: Option<PathBuf>,
}

/// Where probes ask whether the process lives and is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    pub(crate) listen: SocketAddr,
    /// What who changes something there must show; without it, what `admin.token` in the data directory holds.
    pub(crate) token: Option<Secret>,
}

/// Where tasks may send requests to: geoprocessing servers and the like.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guarded {
    /// Servers, as `https://host[:port][/path]`: what lies below them.
    #[serde(with = "list")]
    pub(crate) servers: Vec<String>,
    /// Every public address, too.
    pub(crate) open: bool,
    /// The authorities that TLS trusts (PEM) beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// ExecuteSceneCook.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SceneCooking {
    /// The root of the server that cooks, where it is not the scene service's own: `https://host[:port][/context]`.
    pub(crate) server: Option<String>,
}

/// ExecuteWorkflowManager.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowManager {
    /// The root of the Workflow Manager server, `https://host[:port][/context]`; the task's item is below it.
    pub(crate) server: Option<String>,
}

/// ExecuteNotebook elsewhere than here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoteNotebooks {
    /// The root of the ArcGIS Notebook Server that executes notebooks, `https://host[:port][/context]`; without it,
    /// workers execute them.
    pub(crate) server: Option<String>,
}

/// A server that takes jobs over plain HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpJobServer {
    /// Where jobs are begun.
    pub(crate) url: String,
    /// Sent as a bearer's.
    pub(crate) token: Option<Secret>,
    /// The authorities that TLS trusts (PEM) beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// The fleet's store; without a URL the store is embedded in the data directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    /// It may hold a password.
    pub(crate) url: Option<Secret>,
    /// The authorities that TLS trusts (PEM); without it the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// What keys begin with: installations on one server have different ones.
    pub(crate) prefix: String,
    /// Go on where Redis may lose what it acknowledged.
    pub(crate) allow_weak_durability: bool,
}

/// The fleet's queue; without a URL the queue is inside the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amqp {
    /// It may hold a password.
    pub(crate) url: Option<Secret>,
    /// The authorities that TLS trusts (PEM) beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Artifacts {
    /// What runs leave. All processes of a fleet must see the same folder. Without it: `artifacts` in the
    /// data directory.
    pub(crate) dir: Option<PathBuf>,
}

/// How long what is over is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retention {
    /// Ended runs of a task.
    pub(crate) runs_per_task: u64,
    /// Ended runs, in days.
    pub(crate) run_days: u64,
    /// The ledger's rows of runs that are gone, and the audit log, in days.
    pub(crate) record_days: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// tracing's filter: `info`, `isochrone_scheduler=debug,warn` ...
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Pretty on a terminal, JSON lines elsewhere.
    Auto,
    Pretty,
    Json,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    /// The types of task that it takes; none: every type.
    #[serde(with = "list")]
    pub(crate) types: Vec<TaskType>,
    /// Runs at a time, of each type but notebooks.
    pub(crate) slots: usize,
    /// Notebooks at a time; 0: as many as there are cores.
    pub(crate) notebook_slots: usize,
    /// How long running work may go on after Ctrl-C, in seconds.
    pub(crate) drain_seconds: u64,
    /// How long a run stays a dead worker's, in seconds; renewed three times within it. Schedulers wait as long after the
    /// store was away: the same for all processes.
    pub(crate) lease_seconds: u32,
    /// How long work stands still when the store does not renew its lease, in seconds; then it is killed.
    pub(crate) suspend_max_seconds: u32,
    /// For rehearsals: it executes nothing, and asks this server how each attempt ends.
    pub(crate) drill_url: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Refuse what Quartz accepts by accident (`5x` for 5).
    pub(crate) strict_cron: bool,
    /// Active tasks of one type that a user may have; 0: any number.
    pub(crate) active_tasks_per_user: u64,
    /// Active notebook tasks that a user may have, and all users together; 0: any number.
    pub(crate) notebook_tasks_per_user: u64,
    pub(crate) notebook_tasks: u64,
    /// The same for Insights workbooks.
    pub(crate) insights_tasks_per_user: u64,
    pub(crate) insights_tasks: u64,
    /// Failed runs in a row that disable a task which does not say how many; 0: it is never disabled.
    pub(crate) consecutive_failures: u32,
}

/// How many items there may be, and how much data they may have; 0: any.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Items {
    /// Of one user.
    pub(crate) per_user: u64,
    /// Their data and uploads, in MiB.
    pub(crate) mib_per_user: u64,
    /// Of all users together.
    pub(crate) total: u64,
    pub(crate) total_mib: u64,
}

/// For tests: a clock that runs faster than the world's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clock {
    pub(crate) speed: u32,
    /// Epoch ms at which it was right.
    pub(crate) origin: i64,
}
