//! What a run's log says of connections that were not made.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::destination::Destination;
use super::names::Names;
use super::rules::{PORT, Refused, Rules};

/// Lines of one run.
const LINES: usize = 50;

/// Tells a run's log, each thing once and not too many.
pub(super) struct Refusals {
    lines: mpsc::Sender<String>,
    said: Mutex<HashSet<String>>,
}

impl Refusals {
    pub(super) fn new() -> (Refusals, mpsc::Receiver<String>) {
        let (lines, received) = mpsc::channel(LINES + 1);
        (Refusals { lines, said: Mutex::default() }, received)
    }

    pub(super) fn log(&self, line: impl Into<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.into();
        if said.len() > LINES || said.contains(&line) {
            return;
        }
        let line = if said.len() == LINES { "network: more is not told".to_owned() } else { line };
        drop(self.lines.try_send(format!("network: {line}")));
        said.insert(line);
    }

    /// Tells of connections that found nobody listening in the notebook's namespace, from the packets that say so.
    pub(super) async fn watch(&self, packets: UdpSocket, names: &Names, rules: &Rules) {
        let mut packet = [0; 64];
        loop {
            let Ok(length) = packets.recv(&mut packet).await else { return };
            let Some((ip, port)) = refused_by(&packet[..length]) else { continue };
            let to = match names.name(ip) {
                Some(name) => Destination::new(&name, port),
                None => Some(Destination::of_address(ip, port)),
            };
            let Some(to) = to else { continue };
            let refused = rules.judge(&to).err().unwrap_or(Refused::NotListed(to, PORT));
            self.log(refused.to_string());
        }
    }
}

/// The source of a packet of IPv4's TCP.
fn refused_by(packet: &[u8]) -> Option<(IpAddr, u16)> {
    let source = packet.get(12..16)?;
    let ip = Ipv4Addr::from(<[u8; 4]>::try_from(source).ok()?);
    let header = usize::from(packet.first()? & 0xf) * 4;
    let port = packet.get(header..header + 2)?;
    Some((ip.into(), u16::from_be_bytes(port.try_into().ok()?)))
}
