//! A RabbitMQ node of its own: name, cookie, ports and data are no other's.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::net::TcpStream;

use super::dir::ServerDir;
use super::process::{NotReady, Process, installed, on_free_ports};
use super::{amqp, free_port};
use crate::{Proxy, eventually};

const READY_WITHIN: Duration = Duration::from_mins(2);
/// The scripts themselves: those in `/usr/sbin` change to the user rabbitmq.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";
/// A node looks for timed-out consumers once a second here, once a minute by default.
pub(super) const ADVANCED: &str = "[{rabbit, [{channel_tick_interval, 1000}]}].\n";

/// A RabbitMQ node. Dropped, it is killed and its data is gone.
pub struct RabbitServer {
    process: Process,
    node: Node,
}

/// What stays over restarts.
struct Node {
    scripts: PathBuf,
    name: String,
    port: u16,
    distribution_port: u16,
    dir: PathBuf,
    home: Arc<Home>,
}

/// What the nodes of a cluster share: the cookie, and the names' server.
pub(super) struct Home {
    // Killed with the last node.
    _epmd: Process,
    epmd_port: u16,
    dir: ServerDir,
}

impl RabbitServer {
    /// A node with RabbitMQ's defaults, without plugins.
    pub async fn start() -> Result<RabbitServer> {
        RabbitServer::start_with(&[]).await
    }

    /// With lines of rabbitmq.conf (name, value).
    pub async fn start_with(conf: &[(&str, &str)]) -> Result<RabbitServer> {
        RabbitServer::start_advanced(conf, ADVANCED).await
    }

    /// With lines of rabbitmq.conf and a whole advanced.config (Erlang terms).
    pub async fn start_advanced(conf: &[(&str, &str)], advanced: &str) -> Result<RabbitServer> {
        RabbitServer::start_in(Home::open().await?, "rabbit", conf, advanced).await
    }

    /// A node of this name (before the @) among the nodes of `home`.
    pub(super) async fn start_in(
        home: Arc<Home>,
        name: &str,
        conf: &[(&str, &str)],
        advanced: &str,
    ) -> Result<RabbitServer> {
        on_free_ports(|| async {
            let node = Node::prepare(Arc::clone(&home), name, conf, advanced)?;
            let process = node.spawn()?;
            let mut server = RabbitServer { process, node };
            server.until_ready().await?;
            Ok(server)
        })
        .await
    }

    async fn until_ready(&mut self) -> Result<(), NotReady> {
        let (url, log) = (self.url(), self.node.log());
        let answers = || async {
            // It listens before it is whole, and another's node could have its port.
            let started = std::fs::read_to_string(&log).is_ok_and(|log| log.contains(" completed with "));
            started && amqp::accepts_login(&url).await
        };
        self.process.until_ready(READY_WITHIN, answers).await
    }

    /// `amqp://guest:guest@127.0.0.1:PORT/%2f`.
    pub fn url(&self) -> String {
        self.url_of("%2f")
    }

    /// The same through a proxy before it.
    pub fn url_through(&self, proxy: &Proxy) -> String {
        format!("amqp://guest:guest@{}/%2f", proxy.address())
    }

    fn url_of(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@{}/{vhost}", self.address())
    }

    /// Where it listens for AMQP.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.node.port).into()
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its name in a cluster.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Makes a virtual host (letters, digits, `-` and `_`) that guest may use; gives its URL. One that is
    /// there already stays as it is.
    pub async fn vhost(&self, name: &str) -> Result<String> {
        self.ctl(&["add_vhost", name]).await?;
        self.ctl(&["set_permissions", "-p", name, "guest", ".*", ".*", ".*"]).await?;
        Ok(self.url_of(name))
    }

    /// rabbitmqctl on this node; gives what it printed.
    pub async fn ctl(&self, args: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::from(self.node.command("rabbitmqctl"));
        command.args(args).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let output = command.output().await.context("rabbitmqctl")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("rabbitmqctl {}: {printed}{why}", args.first().unwrap_or(&""));
        }
        Ok(printed)
    }

    /// How many messages are ready in a queue of the default virtual host; nothing without such a queue. See
    /// [`amqp::queue_depth`] for what it says just after a start.
    pub async fn queue_depth(&self, queue: &str) -> Result<Option<u64>> {
        amqp::queue_depth(&self.url(), queue).await
    }

    /// Deletes a queue of the default virtual host with its messages; gives how many were ready.
    pub async fn delete_queue(&self, queue: &str) -> Result<u64> {
        amqp::delete_queue(&self.url(), queue).await
    }

    /// Deletes the messages that are ready in a queue of the default virtual host.
    pub async fn purge_queue(&self, queue: &str) -> Result<()> {
        amqp::purge_queue(&self.url(), queue).await
    }

    /// Makes the names of its quorum queues outlive a SIGKILL. RabbitMQ 3.10 writes them half a second after
    /// a declaration; killed before that, it starts with an empty queue, confirmed messages or not.
    pub async fn sync(&self) -> Result<()> {
        self.ctl(&["eval", "[ok = dets:sync(Table) || Table <- dets:all()]."]).await.map(drop)
    }

    /// Closes every client's connection.
    pub async fn close_all_connections(&self) -> Result<()> {
        self.ctl(&["close_all_connections", "--global", "a test closes them"]).await.map(drop)
    }

    /// Raises the memory alarm: no publisher gets on until it is cleared.
    pub async fn raise_memory_alarm(&self) -> Result<()> {
        self.ctl(&["set_vm_memory_high_watermark", "0.0000001"]).await?;
        self.until_memory_alarm(true).await
    }

    /// Clears the memory alarm.
    pub async fn clear_memory_alarm(&self) -> Result<()> {
        self.ctl(&["set_vm_memory_high_watermark", "0.4"]).await?;
        self.until_memory_alarm(false).await
    }

    async fn until_memory_alarm(&self, raised: bool) -> Result<()> {
        eventually("the memory alarm to change", || async {
            let alarms = self.ctl(&["eval", "rabbit_alarm:get_alarms()."]).await?;
            Ok((alarms.contains("memory") == raised).then_some(()))
        })
        .await
    }

    /// SIGKILL; it is dead when this returns.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM, then waits for the end.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop().await
    }

    /// Starts it again on the same port and the same data, killing it first if it still runs. Ready when
    /// a client can log in.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.process = self.node.spawn()?;
        Ok(self.until_ready().await?)
    }

    /// SIGSTOP: it answers nothing until `resume`, and its connections stay open.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }
}

impl Node {
    fn prepare(home: Arc<Home>, name: &str, conf: &[(&str, &str)], advanced: &str) -> Result<Node> {
        let (port, distribution_port) = (free_port()?, free_port()?);
        let dir = home.dir.join(&format!("{name}-{port}"));
        std::fs::create_dir(&dir)?;
        let mut text = format!("listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n");
        for (name, value) in conf {
            writeln!(text, "{name} = {value}")?;
        }
        std::fs::write(dir.join("rabbitmq.conf"), text)?;
        std::fs::write(dir.join("advanced.config"), advanced)?;
        std::fs::write(dir.join("enabled_plugins"), "[].\n")?;
        let name = format!("{name}@localhost");
        Ok(Node { scripts: scripts()?, name, port, distribution_port, dir, home })
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn spawn(&self) -> Result<Process> {
        Process::spawn("rabbitmq-server", &self.command("rabbitmq-server"), self.log())
    }

    /// One of RabbitMQ's scripts for this node, and nothing of the machine's own node.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(self.scripts.join(script));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", self.home.dir.path())
            .env("ERL_EPMD_PORT", self.home.epmd_port.to_string())
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.dir.join("data"))
            .env("RABBITMQ_LOG_BASE", self.dir.join("logs"))
            // Its log goes to standard output, which an error can show.
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", self.dir.join("pid"))
            .env("RABBITMQ_CONF_ENV_FILE", self.dir.join("none"))
            .env("RABBITMQ_CONFIG_FILE", self.dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.dir.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.dir.join("enabled_plugins"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            // Any free port for rabbitmqctl, not one of eleven that all tests would share.
            .env("RABBITMQ_CTL_DIST_PORT_MIN", "0")
            .env("RABBITMQ_CTL_DIST_PORT_MAX", "0")
            // So the script becomes the node, and does not stand between the node and our signals.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env_remove("NOTIFY_SOCKET")
            // No dump of a node that does not start: its log says why.
            .env("ERL_CRASH_DUMP_SECONDS", "0");
        command
    }
}

impl Home {
    /// A directory with an epmd of its own, so that none is left behind for the whole machine.
    pub(super) async fn open() -> Result<Arc<Home>> {
        scripts()?;
        let binary = installed("epmd", &["/usr/bin", "/usr/local/bin"], "rabbitmq-server")?;
        let dir = ServerDir::new()?;
        let (epmd, epmd_port) = on_free_ports(|| async {
            let epmd_port = free_port()?;
            let mut command = Command::new(&binary);
            command.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
            let mut epmd = Process::spawn("epmd", &command, dir.join("epmd.log"))?;
            let answers = || async { TcpStream::connect((Ipv4Addr::LOCALHOST, epmd_port)).await.is_ok() };
            epmd.until_ready(READY_WITHIN, answers).await?;
            Ok((epmd, epmd_port))
        })
        .await?;
        Ok(Arc::new(Home { _epmd: epmd, epmd_port, dir }))
    }
}

/// The directory of RabbitMQ's scripts.
pub(super) fn scripts() -> Result<PathBuf> {
    let server = installed("rabbitmq-server", &[SCRIPTS], "rabbitmq-server")?;
    Ok(server.parent().map(Path::to_owned).unwrap_or_default())
}
