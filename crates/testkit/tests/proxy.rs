//! Each fault of the proxy, on connections to a real Redis.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use isochrone_testkit::{Direction, Proxy, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PONG: &[u8] = b"+PONG\r\n";
/// Long enough for an answer that comes at all.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long an answer that must not come is waited for.
const SILENCE: Duration = Duration::from_millis(300);

async fn start() -> Result<(RedisServer, Proxy)> {
    let redis = RedisServer::start().await?;
    let proxy = Proxy::start(redis.address()).await?;
    Ok((redis, proxy))
}

/// A client on one connection.
struct Client(TcpStream);

impl Client {
    async fn connect(address: SocketAddr) -> Result<Client> {
        let mut client = Client(timeout(DEADLINE, TcpStream::connect(address)).await??);
        ensure!(client.ask("PING").await? == PONG, "no PONG");
        Ok(client)
    }

    async fn send(&mut self, line: &str) -> std::io::Result<()> {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await
    }

    /// What comes next; empty at the end.
    async fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        let read = timeout(DEADLINE, self.0.read(&mut bytes)).await??;
        bytes.truncate(read);
        Ok(bytes)
    }

    async fn ask(&mut self, line: &str) -> std::io::Result<Vec<u8>> {
        self.send(line).await?;
        self.receive().await
    }

    async fn is_silent(&mut self) -> bool {
        timeout(SILENCE, self.0.read(&mut [0; 64])).await.is_err()
    }
}

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_cut_resets_connections_and_refuses_new_ones_until_healed() {
    let (_redis, proxy) = start().await.unwrap();
    let mut client = Client::connect(proxy.address()).await.unwrap();
    proxy.cut();
    assert_eq!(kind(client.receive().await), Some(ErrorKind::ConnectionReset));
    assert_eq!(kind(TcpStream::connect(proxy.address()).await), Some(ErrorKind::ConnectionRefused));
    proxy.heal();
    Client::connect(proxy.address()).await.unwrap();
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn dropped_connections_end_and_new_ones_go_through() {
    let (_redis, proxy) = start().await.unwrap();
    let mut client = Client::connect(proxy.address()).await.unwrap();
    // Connected for the client, and perhaps not yet for the proxy.
    let mut fresh = Client(TcpStream::connect(proxy.address()).await.unwrap());
    proxy.drop_connections();
    assert_eq!(client.receive().await.unwrap(), b"");
    assert_eq!(fresh.receive().await.unwrap(), b"");
    Client::connect(proxy.address()).await.unwrap();
}

#[tokio::test]
async fn a_delay_holds_each_way_and_not_each_piece() {
    let (_redis, proxy) = start().await.unwrap();
    let mut client = Client::connect(proxy.address()).await.unwrap();
    let delay = Duration::from_millis(200);
    proxy.delay(delay);
    let began = Instant::now();
    for _ in 0..10 {
        client.send("PING").await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answers = Vec::new();
    while answers.len() < PONG.len() * 10 {
        answers.extend(client.receive().await.unwrap());
    }
    assert!(began.elapsed() >= delay * 2, "after {:?}", began.elapsed());
    assert!(began.elapsed() < delay * 10, "after {:?}", began.elapsed());
    proxy.heal();
    let began = Instant::now();
    assert_eq!(client.ask("PING").await.unwrap(), PONG);
    assert!(began.elapsed() < delay, "after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_blackhole_swallows_both_ways_and_healing_resets_who_lost_bytes() {
    let (redis, proxy) = start().await.unwrap();
    let mut client = Client::connect(proxy.address()).await.unwrap();
    let mut idle = Client::connect(proxy.address()).await.unwrap();
    proxy.blackhole();
    client.send("SET swallowed 1").await.unwrap();
    assert!(client.is_silent().await);
    assert_eq!(redis.command("EXISTS swallowed").await.unwrap(), "0");
    let mut fresh = Client(TcpStream::connect(proxy.address()).await.unwrap());
    fresh.send("PING").await.unwrap();
    assert!(fresh.is_silent().await);
    proxy.heal();
    assert_eq!(kind(client.receive().await), Some(ErrorKind::ConnectionReset));
    assert_eq!(kind(fresh.receive().await), Some(ErrorKind::ConnectionReset));
    assert_eq!(idle.ask("PING").await.unwrap(), PONG);
}

#[tokio::test]
async fn half_open_requests_arrive_and_answers_do_not() {
    let (redis, proxy) = start().await.unwrap();
    let mut client = Client::connect(proxy.address()).await.unwrap();
    proxy.half_open();
    client.send("SET arrived 1").await.unwrap();
    isochrone_testkit::eventually("the request to arrive", || async {
        Ok((redis.command("EXISTS arrived").await? == "1").then_some(()))
    })
    .await
    .unwrap();
    assert!(client.is_silent().await);
    proxy.heal();
    assert_eq!(kind(client.receive().await), Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_connection_is_closed_after_so_many_bytes_one_way() {
    let (redis, proxy) = start().await.unwrap();
    let mut client = Client::connect(proxy.address()).await.unwrap();
    proxy.close_after(Direction::ToClient, PONG.len() as u64 + 3);
    assert_eq!(client.ask("PING").await.unwrap(), PONG);
    assert_eq!(client.ask("SET done 1").await.unwrap(), b"+OK");
    assert_eq!(client.receive().await.unwrap(), b"");
    assert_eq!(redis.command("GET done").await.unwrap(), "1");

    let mut client = Client::connect(proxy.address()).await.unwrap();
    proxy.close_after(Direction::ToServer, 0);
    assert_eq!(client.ask("SET never 1").await.unwrap(), b"");
    assert_eq!(redis.command("EXISTS never").await.unwrap(), "0");
    Client::connect(proxy.address()).await.unwrap();
}

#[tokio::test]
async fn the_answer_to_one_request_is_lost_with_its_connection() {
    let (redis, proxy) = start().await.unwrap();
    let mut client = Client::connect(proxy.address()).await.unwrap();
    let mut other = Client::connect(proxy.address()).await.unwrap();
    proxy.close_at_answer(b"SET", b"+OK");
    assert_eq!(client.ask("PING").await.unwrap(), PONG);
    assert_eq!(client.ask("SET done 1").await.unwrap(), b"");
    assert_eq!(redis.command("GET done").await.unwrap(), "1");
    assert_eq!(proxy.closed(), 1);
    assert_eq!(other.ask("SET done 2").await.unwrap(), b"+OK\r\n");
}

#[tokio::test]
async fn a_dead_server_is_a_dead_connection() {
    let (mut redis, proxy) = start().await.unwrap();
    let mut client = Client::connect(proxy.address()).await.unwrap();
    redis.kill().unwrap();
    assert_eq!(client.receive().await.unwrap(), b"");
    // The reset may come before connecting is done.
    let answer = async { Client(TcpStream::connect(proxy.address()).await?).receive().await };
    assert_eq!(kind(answer.await), Some(ErrorKind::ConnectionReset));
    redis.restart().await.unwrap();
    Client::connect(proxy.address()).await.unwrap();
}
