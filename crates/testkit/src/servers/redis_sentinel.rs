//! A Redis master with two replicas, watched by three sentinels.

use anyhow::Result;

use super::RedisServer;
use super::redis::Mode;
use crate::eventually;

/// A master, two replicas, and three sentinels that agree by two. Dropped, they are gone.
pub struct RedisSentinel {
    /// The master at first.
    pub master: RedisServer,
    /// Its replicas at first.
    pub replicas: [RedisServer; 2],
    sentinels: Vec<RedisServer>,
}

impl RedisSentinel {
    /// The name by which the sentinels know the master.
    pub const SERVICE: &str = "isochrone";

    /// Starts them all and waits until each sentinel knows the others and the replica.
    pub async fn start() -> Result<RedisSentinel> {
        // Each may be the master one day.
        let demands = ("min-replicas-to-write", "1");
        let master = RedisServer::start_with(&[demands]).await?;
        let port = master.address().port();
        let master_at = format!("127.0.0.1 {port}");
        let settings = [demands, ("replicaof", master_at.as_str())];
        let replicas = [RedisServer::start_with(&settings).await?, RedisServer::start_with(&settings).await?];
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let settings = [
                ("sentinel monitor isochrone", format!("127.0.0.1 {port} 2")),
                ("sentinel down-after-milliseconds isochrone", "1000".to_owned()),
                ("sentinel failover-timeout isochrone", "5000".to_owned()),
            ];
            let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            sentinels.push(RedisServer::start_as(Mode::Sentinel, &settings).await?);
        }
        let all = RedisSentinel { master, replicas, sentinels };
        all.until_agreed().await?;
        Ok(all)
    }

    /// Waits until each sentinel knows the others, a master that answers with two good replicas, and these replicas.
    pub async fn until_agreed(&self) -> Result<()> {
        eventually("the sentinels to agree", || async {
            for sentinel in &self.sentinels {
                let info = sentinel.command("INFO sentinel").await?;
                let whole = ["name=isochrone", "status=ok", "slaves=2", "sentinels=3"];
                if !whole.iter().all(|fact| info.contains(fact)) {
                    return Ok(None);
                }
            }
            let info = self.master.command("INFO replication").await?;
            Ok(info.contains("min_slaves_good_slaves:2").then_some(()))
        })
        .await
    }

    /// The sentinels' URLs.
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// The replica that has become the master.
    pub async fn promoted(&self) -> Result<&RedisServer> {
        eventually("a replica to be the master", || async {
            let port = self.master_port().await?;
            Ok(self.replicas.iter().find(|replica| replica.address().port() == port))
        })
        .await
    }

    /// The port of the master, as the first sentinel has it.
    pub async fn master_port(&self) -> Result<u16> {
        let info = self.sentinels[0].command("INFO sentinel").await?;
        let address = info.split("address=127.0.0.1:").nth(1).unwrap_or_default();
        Ok(address.split(',').next().unwrap_or_default().parse()?)
    }
}
