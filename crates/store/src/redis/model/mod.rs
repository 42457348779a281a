//! A Redis server in memory, for the simulator and for tests: the commands that the store uses, and `commit.lua` as a
//! Rust model of its checks and commands. `tests/model.rs` compares it with a real server.
//!
//! The store runs unchanged on top of it. How a request travels is decided by a [`Transport`], which can delay it, lose
//! it or its answer, or let a shard fail.

mod commands;
mod commit;
mod data;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use redis::Value;

use super::batch::Batch;
use super::commit::is_commit;
use super::{Options, RedisStore};
use crate::Result;
use data::Keyspace;

/// What a modelled server holds. A clone shares nothing that changes: it is a snapshot, and costs little.
#[derive(Clone, Default)]
pub struct Server {
    keys: Keyspace,
    /// The server's clock in microseconds since 1970 UTC.
    now_us: i64,
}

/// Commands that a store sends together.
pub struct Request(Batch);

/// Their answers.
pub struct Response(Vec<Value>);

/// How requests of one process reach a server.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Brings a request to a server, and its answer back.
    ///
    /// # Errors
    /// [`crate::StoreError::Unavailable`]: there is no answer; the commands may have been carried out or not.
    async fn send(&self, request: Request) -> Result<Response>;
}

impl Request {
    pub(super) fn new(batch: Batch) -> Request {
        Request(batch)
    }

    /// The shards that it concerns; the one behind the last is common to all.
    pub fn shards(&self) -> BTreeSet<usize> {
        self.0.commands.iter().map(|(shard, _)| shard.number()).collect()
    }

    /// Whether it has steps that write.
    pub fn commits(&self) -> bool {
        self.0.commands.iter().any(|(_, command)| is_commit(command))
    }
}

impl Response {
    pub(super) fn into_values(self) -> Vec<Value> {
        self.0
    }
}

impl Server {
    /// An empty one.
    pub fn new() -> Server {
        Server::default()
    }

    /// Sets its clock (microseconds since 1970 UTC). It stands still in between.
    pub fn set_clock(&mut self, now_us: i64) {
        self.now_us = now_us;
    }

    /// Carries out the commands in order. Those of a failing shard get an error.
    pub fn answer(&mut self, request: &Request, fails: impl Fn(usize) -> bool) -> Response {
        let commands = request.0.commands.iter();
        let answers = commands.map(|(shard, command)| {
            if fails(shard.number()) {
                return data::error("CLUSTERDOWN", "the shard is down");
            }
            let words: Vec<&[u8]> = command
                .args_iter()
                .map(|word| match word {
                    redis::Arg::Simple(bytes) => bytes,
                    _ => b"",
                })
                .collect();
            commands::answer(&mut self.keys, self.now_us, &words)
        });
        Response(answers.collect())
    }

    /// Damages what a hash's field has, as a program of another version or a broken disk would. False: there is none.
    pub fn damage(&mut self, key: &str, field: &str) -> bool {
        self.keys.damage(key.as_bytes(), field.as_bytes())
    }

    /// The keys, in no order that means anything, but always the same.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.names()
    }
}

impl RedisStore {
    /// A store on a modelled server.
    ///
    /// # Errors
    /// As [`RedisStore::open`]'s.
    pub async fn open_model(transport: Arc<dyn Transport>, options: Options) -> Result<RedisStore> {
        use super::link::Link;
        use super::servers::Servers;
        let commits = Arc::new(Link::Model(Arc::clone(&transport)));
        let servers = Servers { link: Arc::clone(&commits), login: None };
        RedisStore::on(Link::Model(transport), commits, &servers, options).await
    }
}
