//! Which addresses and names are anybody's to reach, and which lead into a private network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names that never leave the machine or its network.
pub fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let local = ["localhost", "local", "internal", "localdomain", "home.arpa", "intranet", "lan"];
    !name.contains('.') || local.iter().any(|tail| name.ends_with(&format!(".{tail}")))
}

/// Whether an address is anybody's to reach: in none of the registries of special-purpose addresses (RFC 6890).
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match ip.segments() {
        // Global unicast, but for what stands for IPv4 or for nobody.
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] if (0x2000..0x4000).contains(&first) => true,
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        _ => false,
    }
}
