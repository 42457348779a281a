//! What the tests start: the isochrone binary on free ports, a client for it, kills and what must hold
//! after them; real brokers and stores, and a proxy that spoils their connections.

pub mod chaos;
pub mod fleet;
mod foreign;
pub mod kills;
mod ledger;
mod memory;
mod other_user;
mod proxy;
mod server;
pub mod servers;
mod wait;

pub use foreign::{NodeClient, PythonClient};
pub use ledger::{Ledger, TaskFires};
pub use memory::{peak_memory, resident_memory};
pub use other_user::{OtherUser, base_of_python};
pub use proxy::{Direction, Proxy};
pub use server::{Server, ServerOptions, shared_python};
pub use servers::{RabbitCluster, RabbitServer, RedisCluster, RedisSentinel, RedisServer};
pub use wait::{eventually, eventually_within};

/// Where tests keep what they install, over their ends.
fn cache_dir() -> std::path::PathBuf {
    let told = std::env::var_os("ISOCHRONE_TEST_CACHE");
    told.map_or_else(|| std::env::temp_dir().join("isochrone-test"), Into::into)
}

/// The password of user `admin` on every server that tests start.
pub const ADMIN_PASSWORD: &str = "test-only-password";
