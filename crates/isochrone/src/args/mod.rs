//! The command line.

mod audit;
mod processes;
pub(crate) mod secrets;
mod tasks;
mod transfer;
mod users;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use audit::{AuditCommand, KeysCommand};
pub(crate) use processes::{Portal, Sandbox, Scheduler, Up, Worker};
pub(crate) use tasks::{CronArgs, RunCommand, TaskCommand, TaskCreate, TaskUpdate, WorkArgs};
pub(crate) use transfer::{Export, FromPortal, Import};
pub(crate) use users::{ItemCommand, UserCommand};

/// Scheduled GIS work that provably ran.
#[derive(Debug, Parser)]
#[command(name = "isochrone", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    /// How results are written.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Configuration file (TOML). Without it: isochrone.toml, if there is one here.
    #[arg(long, global = true, value_name = "FILE", env = "ISOCHRONE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The fleet's store: redis://, rediss://, redis+cluster:// or redis+sentinel://.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) redis_url: Option<String>,
    /// The fleet's queue: amqp:// or amqps://.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) amqp_url: Option<String>,
    /// Go on where Redis is set up so that it may lose what it acknowledged.
    #[arg(long, global = true)]
    pub(crate) allow_weak_durability: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Text,
    /// For programs: one JSON value; lists are arrays.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process: portal, scheduler and worker; on an embedded store and queue, or on the
    /// fleet's.
    Up(Up),
    /// A scheduler of the fleet, with the portal. Several stand by for each other.
    Scheduler(Scheduler),
    /// A worker of the fleet.
    Worker(Worker),
    /// The fleet's portal alone.
    Portal(Portal),
    /// Who is there: schedulers, workers and portals, what they can carry and what they carry.
    Fleet,
    /// Scheduled tasks.
    Task {
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Runs of tasks.
    Run {
        #[command(subcommand)]
        command: RunCommand,
    },
    /// Users.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Items: the notebooks that tasks run.
    Item {
        #[command(subcommand)]
        command: ItemCommand,
    },
    /// Write every task as a line of JSON, with its id, its choices and the runs that it has made.
    Export(Export),
    /// Take tasks over, with their ids: those that `isochrone export` wrote, or those of an ArcGIS portal.
    Import(Import),
    /// The log of who did what.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// The keys that seal task parameters and the like in the store (not users' API keys: see `user key`).
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Schedules in Quartz's dialect.
    Cron {
        #[command(subcommand)]
        command: CronCommand,
    },
    /// The configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// A simulated ArcGIS Enterprise, to try Isochrone without one: portal, GIS server, Notebook Server, Workflow
    /// Manager.
    Sandbox(Sandbox),
    /// Checks what Isochrone needs here, and says what to do about what is missing.
    Doctor,
    /// Asks the process that runs here whether it lives (/livez on admin.listen); the exit code tells. For
    /// containers.
    Healthcheck {
        /// Ask whether it is ready (/readyz): its store and its queue answer, and it does not stop.
        #[arg(long)]
        ready: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CronCommand {
    /// Tell when a schedule fires next, and say it in words.
    Next {
        /// MINUTE HOUR DOM MONTH DOW, each an argument of its own.
        #[arg(value_names = ["MINUTE", "HOUR", "DOM", "MONTH", "DOW"], num_args = 5, allow_hyphen_values = true,
              required_unless_present = "stdin")]
        fields: Vec<String>,
        /// How many fires.
        #[arg(long, default_value_t = 5)]
        count: usize,
        /// After this moment (epoch ms); without it: now.
        #[arg(long, value_name = "MS", allow_hyphen_values = true)]
        after: Option<i64>,
        /// Read JSON lines, answer each with a JSON line.
        #[arg(long, conflicts_with = "fields")]
        stdin: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, its value and where it came from.
    Show,
    /// Only tell whether the configuration is good.
    Check,
}
