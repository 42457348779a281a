//! A Redis master with a replica, watched by three sentinels.

use anyhow::Result;

use super::RedisServer;
use super::redis::Mode;
use crate::eventually;

/// A master, a replica, and three sentinels that agree by two. Dropped, they are gone.
pub struct RedisSentinel {
    /// The master at first.
    pub master: RedisServer,
    /// Its replica at first.
    pub replica: RedisServer,
    sentinels: Vec<RedisServer>,
}

impl RedisSentinel {
    /// The name by which the sentinels know the master.
    pub const SERVICE: &str = "isochrone";

    /// Starts them all and waits until each sentinel knows the others and the replica.
    pub async fn start() -> Result<RedisSentinel> {
        let master = RedisServer::start().await?;
        let port = master.address().port();
        let replica = RedisServer::start_with(&[("replicaof", &format!("127.0.0.1 {port}"))]).await?;
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
        let all = RedisSentinel { master, replica, sentinels };
        all.until_agreed().await?;
        Ok(all)
    }

    /// Waits until each sentinel knows the others, a master that answers, and a replica of it.
    pub async fn until_agreed(&self) -> Result<()> {
        eventually("the sentinels to agree", || async {
            for sentinel in &self.sentinels {
                let info = sentinel.command("INFO sentinel").await?;
                let whole = ["name=isochrone", "status=ok", "slaves=1", "sentinels=3"];
                if !whole.iter().all(|fact| info.contains(fact)) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// The sentinels' URLs.
    pub fn sentinel_urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// The port of the master, as the first sentinel has it.
    pub async fn master_port(&self) -> Result<u16> {
        let info = self.sentinels[0].command("INFO sentinel").await?;
        let address = info.split("address=127.0.0.1:").nth(1).unwrap_or_default();
        Ok(address.split(',').next().unwrap_or_default().parse()?)
    }
}
