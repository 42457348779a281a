//! What the processes of a fleet are told.

use std::net::SocketAddr;
use std::path::PathBuf;

use isochrone_domain::TaskType;

use super::Command;

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
