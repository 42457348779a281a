//! What a broker says before anybody has signed in, and what its URL says of the user.

use std::path::Path;
use std::time::Duration;

use lapin::uri::AMQPScheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::QueueError;
use crate::rabbitmq::address::Address;

/// How AMQP 0.9.1 begins.
const HELLO: &[u8] = b"AMQP\0\0\x09\x01";
/// Until the broker has greeted.
const WITHIN: Duration = Duration::from_secs(5);
/// A broker's greeting is shorter.
const LONGEST: u64 = 64 << 10;

/// What is known of a broker without signing in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Whether the URL names the user that every new RabbitMQ has.
    pub as_guest: bool,
    /// The broker's version, as in 3.12.1; none over TLS, or where it does not say.
    pub version: Option<String>,
}

/// Listens to the greeting of the broker at this URL.
pub async fn greeting(url: &str, ca_file: Option<&Path>) -> Result<Greeting, QueueError> {
    let address = Address::parse(url, ca_file)?;
    let authority = &address.uri.authority;
    let as_guest = authority.userinfo.username == "guest" && authority.userinfo.password == "guest";
    if address.uri.scheme != AMQPScheme::AMQP {
        return Ok(Greeting { as_guest, version: None });
    }
    let heard = timeout(WITHIN, version(&authority.host, authority.port)).await;
    Ok(Greeting { as_guest, version: heard.ok().and_then(Result::ok).flatten() })
}

async fn version(host: &str, port: u16) -> std::io::Result<Option<String>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(HELLO).await?;
    // A frame: its type, its channel, its length, and so much more.
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let length = u64::from(u32::from_be_bytes([head[3], head[4], head[5], head[6]])).min(LONGEST);
    let mut properties = Vec::new();
    stream.take(length).read_to_end(&mut properties).await?;
    Ok(named(&properties, b"\x07versionS"))
}

/// The text that follows this name in a table of AMQP.
fn named(table: &[u8], name: &[u8]) -> Option<String> {
    let at = table.windows(name.len()).position(|part| part == name)? + name.len();
    let length = u32::from_be_bytes(table.get(at..at + 4)?.try_into().ok()?) as usize;
    let text = table.get(at + 4..(at + 4).checked_add(length)?)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_table() {
        let table = b"\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8\x05other";
        assert_eq!(named(table, b"\x07versionS"), Some("3.10.8".to_owned()));
        assert_eq!(named(&table[..30], b"\x07versionS"), None);
        assert_eq!(named(b"\x07versionS\xff\xff\xff\xff", b"\x07versionS"), None);
    }
}
