//! A RabbitMQ cluster: several nodes on one machine.

use std::sync::Arc;

use anyhow::Result;

use super::RabbitServer;
use super::rabbit::{ADVANCED, Home};
use crate::eventually;

/// Nodes of one cluster. Dropped, they are gone.
pub struct RabbitCluster {
    nodes: Vec<RabbitServer>,
}

impl RabbitCluster {
    /// Starts a node, then the others, which join it, one after the other.
    pub async fn start(nodes: usize) -> Result<RabbitCluster> {
        let home = Home::open().await?;
        let mut cluster = RabbitCluster { nodes: Vec::new() };
        for n in 0..nodes {
            let conf = [
                ("cluster_formation.peer_discovery_backend", "classic_config"),
                ("cluster_formation.classic_config.nodes.1", "rabbit0@localhost"),
                // By default both sides of a split go on, and one side's messages are lost when it heals.
                ("cluster_partition_handling", "pause_minority"),
            ];
            let node =
                RabbitServer::start_in(Arc::clone(&home), &format!("rabbit{n}"), &conf, ADVANCED).await?;
            cluster.nodes.push(node);
        }
        cluster.until_whole().await?;
        Ok(cluster)
    }

    /// Waits until the first node sees all nodes running.
    pub async fn until_whole(&self) -> Result<()> {
        eventually("the RabbitMQ cluster to be whole", || async {
            let running = self.nodes[0].ctl(&["eval", "length(rabbit_nodes:all_running())."]).await?;
            Ok((running.trim() == self.nodes.len().to_string()).then_some(()))
        })
        .await
    }

    /// One of the nodes, counted from 0: to kill, to restart, to ask.
    pub fn node(&mut self, index: usize) -> &mut RabbitServer {
        &mut self.nodes[index]
    }

    /// The nodes' URLs.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RabbitServer::url).collect()
    }
}
