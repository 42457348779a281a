//! What a connection waits for, and how long it may.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// From the first byte of a request to the end of its head; on a new connection from its beginning, with the TLS
/// handshake.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two requests. Clients keep connections for a minute; they close them before this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may read nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that reads nothing for this long may have to make room for others.
const STALLED: Duration = Duration::from_secs(5);

/// What a connection does, for those who count and close connections.
#[derive(Debug)]
pub(super) struct Connection {
    /// Whose it is; an IPv6 client has a whole /64.
    pub(super) client: IpAddr,
    /// Which of the listeners it came by.
    pub(super) listener: usize,
    /// A trusted proxy's: others are closed before it.
    pub(super) proxy: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A request was read and its answer was not written to its end.
    responding: bool,
    /// The answer waits for more of the request's body.
    wants_body: bool,
    /// When `responding` or `wants_body` last changed.
    since: Instant,
    /// Bytes that came since then.
    received: u64,
    /// When the first byte of a next request came.
    head_began: Option<Instant>,
    /// No request has been read yet.
    new: bool,
    /// Since when the client has taken nothing of what is to be written.
    stalled_since: Option<Instant>,
    /// Has to make room.
    evicted: bool,
    /// The task that serves it.
    waker: Option<Waker>,
}

/// Which connection is closed first where there are too many: the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It waits for a request, since this moment.
    Idle(Instant),
    /// Its client does not read the answer.
    Stalled(Instant),
    /// Its client sends a body, at so many bytes a second.
    Sending(u64, Instant),
}

impl Connection {
    pub(super) fn new(client: IpAddr, listener: usize, proxy: bool, now: Instant) -> Connection {
        let state = State {
            responding: false,
            wants_body: false,
            since: now,
            received: 0,
            head_began: None,
            new: true,
            stalled_since: None,
            evicted: false,
            waker: None,
        };
        Connection { client, listener, proxy, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's head is there.
    pub(super) fn request_began(&self, now: Instant) {
        let mut state = self.state();
        (state.responding, state.wants_body, state.new, state.head_began) = (true, false, false, None);
        (state.since, state.received) = (now, 0);
    }

    /// Its answer has been handed over to its end, or was given up.
    pub(super) fn response_ended(&self, now: Instant) {
        let mut state = self.state();
        (state.responding, state.head_began) = (false, None);
        (state.since, state.received) = (now, 0);
    }

    /// The handler waits for more of the body, or has it.
    pub(super) fn wants_body(&self, wants: bool, now: Instant) {
        let mut state = self.state();
        // Its rate is counted from its first wait to its end.
        if wants && !state.wants_body {
            (state.since, state.received) = (now, 0);
        }
        state.wants_body = wants;
    }

    /// More bytes came.
    pub(super) fn received(&self, bytes: usize, now: Instant) {
        let mut state = self.state();
        state.received += bytes as u64;
        if !state.responding && !state.wants_body {
            state.head_began.get_or_insert(now);
        }
    }

    /// The client took something of what is written, or (`stalled`) takes nothing now.
    pub(super) fn wrote(&self, stalled: bool, now: Instant) {
        let mut state = self.state();
        if stalled {
            state.stalled_since.get_or_insert(now);
        } else {
            state.stalled_since = None;
        }
    }

    /// Says whether it has to end, and when it has to if nothing happens. `waker` is woken when that changes.
    pub(super) fn watch(&self, waker: &Waker) -> Result<Option<Instant>, Evicted> {
        let mut state = self.state();
        if state.evicted {
            return Err(Evicted);
        }
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        let idle = match (state.responding || state.wants_body, state.head_began) {
            (true, _) => None,
            (false, _) if state.new => Some(state.since + HEAD_TIMEOUT),
            (false, Some(began)) => Some(began + HEAD_TIMEOUT),
            (false, None) => Some(state.since + IDLE_TIMEOUT),
        };
        let stalled = state.stalled_since.map(|since| since + WRITE_TIMEOUT);
        Ok(idle.into_iter().chain(stalled).min())
    }

    /// How readily it is closed for others. None: somebody works on its request.
    pub(super) fn rank(&self, now: Instant) -> Option<Rank> {
        let state = self.state();
        if state.evicted {
            return None;
        }
        if state.wants_body {
            let millis = u64::try_from((now - state.since).as_millis()).unwrap_or(u64::MAX);
            return Some(Rank::Sending(state.received.saturating_mul(1_000) / millis.max(1), state.since));
        }
        if !state.responding {
            return Some(Rank::Idle(state.since));
        }
        state.stalled_since.filter(|since| now - *since >= STALLED).map(Rank::Stalled)
    }

    /// Makes it end.
    pub(super) fn evict(&self) {
        let mut state = self.state();
        state.evicted = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The connection has to make room for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evicted;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn connection(now: Instant) -> Connection {
        Connection::new(IpAddr::from([192, 0, 2, 1]), 0, false, now)
    }

    fn deadline(connection: &Connection) -> Option<Instant> {
        connection.watch(Waker::noop()).expect("not evicted")
    }

    #[test]
    fn a_head_has_ten_seconds_and_an_idle_client_more_than_a_minute() {
        let start = Instant::now();
        let connection = connection(start);
        assert_eq!(deadline(&connection), Some(start + HEAD_TIMEOUT));
        connection.received(1, start + 5 * SECOND);
        assert_eq!(deadline(&connection), Some(start + HEAD_TIMEOUT), "a byte now and then is no head");
        connection.request_began(start + 6 * SECOND);
        assert_eq!(deadline(&connection), None, "however long the answer takes");
        connection.response_ended(start + 7 * SECOND);
        assert_eq!(deadline(&connection), Some(start + 7 * SECOND + IDLE_TIMEOUT));
        connection.received(1, start + 60 * SECOND);
        connection.received(1, start + 65 * SECOND);
        assert_eq!(deadline(&connection), Some(start + 60 * SECOND + HEAD_TIMEOUT));
    }

    #[test]
    fn a_client_that_reads_nothing_is_not_waited_for() {
        let start = Instant::now();
        let connection = connection(start);
        connection.request_began(start);
        connection.wrote(true, start + SECOND);
        connection.wrote(true, start + 9 * SECOND);
        assert_eq!(deadline(&connection), Some(start + SECOND + WRITE_TIMEOUT));
        connection.wrote(false, start + 10 * SECOND);
        assert_eq!(deadline(&connection), None);
    }

    #[test]
    fn idle_connections_make_room_before_slow_ones_and_busy_ones_never() {
        let start = Instant::now();
        let later = start + 10 * SECOND;
        let (idle, slow, fast, stalled, busy) = (
            connection(start + SECOND),
            connection(start),
            connection(start),
            connection(start),
            connection(start),
        );
        for connection in [&slow, &fast, &stalled, &busy] {
            connection.request_began(start);
        }
        slow.wants_body(true, start);
        fast.wants_body(true, start);
        slow.received(10, later);
        fast.received(1 << 20, later);
        stalled.wrote(true, start);
        let mut ranks = [&fast, &slow, &stalled, &idle].map(|connection| connection.rank(later));
        ranks.sort();
        let expected = [&idle, &stalled, &slow, &fast].map(|connection| connection.rank(later));
        assert_eq!(ranks, expected);
        assert_eq!(busy.rank(later), None);
        idle.evict();
        assert_eq!((idle.rank(later), idle.watch(Waker::noop())), (None, Err(Evicted)));
    }
}
