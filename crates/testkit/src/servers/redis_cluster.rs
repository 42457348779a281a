//! A Redis Cluster of three masters.

use anyhow::{Context, Result};

use super::{RedisServer, free_port};
use crate::eventually;

/// The 16384 slots, a third each.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// A Redis Cluster of three masters, without replicas at first, on the settings of [`RedisServer::start`]. Dropped, it
/// is gone.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    /// Of the first master.
    replicas: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and waits until each knows that the cluster is whole.
    pub async fn start() -> Result<RedisCluster> {
        let mut nodes = Vec::new();
        let mut meetings = Vec::new();
        for (slots, epoch) in SLOTS.iter().zip(1..) {
            let (node, bus) = start_node(&[]).await?;
            node.command(&format!("CLUSTER ADDSLOTSRANGE {} {}", slots.0, slots.1)).await?;
            node.command(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}")).await?;
            meetings.push(format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.address().port()));
            nodes.push(node);
        }
        let first = nodes.first().context("a node")?;
        for meeting in &meetings[1..] {
            first.command(meeting).await?;
        }
        let cluster = RedisCluster { nodes, replicas: Vec::new() };
        cluster.until_whole().await?;
        Ok(cluster)
    }

    /// Waits until each node finds that all slots are served.
    pub async fn until_whole(&self) -> Result<()> {
        eventually("the Redis cluster to be whole", || async {
            let known = format!("cluster_known_nodes:{}\r", self.nodes.len() + self.replicas.len());
            for node in self.nodes.iter().chain(&self.replicas) {
                // A node that just came back may not answer yet.
                let info = node.command("CLUSTER INFO").await.unwrap_or_default();
                if !info.contains("cluster_state:ok") || !info.contains(&known) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Gives the first master two replicas, one of which at least must have a write, and waits until they follow.
    pub async fn replicate_first(&mut self) -> Result<()> {
        let id = self.nodes[0].command("CLUSTER MYID").await?;
        for _ in 0..2 {
            let (replica, bus) = start_node(&[("min-replicas-to-write", "1")]).await?;
            let meeting = format!("CLUSTER MEET 127.0.0.1 {} {bus}", replica.address().port());
            self.nodes[0].command(&meeting).await?;
            self.replicas.push(replica);
        }
        self.until_whole().await?;
        for replica in &self.replicas {
            eventually("a node to follow the master", || async {
                Ok(replica.command(&format!("CLUSTER REPLICATE {id}")).await.ok())
            })
            .await?;
        }
        self.nodes[0].command("CONFIG SET min-replicas-to-write 1").await?;
        eventually("two good replicas", || async {
            let info = self.nodes[0].command("INFO replication").await?;
            Ok(info.contains("min_slaves_good_slaves:2").then_some(()))
        })
        .await
    }

    /// The first master's replicas.
    pub fn replicas(&self) -> &[RedisServer] {
        &self.replicas
    }

    /// The nodes' URLs; any of them leads a cluster's client to the others.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// One of the three nodes, counted from 0: to kill, to restart.
    pub fn node(&mut self, index: usize) -> &mut RedisServer {
        &mut self.nodes[index]
    }
}

/// A node, and the port at which others meet it.
async fn start_node(settings: &[(&str, &str)]) -> Result<(RedisServer, String)> {
    let bus = free_port()?.to_string();
    // A node that is gone is noticed after two seconds, not fifteen.
    let mut all = vec![("cluster-enabled", "yes"), ("cluster-port", &bus), ("cluster-node-timeout", "2000")];
    all.extend(settings);
    let node = RedisServer::start_with(&all).await?;
    Ok((node, bus))
}
