//! The connection to Redis: to one server, to the master that sentinels name, or to a cluster.
//!
//! One connection a server carries everything: what is asked for at once goes in one packet, and what
//! arrives at once shares one sync of Redis's disk. A command whose answer is lost is not sent again
//! here: its caller learns that it may or may not have been carried out.

use std::time::{Duration, Instant};

use futures::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, TlsCertificates, TlsMode, Value, cmd};
use tokio::sync::Mutex;

use super::address::{Address, uses_tls};
use super::batch::Batch;
use super::durability::{Wait, unconfirmed};
use super::keys::Shard;
use crate::{Result, StoreError};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Waits between attempts to connect: from the first, doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How often the cluster's client sends a command again, to where it belongs.
const REDIRECTIONS: u32 = 4;

/// The connection to Redis. It comes about again by itself, for ever.
pub(super) enum Link {
    /// To one server at a time.
    Server(Box<Mutex<State>>),
    /// To all servers of a cluster.
    Cluster(ClusterConnection),
    /// To a modelled server.
    #[cfg(feature = "simulation")]
    Model(std::sync::Arc<dyn super::model::Transport>),
}

/// The way to the one server.
enum Way {
    Direct(Box<Client>),
    Sentinel(Box<SentinelClient>),
}

pub(super) struct State {
    way: Way,
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that an old one's failure does not end a new one.
    number: u64,
    failure: Option<Failure>,
}

/// The last attempt to connect came to nothing; until the next one everybody gets its error.
struct Failure {
    error: StoreError,
    wait: Duration,
    until: Instant,
}

impl Link {
    /// Connects.
    pub(super) async fn open(address: Address, certificates: Option<TlsCertificates>) -> Result<Link> {
        let way = match address {
            Address::Cluster(nodes) => {
                let mut builder = ClusterClientBuilder::new(nodes)
                    .retries(REDIRECTIONS)
                    .connection_timeout(CONNECT)
                    .response_timeout(ANSWER)
                    .overall_response_timeout(Some(ANSWER));
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                let connecting = builder.build()?.get_async_connection().await;
                return Ok(Link::Cluster(connecting.map_err(cluster_error)?));
            }
            Address::Server(info) => Way::Direct(Box::new(match certificates {
                Some(certificates) if uses_tls(&info) => Client::build_with_tls(info, certificates)?,
                _ => Client::open(info)?,
            })),
            Address::Sentinel { sentinels, service } => {
                let mut builder = SentinelClientBuilder::new(
                    sentinels.iter().map(|info| info.addr().clone()),
                    service,
                    SentinelServerType::Master,
                )?;
                // The sentinels and the servers have one login, as the URL has.
                let first = sentinels.first().map(redis::ConnectionInfo::redis_settings);
                if let Some(user) = first.and_then(|login| login.username()) {
                    builder =
                        builder.set_client_to_redis_username(user).set_client_to_sentinel_username(user);
                }
                if let Some(password) = first.and_then(|login| login.password()) {
                    builder = builder
                        .set_client_to_redis_password(password)
                        .set_client_to_sentinel_password(password);
                }
                if sentinels.iter().any(uses_tls) {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                    if let Some(certificates) = certificates {
                        builder = builder
                            .set_client_to_redis_certificates(certificates.clone())
                            .set_client_to_sentinel_certificates(certificates);
                    }
                }
                Way::Sentinel(Box::new(builder.build()?))
            }
        };
        let mut state = State { way, connection: None, number: 0, failure: None };
        state.connected().await?;
        Ok(Link::Server(Box::new(Mutex::new(state))))
    }

    pub(super) fn is_one_server(&self) -> bool {
        !matches!(self, Link::Cluster(_))
    }

    /// Sends commands together. One answer each, in order; a command that failed has its error there.
    pub(super) async fn values(&self, batch: Batch) -> Result<Vec<Value>> {
        if batch.commands.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Link::Server(state) => ask_server(state, batch).await,
            Link::Cluster(connection) => ask_cluster(connection, batch).await,
            #[cfg(feature = "simulation")]
            Link::Model(transport) => transport
                .send(super::model::Request::new(batch))
                .await
                .map(super::model::Response::into_values),
        }
    }
}

async fn ask_server(state: &Mutex<State>, batch: Batch) -> Result<Vec<Value>> {
    let (mut connection, number) = state.lock().await.connected().await?;
    let together = batch.together && batch.commands.len() > 1;
    let wait = batch.wait(batch.commands[0].0);
    let (first, last) = if together { (Some(cmd("MULTI")), Some(cmd("EXEC"))) } else { (None, None) };
    let commands = batch.commands.into_iter().map(|(_, command)| command);
    // Inside of the transaction it would not wait.
    let pipeline = pipeline(first.into_iter().chain(commands).chain(last).chain(wait.command()));
    let count = pipeline.len();
    let answers = connection.req_packed_commands(&pipeline, 0, count).await;
    let over = match &answers {
        // Time-outs too: what does not answer may never do so again.
        Err(error) => error.is_unrecoverable_error() || error.is_io_error(),
        // It was the master once; whoever names the master knows another by now.
        Ok(values) => values.iter().chain(values.iter().flat_map(parts)).any(is_read_only),
    };
    if over {
        state.lock().await.lose(number);
    }
    let mut values = answers?;
    let confirmed = is_confirmed(wait, &mut values);
    if together {
        // Before it stand as many words that the commands are queued.
        values = match values.pop() {
            Some(Value::Array(answers)) => answers,
            Some(Value::ServerError(error)) => return Err(error.into()),
            _ => return Err(StoreError::Unavailable("Redis did not carry out a transaction".to_owned())),
        };
    }
    if !confirmed {
        doubt(&mut values);
    }
    Ok(values)
}

/// Takes the answer to the wait, which is the last.
fn is_confirmed(wait: Wait, values: &mut Vec<Value>) -> bool {
    wait == Wait::Nothing || values.pop().is_some_and(|answer| wait.is_met(&answer))
}

/// Nobody knows whether the commits stay that are done: too few replicas have said that they have them.
fn doubt(values: &mut [Value]) {
    for value in values.iter_mut().filter(|value| matches!(value, Value::Int(0))) {
        *value = unconfirmed();
    }
}

fn parts(value: &Value) -> &[Value] {
    match value {
        Value::Array(parts) => parts,
        _ => &[],
    }
}

fn is_read_only(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "READONLY")
}

/// A pipeline for each shard, all at once: a shard is in one slot, and so on one server.
async fn ask_cluster(connection: &ClusterConnection, batch: Batch) -> Result<Vec<Value>> {
    let count = batch.commands.len();
    let mut shards: Vec<(Shard, Vec<(usize, Cmd)>)> = Vec::new();
    let durability = batch.durability;
    for (place, (shard, command)) in batch.commands.into_iter().enumerate() {
        match shards.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, commands)) => commands.push((place, command)),
            None => shards.push((shard, vec![(place, command)])),
        }
    }
    let asked = shards.into_iter().map(|(shard, commands)| {
        let mut connection = connection.clone();
        let (places, commands): (Vec<usize>, Vec<Cmd>) = commands.into_iter().unzip();
        let route = Route::with_key(shard.tag(), SlotAddr::Master);
        let wait = durability.as_ref().map_or(Wait::Nothing, |durability| durability.wait(shard));
        async move {
            let pipeline = pipeline(commands.into_iter().chain(wait.command()));
            let count = pipeline.len();
            let route = SingleNodeRoutingInfo::SpecificNode(route);
            let mut values = connection.route_pipeline(pipeline, 0, count, route).await?;
            if !is_confirmed(wait, &mut values) {
                doubt(&mut values);
            }
            Ok((places, values))
        }
    });
    let mut answers = vec![Value::Nil; count];
    for part in join_all(asked).await {
        let (places, values) = part.map_err(cluster_error)?;
        for (place, value) in places.into_iter().zip(values) {
            answers[place] = value;
        }
    }
    Ok(answers)
}

fn pipeline(commands: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}

/// The cluster's client wraps what its nodes said into one text.
fn cluster_error(error: RedisError) -> StoreError {
    let text = error.to_string();
    if ["WRONGPASS", "AuthenticationFailed"].iter().any(|word| text.contains(word)) {
        return StoreError::Config("Redis refused the user name or the password".to_owned());
    }
    if text.contains("NOAUTH") {
        return StoreError::Config("Redis asks for a password".to_owned());
    }
    if text.contains("cluster support disabled") {
        return StoreError::Config("that Redis is no cluster: use redis:// for one server".to_owned());
    }
    error.into()
}

/// Why no connection came about.
fn connect_error(error: RedisError) -> StoreError {
    if error.is_timeout() {
        return StoreError::Unavailable(
            "Redis did not answer in time when it was connected to (another port, or TLS on one side only?)"
                .to_owned(),
        );
    }
    if error.is_connection_dropped() && !error.is_connection_refusal() {
        return StoreError::Unavailable(
            "the server closed the connection at once (is it Redis, and TLS on both sides or on none?)"
                .to_owned(),
        );
    }
    error.into()
}

impl State {
    /// The connection, made anew if there is none.
    async fn connected(&mut self) -> Result<(MultiplexedConnection, u64)> {
        if let Some(connection) = &self.connection {
            return Ok((connection.clone(), self.number));
        }
        if let Some(failure) = &self.failure
            && Instant::now() < failure.until
        {
            return Err(failure.error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connecting = async {
            match &mut self.way {
                Way::Direct(client) => client.get_multiplexed_async_connection_with_config(&config).await,
                Way::Sentinel(client) => client.get_async_connection_with_config(&config).await,
            }
        };
        // The login and the sentinels' answers have no limit of their own.
        let connecting = tokio::time::timeout(CONNECT * 2, connecting).await;
        let connecting =
            connecting.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
        match connecting {
            Ok(connection) => {
                if self.number > 0 || self.failure.is_some() {
                    tracing::info!("connected to Redis again");
                }
                self.failure = None;
                self.number += 1;
                self.connection = Some(connection.clone());
                Ok((connection, self.number))
            }
            Err(error) => {
                let error = connect_error(error);
                let wait = self.failure.as_ref().map_or(FIRST_WAIT, |last| (last.wait * 2).min(LONGEST_WAIT));
                self.failure = Some(Failure { error: error.clone(), wait, until: Instant::now() + wait });
                Err(error)
            }
        }
    }

    fn lose(&mut self, number: u64) {
        if self.number == number && self.connection.take().is_some() {
            tracing::warn!("the connection to Redis is lost");
        }
    }
}
