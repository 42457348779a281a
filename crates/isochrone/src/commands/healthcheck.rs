//! `isochrone healthcheck`: does the process here live, or is it ready? For containers without a shell or curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::config::Config;

/// Longer than the process itself waits for its store.
const PATIENCE: Duration = Duration::from_secs(4);
/// More than any answer of the admin listener to a probe.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Succeeds if the admin listener of the process on this machine answers 200; else tells what it answered.
pub(crate) fn run(config: &Config, ready: bool) -> Result<ExitCode> {
    let address = on_loopback(config.admin.listen);
    let path = if ready { "/readyz" } else { "/livez" };
    let answer = get(address, path).with_context(|| format!("http://{address}{path} (admin.listen)"))?;
    let (status, body) = read(&answer).with_context(|| format!("http://{address}{path} is no HTTP"))?;
    if status != 200 {
        bail!("http://{address}{path} answered {status}: {}", body.trim_end().replace('\n', "; "));
    }
    print!("{body}");
    Ok(ExitCode::SUCCESS)
}

/// What listens on every address is asked on loopback.
fn on_loopback(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// HTTP/1.0: the answer ends with the connection.
fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

fn read(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some((status.parse().ok()?, body))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A process whose admin listener answers one probe so.
    fn answering(answer: &'static str) -> Config {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a probe");
            // To its end: what is left unread would reset the connection, and the answer with it.
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                asked.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
        });
        let mut config = Config::default();
        config.admin.listen = SocketAddr::from(([0, 0, 0, 0], port));
        config
    }

    #[test]
    fn what_is_not_ready_is_an_error_that_says_why() {
        let ready = answering("HTTP/1.0 200 OK\r\nserver: x\r\n\r\nstore: ok\n");
        assert!(run(&ready, true).is_ok());
        let troubled = answering("HTTP/1.1 503 Service Unavailable\r\n\r\nstore: ok\nqueue: away\n");
        let error = run(&troubled, true).expect_err("503").to_string();
        assert!(error.contains("/readyz answered 503: store: ok; queue: away"), "{error}");
        let other = answering("SSH-2.0-OpenSSH\r\n\r\n");
        assert!(format!("{:#}", run(&other, false).expect_err("no HTTP")).contains("is no HTTP"));
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let mut config = Config::default();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        config.admin.listen = free.expect("a free port");
        assert!(run(&config, false).is_err());
    }
}
