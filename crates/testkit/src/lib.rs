//! What the tests start: the isochrone binary on free ports, a client for it, kills and what must hold
//! after them.

pub mod kills;
mod ledger;
mod server;
mod wait;

pub use ledger::{Ledger, TaskFires};
pub use server::{Server, ServerOptions};
pub use wait::{eventually, eventually_within};

/// The password of user `admin` on every server that tests start.
pub const ADMIN_PASSWORD: &str = "test-only-password";
