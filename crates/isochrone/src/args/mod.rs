//! The command line.

pub(crate) mod secrets;
mod transfer;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use isochrone_domain::{ItemChanges, ItemId, Role, RunId, TaskId, TaskType};
use isochrone_store::chain::Head;

pub(crate) use transfer::{Export, FromPortal, Import};

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

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Add a sample notebook and a sample task of each type, beside a simulated ArcGIS, and tell what happens as it
    /// happens.
    #[arg(long)]
    pub(crate) demo: bool,
    /// Address and port of the HTTP listener.
    #[command(flatten)]
    pub(crate) listeners: Listeners,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sandbox {
    /// Where the configuration is written that leads there.
    #[arg(long, value_name = "FILE", default_value = "isochrone-sandbox.toml")]
    pub(crate) write: PathBuf,
}

/// Where the portal listens.
#[derive(Debug, clap::Args)]
pub(crate) struct Listeners {
    /// Address and port of the HTTP listener.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// Address and port of the HTTPS listener.
    #[arg(long, value_name = "ADDR")]
    pub(crate) https: Option<SocketAddr>,
    /// Let HTTP listen on more than loopback: tokens and passwords cross the network in the clear.
    #[arg(long)]
    pub(crate) insecure_http: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Scheduler {
    /// Serve no portal.
    #[arg(long, conflicts_with_all = ["http", "https"])]
    pub(crate) no_portal: bool,
    #[command(flatten)]
    pub(crate) listeners: Listeners,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Worker {
    /// The types of task that it takes, as in A,B; without it every type.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub(crate) types: Vec<TaskType>,
    /// Runs at a time, of each type.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) slots: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Portal {
    #[command(flatten)]
    pub(crate) listeners: Listeners,
}

/// A setting that a command's flag gives.
pub(crate) struct Flag {
    pub(crate) key: &'static str,
    pub(crate) name: &'static str,
    pub(crate) value: figment::value::Value,
}

impl Listeners {
    fn flags(&self) -> Vec<Flag> {
        let listen = |key, name, address: Option<SocketAddr>| {
            address.map(|address| Flag { key, name, value: address.to_string().into() })
        };
        let insecure = || Flag { key: "http.insecure", name: "--insecure-http", value: true.into() };
        let flags = [
            listen("http.listen", "--http", self.http),
            listen("https.listen", "--https", self.https),
            self.insecure_http.then(insecure),
        ];
        flags.into_iter().flatten().collect()
    }
}

impl Command {
    /// The settings among the command's own flags.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        match self {
            Command::Up(Up { listeners, .. })
            | Command::Scheduler(Scheduler { listeners, .. })
            | Command::Portal(Portal { listeners }) => listeners.flags(),
            Command::Worker(Worker { types, slots }) => {
                let types = types.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                let types = Some(types).filter(|types| !types.is_empty());
                let types =
                    types.map(|types| Flag { key: "worker.types", name: "--types", value: types.into() });
                let slots = slots.iter().flat_map(|slots| {
                    ["worker.slots", "worker.notebook_slots"].map(|key| Flag {
                        key,
                        name: "--slots",
                        value: (*slots).into(),
                    })
                });
                types.into_iter().chain(slots).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Make a task.
    Create(Box<TaskCreate>),
    /// List tasks.
    List {
        /// Of this owner only.
        #[arg(long)]
        owner: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Show a task.
    Show { task: TaskId },
    /// Change a task; what is not given stays.
    Update(Box<TaskUpdate>),
    /// Let a task plan fires again.
    Enable { task: TaskId },
    /// Make a task plan no fires.
    Disable { task: TaskId },
    /// Agree to what a task's item does now, where it is somebody else's and was changed.
    Accept {
        task: TaskId,
        /// Only if the item still has this digest, as `run show` tells it.
        #[arg(long)]
        digest: Option<String>,
    },
    /// Delete a task and its runs.
    Delete { task: TaskId },
    /// Run a task now.
    Run {
        task: TaskId,
        /// Wait until the run has ended; the exit code tells how.
        #[arg(long)]
        wait: bool,
    },
    /// Tell when a task fires next, and why its last fires ended as they did.
    Explain {
        task: TaskId,
        /// As if it were this moment (epoch ms).
        #[arg(long, value_name = "MS")]
        at: Option<i64>,
    },
    /// Make runs for planned minutes of the past.
    Backfill {
        task: TaskId,
        /// From this moment on (epoch ms).
        #[arg(long, value_name = "MS")]
        from: i64,
        /// Up to and including this moment (epoch ms).
        #[arg(long, value_name = "MS")]
        to: i64,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CronArgs {
    #[arg(long)]
    pub(crate) minute: Option<String>,
    #[arg(long)]
    pub(crate) hour: Option<String>,
    #[arg(long)]
    pub(crate) day_of_month: Option<String>,
    #[arg(long)]
    pub(crate) month: Option<String>,
    #[arg(long)]
    pub(crate) day_of_week: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WorkArgs {
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// The item that the task works on.
    #[arg(long, value_name = "ID")]
    pub(crate) item: Option<ItemId>,
    /// A geoprocessing task's URL.
    #[arg(long, value_name = "URL")]
    pub(crate) task_url: Option<String>,
    /// A JSON object.
    #[arg(long, value_name = "JSON")]
    pub(crate) parameters: Option<String>,
    /// No fire before this moment (epoch ms).
    #[arg(long, value_name = "MS")]
    pub(crate) start: Option<i64>,
    /// No fire after this moment (epoch ms).
    #[arg(long, value_name = "MS")]
    pub(crate) end: Option<i64>,
    /// How many runs the task may make.
    #[arg(long, value_name = "N")]
    pub(crate) max_occurrences: Option<u64>,
    /// What a run does where somebody else changed the item: refuse it, or follow.
    #[arg(long, value_name = "pinned|follow", value_parser = item_changes)]
    pub(crate) item_changes: Option<ItemChanges>,
    #[command(flatten)]
    pub(crate) cron: CronArgs,
}

fn item_changes(text: &str) -> Result<ItemChanges, &'static str> {
    match text {
        "pinned" => Ok(ItemChanges::Pinned),
        "follow" => Ok(ItemChanges::Follow),
        _ => Err("expected pinned or follow"),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct TaskCreate {
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: TaskType,
    /// Whose task it is.
    #[arg(long, default_value = "admin")]
    pub(crate) owner: String,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TaskUpdate {
    pub(crate) task: TaskId,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List runs, the latest planned first.
    List {
        /// Of this task only.
        #[arg(long)]
        task: Option<TaskId>,
        /// Of this owner's tasks only.
        #[arg(long)]
        owner: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 30)]
        limit: u64,
    },
    /// Show a run.
    Show { run: RunId },
    /// Print a run's log; as JSON, a line each.
    Logs {
        run: RunId,
        /// Go on until the run has ended.
        #[arg(long, short)]
        follow: bool,
    },
    /// Ask a run to end.
    Cancel { run: RunId },
    /// Try an ended run again.
    Retry { run: RunId },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user. One that is there is changed by `user role` and `user password`.
    Add {
        name: String,
        /// admin, publisher or viewer.
        #[arg(long)]
        role: Role,
        /// Read the password from the first line of standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List users.
    List,
    /// Give a user another role.
    Role {
        name: String,
        /// admin, publisher or viewer.
        role: Role,
    },
    /// Give a user another password. All that was given for the old one is void: tokens, API keys, OAuth's grants.
    Password {
        name: String,
        /// Read the password from the first line of standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Let nobody sign in as a user any more. All that was given to the user is void, and no task of the user runs:
    /// its runs end with `owner_disabled`.
    Disable { name: String },
    /// Let a user sign in again, and the user's tasks run. What was void stays void.
    Enable { name: String },
    /// Delete a user. One who owns tasks or items stays, unless somebody gets them.
    Delete {
        name: String,
        /// Who gets the user's tasks and items.
        #[arg(long, value_name = "NAME")]
        tasks_to: Option<String>,
    },
    /// Make an API key: a token for a program that acts for the user. It is printed once.
    Key {
        name: String,
        /// What the key is for.
        #[arg(long)]
        title: String,
        /// How many days it is good for. A new password of its user voids it before.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3_650))]
        days: u16,
    },
    /// List a user's API keys.
    Keys { name: String },
    /// Make an API key void.
    Revoke {
        /// As `user keys` lists it.
        key: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ItemCommand {
    /// Add a notebook, or replace the data of the one with this id.
    Add {
        file: PathBuf,
        /// 32 hex digits; without it a new one.
        #[arg(long)]
        id: Option<ItemId>,
        /// Without it the file's name.
        #[arg(long)]
        title: Option<String>,
        /// Whose private item it is. Without it the item is admin's, and every user's tasks may run it.
        #[arg(long)]
        owner: Option<String>,
    },
    /// List items.
    List {
        /// Of this owner only.
        #[arg(long)]
        owner: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List who did what, the oldest first.
    List {
        /// From this moment on (epoch ms).
        #[arg(long, value_name = "MS")]
        from: Option<i64>,
        /// Before this moment (epoch ms).
        #[arg(long, value_name = "MS")]
        to: Option<i64>,
    },
    /// Check that no entry was changed, removed, moved or added; the exit code tells.
    Verify {
        /// Check, too, that the log goes on from this head, as it was told in the process's log.
        #[arg(long)]
        head: Option<Head>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Print a new key, for the file that `secrets.key_file` names.
    Generate,
    /// Tell which keys are in use, and how much is sealed with each of them.
    Status,
    /// Seal everything with the first key. It may be cut short and begun again, and the fleet may work meanwhile.
    Rotate,
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
