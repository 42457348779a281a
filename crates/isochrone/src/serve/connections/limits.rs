//! How many connections there may be.

/// A connection of the portal may need a second file (an artifact, the real portal behind this one), and everything else
/// needs files, too: probes, the store, the broker, notebooks.
const SHARE_OF_FILES: u64 = 2;

/// More are for several portals behind a load balancer.
const MOST: usize = 8_192;

/// What one client may have at most, unless the operator says otherwise.
const MOST_PER_ADDRESS: usize = 1_024;

/// What is kept free for probes and whoever scrapes.
const ADMIN: usize = 64;

/// The most connections that a set of listeners may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// On all of its listeners.
    pub(crate) total: usize,
    /// On each.
    pub(crate) per_listener: usize,
    /// From one address; trusted proxies are exempt.
    pub(crate) per_address: usize,
}

impl ConnectionLimits {
    /// Those of the portal, by the number of files that the process may open; 0 of what is configured: as many as fit.
    pub(crate) fn portal(open_files: u64, total: usize, per_address: usize) -> ConnectionLimits {
        let fitting = usize::try_from(open_files / SHARE_OF_FILES).unwrap_or(MOST).clamp(16, MOST);
        let total = if total == 0 { fitting } else { total };
        // Neither plain HTTP nor HTTPS can be filled to the last place by the other.
        let per_listener = total - total / 8;
        let per_address = if per_address == 0 { MOST_PER_ADDRESS.min(total / 2) } else { per_address };
        ConnectionLimits { total, per_listener, per_address: per_address.max(1) }
    }

    /// Those of the admin listener.
    pub(crate) fn admin() -> ConnectionLimits {
        ConnectionLimits { total: ADMIN, per_listener: ADMIN, per_address: ADMIN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_depends_on_the_files_that_may_be_open() {
        let limits = |files| ConnectionLimits::portal(files, 0, 0);
        assert_eq!(limits(1_024), ConnectionLimits { total: 512, per_listener: 448, per_address: 256 });
        assert_eq!(
            limits(65_536),
            ConnectionLimits { total: 8_192, per_listener: 7_168, per_address: 1_024 }
        );
        assert_eq!(limits(u64::MAX).total, 8_192);
        let own = ConnectionLimits::portal(1_024, 100, 10);
        assert_eq!(own, ConnectionLimits { total: 100, per_listener: 88, per_address: 10 });
    }
}
