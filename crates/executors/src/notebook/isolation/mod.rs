//! What keeps a notebook from what is not its own: other runs, the worker's secrets, the rest of the machine.
//!
//! There are two tiers. `bwrap` gives a notebook namespaces of its own, in which nothing is but the system,
//! the Python environment and the attempt's folder. `landlock` leaves it in the machine's namespaces, and the
//! kernel refuses it all files but those. In both a filter keeps system calls from it that no notebook needs.
//! A tier is used only where a probe has shown that it holds.

mod bwrap;
mod error;
mod landlock;
mod parent;
mod probe;
mod syscalls;
mod view;

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Pid;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::config::{Config, Isolation, Network};
use super::limits::{Limits, LimitsFound, RunUser, Users, let_pass};
use super::network::{self, Handover, NetworkTier, Ports};
use super::scratch::Scratch;
use crate::untrusted::UntrustedDir;
use bwrap::ViewLimits;
pub use error::IsolationError;
pub(super) use parent::Parent;
use syscalls::Calls;
use view::View;

/// How a notebook is isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In namespaces of its own.
    Bwrap,
    /// By Landlock and a filter on system calls.
    Landlock,
    /// Not at all.
    None,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Bwrap => "bwrap",
            Tier::Landlock => "landlock",
            Tier::None => "none",
        })
    }
}

/// Finds the tier that is used, and keeps what it found; clones share it.
#[derive(Clone, Debug)]
pub struct Isolator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    /// Attempts have their folders in it.
    scratch: PathBuf,
    /// Folders that Isochrone has made, through which other users may pass.
    opened: Vec<PathBuf>,
    /// What runs must be able to read, beside what is listed for all.
    needed: Vec<PathBuf>,
    limits: Limits,
    /// With the Python that it was found for.
    found: Mutex<Option<(PathBuf, Confinement)>>,
}

impl Isolator {
    /// For notebooks that have their folders in `scratch`, as `config` wants.
    pub fn new(scratch: impl Into<PathBuf>, config: &Config) -> Isolator {
        let scratch = scratch.into();
        let data = scratch.parent().map(Path::to_path_buf);
        let python = data.as_ref().map(|data| data.join("python"));
        let opened = data.into_iter().chain([scratch.clone()]).chain(python).collect();
        Self::with_folders(scratch, config, opened, Vec::new())
    }

    /// For builds of Python environments, which have their folders in `folder`: they read what leads to packages.
    pub(super) fn for_builds(folder: &Path, config: &Config) -> Isolator {
        // What is around a folder of the operator's is not Isochrone's to open.
        let data = folder.parent().filter(|_| config.environments_dir.is_none());
        let opened = data.into_iter().chain([folder]).map(Path::to_path_buf).collect();
        let needed = network::files(&config.environment).collect();
        Self::with_folders(folder.to_path_buf(), config, opened, needed)
    }

    fn with_folders(
        scratch: PathBuf,
        config: &Config,
        opened: Vec<PathBuf>,
        needed: Vec<PathBuf>,
    ) -> Isolator {
        let (config, limits, found) = (config.clone(), Limits::find(config), Mutex::new(None));
        Isolator(Arc::new(Shared { config, scratch, opened, needed, limits, found }))
    }

    /// The tier that notebooks of this Python get. A tier that was found to hold is not probed again; what
    /// did not hold is, so that what was installed meanwhile counts.
    pub async fn tier(&self, python: &Path) -> Result<Tier, IsolationError> {
        self.confinement(python).await.map(|confinement| confinement.tier)
    }

    /// The network that notebooks of this Python get.
    pub async fn network(&self, python: &Path) -> Result<NetworkFound, IsolationError> {
        let confinement = self.confinement(python).await?;
        Ok(NetworkFound { tier: confinement.network, lacks: confinement.lacks.to_vec() })
    }

    /// Which limits hold for notebooks of this Python.
    pub async fn limits(&self, python: &Path) -> Result<LimitsFound, IsolationError> {
        self.confinement(python).await.map(|confinement| confinement.held())
    }

    pub(super) async fn confinement(&self, python: &Path) -> Result<Confinement, IsolationError> {
        let mut found = self.0.found.lock().await;
        if let Some((_, confinement)) = found.as_ref().filter(|(probed, _)| probed == python) {
            return Ok(confinement.clone());
        }
        let confinement = self.find(python).await?;
        let missing = confinement.held().missing();
        if let Some(missing) = missing.filter(|_| self.0.config.require_limits) {
            return Err(IsolationError::NotLimited(missing));
        }
        *found = Some((python.to_path_buf(), confinement.clone()));
        Ok(confinement)
    }

    async fn find(&self, python: &Path) -> Result<Confinement, IsolationError> {
        let network = self.0.config.network;
        let no_network = |why: &str| IsolationError::NoNetwork { network, why: why.to_owned() };
        let needs_namespace = matches!(network, Network::Guarded | Network::None);
        let tier = match self.0.config.isolation {
            Isolation::None if needs_namespace => {
                return Err(no_network("[notebook] isolation = \"none\" makes no namespaces"));
            }
            Isolation::None => return Ok(self.unprobed(Tier::None, NetworkTier::Open, Arc::default())),
            Isolation::Landlock if needs_namespace => {
                return Err(no_network("[notebook] isolation = \"landlock\" makes no namespaces"));
            }
            Isolation::Bwrap => Tier::Bwrap,
            Isolation::Landlock => Tier::Landlock,
            Isolation::Auto => {
                let bwrap = match self.probed(Tier::Bwrap, python).await {
                    Ok(confinement) => return Ok(confinement),
                    Err(why) if needs_namespace => return Err(no_network(&why)),
                    Err(why) => why,
                };
                let landlock = self.probed(Tier::Landlock, python).await;
                return landlock.map_err(|landlock| IsolationError::NoneReal { bwrap, landlock });
            }
        };
        let probed = self.probed(tier, python).await;
        probed.map_err(
            |why| {
                if needs_namespace { no_network(&why) } else { IsolationError::NotReal { tier, why } }
            },
        )
    }

    /// The tier with the strictest network that holds in it. The error is what does not hold.
    async fn probed(&self, tier: Tier, python: &Path) -> Result<Confinement, String> {
        let view = Arc::new(View::of(python, &self.0.config).await?);
        let networks: &[NetworkTier] = match (self.0.config.network, tier) {
            (Network::Guarded, _) => &[NetworkTier::Guarded],
            (Network::None, _) => &[NetworkTier::None],
            (Network::Auto, Tier::Bwrap) => &[NetworkTier::Guarded, NetworkTier::Open],
            (Network::Auto, Tier::Landlock) => &[NetworkTier::Ports, NetworkTier::Open],
            (Network::Open, _) | (Network::Auto, Tier::None) => &[NetworkTier::Open],
        };
        let mut why = String::new();
        for network in networks {
            let mut confinement = self.unprobed(tier, *network, Arc::clone(&view));
            let probed = match self.probed_as_another_user(&mut confinement, python).await {
                Some(missing) => Ok(missing),
                None => probe::probe(&confinement, python, &self.0.scratch).await,
            };
            match probed {
                Ok(missing) => {
                    tracing::debug!(%tier, %network, "a probe could not get out");
                    confinement.lacks =
                        missing.into_iter().chain(Some(why).filter(|why| !why.is_empty())).collect();
                    return Ok(confinement);
                }
                Err(error) => {
                    tracing::warn!(%tier, %network, why = error, "notebooks can't be isolated so");
                    // What is wrong with the strictest says most.
                    why = if why.is_empty() { error } else { why };
                }
            }
        }
        Err(why)
    }
}

impl Isolator {
    fn unprobed(&self, tier: Tier, network: NetworkTier, view: Arc<View>) -> Confinement {
        Confinement {
            tier,
            network,
            view,
            lacks: Arc::default(),
            limits: self.0.limits.clone(),
            users: None,
            memory_bytes: self.0.config.memory_bytes(),
        }
    }

    /// What the network lacks where runs can have users of their own, and are to have them.
    async fn probed_as_another_user(
        &self,
        confinement: &mut Confinement,
        python: &Path,
    ) -> Option<Vec<String>> {
        confinement.users = self.0.limits.users();
        let probed = self.probe_users(confinement.users?, confinement, python).await;
        if let Err(why) = &probed {
            tracing::warn!(tier = %confinement.tier, why, "runs can't have users of their own");
            confinement.users = None;
        }
        probed.ok()
    }

    /// The error is what such a user can't do.
    async fn probe_users(
        &self,
        users: Users,
        confinement: &Confinement,
        python: &Path,
    ) -> Result<Vec<String>, String> {
        let Shared { scratch, config, opened, needed, .. } = &*self.0;
        for folder in opened {
            let_pass(folder);
        }
        let readable = config.readable.iter().chain(needed).cloned().chain([python.to_path_buf()]);
        let (readable, writable): (Vec<PathBuf>, _) = (readable.collect(), config.writable.clone());
        let environments = config.environments_dir.clone().filter(|folder| folder.exists());
        let passed: Vec<PathBuf> = environments.into_iter().collect();
        let check = move || Ok::<_, io::Error>(users.take()?.out_of_reach(&readable, &writable, &passed));
        let missing = tokio::task::spawn_blocking(check).await.map_err(|error| error.to_string())?;
        match missing.map_err(|error| error.to_string())?.as_slice() {
            [] => probe::probe(confinement, python, scratch).await,
            missing => Err(format!("another user can't reach {}", missing.join(", "))),
        }
    }
}

/// The network that notebooks get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFound {
    /// What it is.
    pub tier: NetworkTier,
    /// What it lacks here, and why it is no stricter, for people.
    pub lacks: Vec<String>,
}

/// A tier with what it lets a notebook see.
#[derive(Clone, Debug)]
pub(super) struct Confinement {
    pub(super) tier: Tier,
    pub(super) network: NetworkTier,
    view: Arc<View>,
    lacks: Arc<[String]>,
    limits: Limits,
    /// Each run is one of these.
    users: Option<Users>,
    memory_bytes: u64,
}

/// A process that was started in a confinement.
pub(super) struct Confined {
    /// What this process waits for: the program, or what was put before it and ends as it does.
    pub(super) child: Child,
    /// The program itself.
    pub(super) pid: Pid,
    /// Where its network namespace's sockets come from, if it has such.
    pub(super) handover: Option<Handover>,
    /// Whose it is, if it is not this process's own user's.
    pub(super) user: Option<RunUser>,
    /// To be dropped after the child.
    pub(super) parent: Parent,
}

/// A command that is to be started in a confinement; its arguments and all else may still be added to.
pub(super) struct Start {
    pub(super) command: Command,
    confinement: Confinement,
    input: PathBuf,
    own: UntrustedDir,
    ports: Ports,
    /// Open files that it inherits.
    inherited: Vec<OwnedFd>,
    handover: Option<Handover>,
    user: Option<RunUser>,
}

impl Confinement {
    /// The same with another path to read.
    pub(super) fn with_readable(&self, path: PathBuf) -> Confinement {
        let mut view = View::clone(&self.view);
        view.readable.push(path);
        Confinement { view: Arc::new(view), ..self.clone() }
    }

    /// What holds a run in it to its limits.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Which limits hold in it.
    pub(super) fn held(&self) -> LimitsFound {
        self.limits.held(self.tier, self.users.is_some())
    }

    /// Why a folder that several runs share can't be at `/arcgis/home` there, if it can't.
    pub(super) fn no_shared_home(&self) -> Option<&'static str> {
        match (self.tier, &self.users) {
            (Tier::Bwrap, None) => None,
            (Tier::Bwrap, Some(_)) => Some("each run is executed as a user of its own"),
            _ => Some("only bubblewrap can put it there"),
        }
    }

    fn calls(&self) -> Calls {
        Calls { memory_is_counted: self.limits.count_memory(), own_namespaces: self.tier == Tier::Bwrap }
    }

    /// Starts Python's `program` in a folder of its own, the only one to write in, with a network for these ports.
    /// What is to be read there must be there.
    pub(super) fn start(
        &self,
        python: &Path,
        program: &Path,
        scratch: &Scratch,
        ports: Ports,
    ) -> io::Result<Start> {
        let mut inherited = Vec::new();
        let mut command = match self.tier {
            Tier::Bwrap => {
                let limits = ViewLimits { shared_memory: self.memory_bytes, calls: self.calls() };
                bwrap::command(python, &self.view, scratch, self.network, limits, &mut inherited)?
            }
            Tier::Landlock | Tier::None => Command::new(python),
        };
        // The program goes on to its own: where that leads, only the notebook's processes must find out.
        command.current_dir(scratch.input()).arg("-I");
        let mut handover = None;
        if self.network == NetworkTier::Guarded {
            let (ours, theirs) = Handover::new()?;
            let open: Vec<String> = ports.open.iter().map(u16::to_string).collect();
            command.args(["-c", network::NAMESPACE_PROGRAM]);
            command.args([theirs.as_raw_fd().to_string(), ports.proxy().to_string(), open.join(",")]);
            inherited.push(theirs);
            handover = Some(ours);
        }
        command.arg(program);
        let (input, own) = (scratch.input(), scratch.own_folder().again()?);
        let user = self.users.map(|users| users.take()).transpose()?;
        if let Some(user) = &user {
            scratch.hand_over(user)?;
            command.uid(user.user).gid(user.group);
        }
        Ok(Start { command, confinement: self.clone(), input, own, ports, inherited, handover, user })
    }
}

impl Start {
    /// Starts it.
    pub(super) async fn spawn(self) -> io::Result<Confined> {
        let Start { command, confinement, input, own, ports, inherited, handover, user } = self;
        let (calls, another_user) = (confinement.calls(), user.is_some());
        let Confinement { tier, network, view, .. } = confinement;
        let prepare = move || match tier {
            Tier::None => Ok(()),
            Tier::Bwrap => inherited.iter().try_for_each(|file| Ok(fcntl_setfd(file, FdFlags::empty())?)),
            Tier::Landlock => {
                let ports = (network == NetworkTier::Ports).then_some(&ports);
                landlock::restrict_thread(&view, &input, &own, ports, another_user)?;
                syscalls::restrict_thread(calls)
            }
        };
        let (mut child, parent) = Parent::spawn(command, prepare).await?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let mut pid = id.ok_or_else(|| io::Error::other("it ended before it began"))?;
        if tier == Tier::Bwrap {
            pid = bwrap::program_of(&mut child, pid).await?;
        }
        Ok(Confined { child, pid, handover, user, parent })
    }
}
