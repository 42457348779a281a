//! What is done to the audit log, and to the keys that seal secrets.

use clap::Subcommand;
use isochrone_store::chain::Head;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List who did what, the oldest first.
    List {
        /// From this moment on (epoch ms).
        #[arg(long, value_name = "MS")]
        from: Option<i64>,
        /// Before this moment (epoch ms).
        #[arg(long, value_name = "MS")]
        to: Option<i64>,
    },
    /// Check that no entry was changed, removed, moved or added; the exit code tells.
    Verify {
        /// Check, too, that the log goes on from this head, as it was told in the process's log.
        #[arg(long)]
        head: Option<Head>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Print a new key, for the file that `secrets.key_file` names.
    Generate,
    /// Tell which keys are in use, and how much is sealed with each of them.
    Status,
    /// Seal everything with the first key. It may be cut short and begun again, and the fleet may work meanwhile.
    Rotate,
}
