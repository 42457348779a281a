//! What a notebook asks of its network, for the fuzz targets.

use hyper::Uri;
use isochrone_arcgis::addresses::is_public;
use simple_dns::{Packet, PacketFlag};

use super::destination::Destination;
use super::names::Names;
use super::proxy::{connect_target, forward_target};
use super::rules::{Grounds, Rules};

/// A query for a name: each answer can be read, belongs to its query and is none to an answer.
pub fn name_query(bytes: &[u8]) {
    let names = Names::default();
    let Some(answer) = names.answer(bytes) else { return };
    assert_eq!(answer[..2], bytes[..2], "the query's id");
    let answer = Packet::parse(&answer).expect("what was built can be read");
    assert!(answer.has_flags(PacketFlag::RESPONSE));
    assert!(answer.answers.len() <= 1 && answer.questions.len() <= 1);
}

/// The target of a request to the proxy, with `CONNECT` and without: it is judged as what is connected to.
pub fn proxy_target(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else { return };
    let own = ["127.0.0.1", "10.1.2.3"].map(|host| Destination::new(host, 6379).expect("a host"));
    let rules = Rules::default().with_servers(["https://gis.intranet:7443/portal"]).without(own);
    for (host, port) in connect_target(&uri).into_iter().chain(forward_target(&uri)) {
        let Some(to) = Destination::new(host, port) else { continue };
        assert_eq!(
            Destination::new(&to.host.to_string(), to.port).as_ref(),
            Some(&to),
            "read again, it is the same"
        );
        let judged = rules.judge(&to);
        if let Some(ip) = to.address() {
            assert!(judged.is_err() || is_public(ip), "{to} leads inward");
        }
        if judged == Ok(Grounds::Server) {
            assert_eq!(to.to_string(), "gis.intranet:7443");
        }
    }
}
