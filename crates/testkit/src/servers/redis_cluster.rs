//! A Redis Cluster of three masters.

use anyhow::{Context, Result};

use super::{RedisServer, free_port};
use crate::eventually;

/// The 16384 slots, a third each.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// A Redis Cluster of three masters without replicas, on the settings of [`RedisServer::start`]. Dropped, it
/// is gone.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and waits until each knows that the cluster is whole.
    pub async fn start() -> Result<RedisCluster> {
        let mut nodes = Vec::new();
        let mut meetings = Vec::new();
        for (slots, epoch) in SLOTS.iter().zip(1..) {
            let bus = free_port()?.to_string();
            // A node that is gone is noticed after two seconds, not fifteen.
            let settings =
                [("cluster-enabled", "yes"), ("cluster-port", &bus), ("cluster-node-timeout", "2000")];
            let node = RedisServer::start_with(&settings).await?;
            node.command(&format!("CLUSTER ADDSLOTSRANGE {} {}", slots.0, slots.1)).await?;
            node.command(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}")).await?;
            meetings.push(format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.address().port()));
            nodes.push(node);
        }
        let first = nodes.first().context("a node")?;
        for meeting in &meetings[1..] {
            first.command(meeting).await?;
        }
        let cluster = RedisCluster { nodes };
        cluster.until_whole().await?;
        Ok(cluster)
    }

    /// Waits until each node finds that all slots are served.
    pub async fn until_whole(&self) -> Result<()> {
        eventually("the Redis cluster to be whole", || async {
            for node in &self.nodes {
                // A node that just came back may not answer yet.
                let info = node.command("CLUSTER INFO").await.unwrap_or_default();
                if !info.contains("cluster_state:ok") || !info.contains("cluster_known_nodes:3") {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
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
