//! Ports that nobody else takes between two starts of a server.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};

/// Below Linux's ports for outgoing connections, as far as it is told to keep to its defaults.
const LOWEST: u16 = 10_000;
const HIGHEST: u16 = 32_000;

static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A loopback port that is free, was never given before, and is none that the system hands out by itself:
/// while a server is down, an outgoing connection (even a client's to this very port) must not take it.
pub(crate) fn free_port() -> Result<u16> {
    let outgoing = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let highest = outgoing.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(HIGHEST);
    let range = LOWEST..highest.clamp(LOWEST + 1, HIGHEST);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1_000 {
        let port = range.start + random_u16() % (range.end - range.start);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", range.start, range.end)
}

fn random_u16() -> u16 {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u16::from_le_bytes(bytes)
}
