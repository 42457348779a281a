//! Why there is no isolation.

use super::super::config::Network;
use super::Tier;

/// Why notebooks can't be isolated as the configuration wants, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsolationError {
    /// The one tier that may be used does not hold.
    #[error(
        "[notebook] isolation = \"{tier}\" does not hold on this machine: {why}; {}",
        advice(*tier)
    )]
    NotReal {
        /// The tier.
        tier: Tier,
        /// What the probe met.
        why: String,
    },
    /// None of the tiers holds.
    #[error(
        "[notebook] isolation = \"auto\" finds no isolation on this machine (bwrap: {bwrap}; landlock: {landlock}); {}",
        advice(Tier::Bwrap)
    )]
    NoneReal {
        /// What the probe met in bwrap.
        bwrap: String,
        /// What it met under Landlock.
        landlock: String,
    },
    /// The network that notebooks are to have can't be made.
    #[error(
        "[notebook] network = \"{network}\" does not hold on this machine: {why}; it needs bubblewrap, which may \
         make network namespaces; or set [notebook] network to \"auto\" or \"open\""
    )]
    NoNetwork {
        /// As it is configured.
        network: Network,
        /// What the probe met.
        why: String,
    },
    /// A limit does not hold, and all are required.
    #[error(
        "[notebook] require_limits = true, and these limits do not hold on this machine: {0}; \
         docs/notebook-limits.md says what holds them"
    )]
    NotLimited(String),
}

fn advice(tier: Tier) -> &'static str {
    match tier {
        Tier::Landlock => {
            "it needs Linux 6.2 or later with Landlock switched on; or set [notebook] isolation to \"bwrap\""
        }
        Tier::Bwrap | Tier::None => {
            "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap) and let it make namespaces, or set \
             [notebook] isolation to \"none\" to run notebooks with all that this account may do"
        }
    }
}
