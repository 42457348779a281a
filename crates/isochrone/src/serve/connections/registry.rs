//! Which connections are open, and which of them makes room for a new one.
//!
//! Where there are too many, the new one is let in and one that does nothing is closed: whoever opens connections and
//! leaves them closes his own, and a server that is full of them still answers. Only where all are at work is the new one
//! refused.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use isochrone_portal::client_address::TrustedProxies;
use isochrone_telemetry::{ConnectionLimit, Metrics};

use super::connection::Connection;
use super::limits::ConnectionLimits;

/// The open connections of some listeners.
#[derive(Debug)]
pub(crate) struct Registry {
    limits: ConnectionLimits,
    proxies: TrustedProxies,
    pub(super) metrics: Metrics,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Arc<Connection>>,
    of_client: HashMap<IpAddr, usize>,
    of_listener: HashMap<usize, usize>,
    listeners: usize,
}

/// A connection that is counted as long as this is there.
#[derive(Debug)]
pub(super) struct Admitted {
    registry: Arc<Registry>,
    number: u64,
    pub(super) connection: Arc<Connection>,
}

impl Registry {
    pub(crate) fn new(limits: ConnectionLimits, proxies: TrustedProxies, metrics: Metrics) -> Arc<Registry> {
        Arc::new(Registry { limits, proxies, metrics, open: Mutex::default() })
    }

    /// The number of one more listener.
    pub(super) fn listener(&self) -> usize {
        let mut open = self.open();
        open.listeners += 1;
        open.listeners
    }

    /// Lets a connection in, in place of another one if need be. None: there is no place.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, listener: usize, now: Instant) -> Option<Admitted> {
        let (client, proxy) = (client(peer), self.proxies.contains(peer));
        let mut open = self.open();
        let of_client = open.of_client.get(&client).copied().unwrap_or(0);
        let of_listener = open.of_listener.get(&listener).copied().unwrap_or(0);
        let full = if !proxy && of_client >= self.limits.per_address {
            Some(ConnectionLimit::Address)
        } else if of_listener >= self.limits.per_listener {
            Some(ConnectionLimit::Listener)
        } else if open.connections.len() >= self.limits.total {
            Some(ConnectionLimit::Total)
        } else {
            None
        };
        if let Some(full) = full {
            let mut others = open.connections.iter().filter(|(_, other)| match full {
                ConnectionLimit::Address => other.client == client,
                ConnectionLimit::Listener => other.listener == listener,
                ConnectionLimit::Total | ConnectionLimit::System => true,
            });
            let ranked =
                others.by_ref().filter_map(|(number, other)| Some((other.proxy, other.rank(now)?, *number)));
            let Some((.., number)) = ranked.min() else {
                self.metrics.connection_refused(full);
                return None;
            };
            if let Some(evicted) = open.remove(number) {
                evicted.evict();
                self.metrics.connection_evicted(full);
            }
        }
        let connection = Arc::new(Connection::new(client, listener, proxy, now));
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, Arc::clone(&connection));
        *open.of_client.entry(client).or_default() += 1;
        *open.of_listener.entry(listener).or_default() += 1;
        drop(open);
        Some(Admitted { registry: Arc::clone(self), number, connection })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.open().connections.len()
    }
}

impl Open {
    fn remove(&mut self, number: u64) -> Option<Arc<Connection>> {
        let connection = self.connections.remove(&number)?;
        decrease(&mut self.of_client, connection.client);
        decrease(&mut self.of_listener, connection.listener);
        Some(connection)
    }
}

fn decrease<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let std::collections::hash_map::Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.registry.open().remove(self.number);
    }
}

/// Whose an address is: whoever has an IPv6 address has the /64 around it.
fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use isochrone_portal::client_address::ForwardedHeader;

    use super::*;

    fn registry(per_address: usize, proxies: &[&str]) -> Arc<Registry> {
        let limits = ConnectionLimits { total: 6, per_listener: 5, per_address };
        let networks = proxies.iter().map(|text| text.parse().expect("a network")).collect();
        Registry::new(limits, TrustedProxies::new(networks, ForwardedHeader::Auto), Metrics::new())
    }

    fn admit(registry: &Arc<Registry>, peer: &str, listener: usize) -> Option<Admitted> {
        registry.admit(peer.parse().expect("an address"), listener, Instant::now())
    }

    fn evicted(admitted: &Admitted) -> bool {
        admitted.connection.watch(Waker::noop()).is_err()
    }

    #[test]
    fn a_client_s_own_oldest_idle_connection_makes_room() {
        let registry = registry(2, &[]);
        let other = admit(&registry, "192.0.2.2", 0).expect("room");
        let first = admit(&registry, "192.0.2.1", 0).expect("room");
        let second = admit(&registry, "::ffff:192.0.2.1", 0).expect("room");
        let third = admit(&registry, "192.0.2.1", 0).expect("in place of the first");
        let all = [&other, &first, &second, &third].map(evicted);
        assert_eq!(all, [false, true, false, false]);
        assert_eq!(registry.count(), 3);
        drop(first);
        assert_eq!(registry.count(), 3, "it was counted out before");
        drop((other, second, third));
        assert_eq!(registry.count(), 0);
        assert!(registry.open().of_client.is_empty() && registry.open().of_listener.is_empty());
    }

    #[test]
    fn where_all_are_at_work_the_new_one_is_refused() {
        let registry = registry(2, &[]);
        let busy: Vec<_> = (0..2).map(|_| admit(&registry, "192.0.2.1", 0).expect("room")).collect();
        for admitted in &busy {
            admitted.connection.request_began(Instant::now());
        }
        assert!(admit(&registry, "192.0.2.1", 0).is_none());
        let counted = registry.metrics.render();
        let refused = "isochrone_connections_refused_total{reason=\"address\",result=\"refused\"} 1";
        assert!(counted.contains(refused), "{counted}");
        assert!(admit(&registry, "192.0.2.2", 0).is_some(), "others are not");
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let registry = registry(1, &[]);
        let first = admit(&registry, "2001:db8::1", 0).expect("room");
        let second = admit(&registry, "2001:db8::2", 0).expect("room");
        let elsewhere = admit(&registry, "2001:db8:0:1::1", 0).expect("room");
        assert_eq!([&first, &second, &elsewhere].map(evicted), [true, false, false]);
    }

    #[test]
    fn no_listener_takes_all_places_and_proxies_have_as_many_as_there_are() {
        let registry = registry(2, &["192.0.2.1"]);
        let proxied: Vec<_> = (0..5).map(|_| admit(&registry, "192.0.2.1", 0).expect("room")).collect();
        assert!(!proxied.iter().any(evicted));
        let secure = admit(&registry, "192.0.2.9", 1).expect("the place that is kept for it");
        let newest = admit(&registry, "192.0.2.8", 1).expect("in place of a stranger's idle one");
        assert!(evicted(&secure) && !evicted(&newest) && !proxied.iter().any(evicted));
    }
}
