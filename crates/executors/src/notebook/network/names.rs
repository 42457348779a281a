//! Names in a notebook's namespace: each has an address of its own in 127.64.0.0/10, by which a connection says
//! what name it is meant for. No name is looked up here; that is done once it is connected to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// The first name's; the one before is the namespace's own.
const FIRST: u32 = u32::from_be_bytes([127, 64, 0, 2]);
/// Names that are known at a time: beyond that, the oldest is forgotten.
const NAMES: usize = 16_384;
/// How long an answer may be kept, in seconds: less than it takes to forget a name in use.
const TTL: u32 = 30;
/// The longest query that is read.
const LONGEST: usize = 1_232;
/// How long one on TCP may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The names that a notebook has asked for.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<String, usize>,
    /// By the place of their addresses.
    names: Vec<String>,
    next: usize,
}

impl Names {
    /// The name whose address this is.
    pub(super) fn name(&self, ip: IpAddr) -> Option<String> {
        let IpAddr::V4(ip) = ip.to_canonical() else { return None };
        let place = u32::from(ip).checked_sub(FIRST)?;
        self.table().names.get(place as usize).cloned()
    }

    /// The name's address.
    fn address(&self, name: &str) -> Ipv4Addr {
        let mut table = self.table();
        let place = match table.by_name.get(name) {
            Some(place) => *place,
            None => table.add(name.to_owned()),
        };
        Ipv4Addr::from(FIRST + place as u32)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers queries until the socket fails.
    pub(super) async fn serve(&self, socket: UdpSocket) {
        let mut query = [0; LONGEST];
        loop {
            let Ok((length, peer)) = socket.recv_from(&mut query).await else { return };
            if let Some(answer) = self.answer(&query[..length]) {
                drop(socket.send_to(&answer, peer).await);
            }
        }
    }

    /// Answers the queries of one connection.
    pub(super) async fn serve_connection(&self, mut stream: TcpStream) {
        let mut query = [0; LONGEST];
        loop {
            let exchange = async {
                let length = usize::from(stream.read_u16().await.ok()?);
                let query = query.get_mut(..length)?;
                stream.read_exact(query).await.ok()?;
                let answer = self.answer(query)?;
                stream.write_u16(u16::try_from(answer.len()).ok()?).await.ok()?;
                stream.write_all(&answer).await.ok()
            };
            if !matches!(tokio::time::timeout(PATIENCE, exchange).await, Ok(Some(()))) {
                return;
            }
        }
    }

    /// None: it is no query, or none that can be answered.
    pub(super) fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let query = Packet::parse(query).ok()?;
        if query.has_flags(PacketFlag::RESPONSE) {
            return None;
        }
        let mut answer = Packet::new_reply(query.id());
        answer.set_flags(PacketFlag::RECURSION_AVAILABLE);
        if query.has_flags(PacketFlag::RECURSION_DESIRED) {
            answer.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        let [question] = &query.questions[..] else {
            *answer.rcode_mut() = RCODE::FormatError;
            return answer.build_bytes_vec().ok();
        };
        answer.questions.push(question.clone());
        let name = question.qname.to_string().to_ascii_lowercase();
        if query.opcode() != OPCODE::StandardQuery {
            *answer.rcode_mut() = RCODE::NotImplemented;
        } else if name.is_empty() || name.ends_with(".in-addr.arpa") || name.ends_with(".ip6.arpa") {
            *answer.rcode_mut() = RCODE::NameError;
        } else if matches!(question.qtype, QTYPE::TYPE(TYPE::A) | QTYPE::ANY) {
            let address = match name.as_str() {
                "localhost" => Ipv4Addr::LOCALHOST,
                name => self.address(name),
            };
            let data = RData::A(A { address: address.into() });
            answer.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL, data));
        }
        answer.build_bytes_vec().ok()
    }
}

impl Table {
    fn add(&mut self, name: String) -> usize {
        let place = self.next;
        self.next = (place + 1) % NAMES;
        match self.names.get_mut(place) {
            Some(oldest) => {
                let oldest = std::mem::replace(oldest, name.clone());
                self.by_name.remove(&oldest);
            }
            None => self.names.push(name.clone()),
        }
        self.by_name.insert(name, place);
        place
    }
}

/// Whether an address is in the range that names have theirs in.
pub(super) fn is_of_a_name(address: SocketAddr) -> bool {
    matches!(address.ip().to_canonical(), IpAddr::V4(ip) if ip.octets()[0] == 127 && ip.octets()[1] & 0xc0 == 64)
}

#[cfg(test)]
mod tests {
    use simple_dns::{Name, QCLASS, Question};

    use super::*;

    fn ask(names: &Names, name: &str, kind: TYPE) -> (RCODE, Option<Ipv4Addr>) {
        let mut query = Packet::new_query(7);
        query.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(name).unwrap();
        query.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        let answer = names.answer(&query.build_bytes_vec().unwrap()).unwrap();
        let answer = Packet::parse(&answer).unwrap();
        assert_eq!((answer.id(), answer.questions.len()), (7, 1));
        let address = answer.answers.first().map(|record| match &record.rdata {
            RData::A(a) => Ipv4Addr::from(a.address),
            other => panic!("{other:?}"),
        });
        (answer.rcode(), address)
    }

    #[test]
    fn a_name_has_an_address_of_its_own_and_keeps_it() {
        let names = Names::default();
        let (_, gis) = ask(&names, "gis.example.com", TYPE::A);
        let (_, db) = ask(&names, "db.example.com", TYPE::A);
        assert_eq!(ask(&names, "GIS.example.com", TYPE::A).1, gis);
        assert_ne!(gis, db);
        assert_eq!(names.name(gis.unwrap().into()).as_deref(), Some("gis.example.com"));
        assert_eq!(names.name(Ipv4Addr::new(127, 64, 0, 1).into()), None);
        assert_eq!(names.name(Ipv4Addr::new(127, 64, 9, 9).into()), None);
        assert_eq!(names.name(Ipv4Addr::LOCALHOST.into()), None);
        let mapped: IpAddr = db.unwrap().to_ipv6_mapped().into();
        assert_eq!(names.name(mapped).as_deref(), Some("db.example.com"));
    }

    #[test]
    fn there_are_no_addresses_of_ipv6_and_no_names_of_addresses() {
        let names = Names::default();
        assert_eq!(ask(&names, "gis.example.com", TYPE::AAAA), (RCODE::NoError, None));
        assert_eq!(ask(&names, "2.0.64.127.in-addr.arpa", TYPE::PTR), (RCODE::NameError, None));
    }

    #[test]
    fn the_oldest_name_is_forgotten_and_no_other() {
        let names = Names::default();
        let first = names.address("name-0");
        for number in 1..NAMES {
            names.address(&format!("name-{number}"));
        }
        assert_eq!(names.name(first.into()).as_deref(), Some("name-0"));
        assert_eq!(names.address("new"), first);
        assert_eq!(names.name(first.into()).as_deref(), Some("new"));
        assert_eq!(names.address("name-1"), Ipv4Addr::from(u32::from(first) + 1));
        assert!(is_of_a_name((names.address("name-0"), 1).into()));
    }

    #[test]
    fn what_is_no_query_is_not_answered() {
        let names = Names::default();
        for wrong in [&b""[..], b"x", &[0xff; 40], &[0; 12][..3]] {
            assert_eq!(names.answer(wrong), None);
        }
    }
}
