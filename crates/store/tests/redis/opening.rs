//! What is refused at start, and how that is said.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{Clock, SecretStore, StoreError, TaskStore};
use isochrone_testkit::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::conformance::world::World;
use super::{open, own_keys, refusal, shared_url};

#[tokio::test]
async fn refuses_settings_that_lose_what_was_acknowledged() {
    for (setting, value) in
        [("appendonly", "no"), ("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru")]
    {
        let server = RedisServer::start_with(&[(setting, value)]).await.unwrap();
        let StoreError::Config(problem) = refusal(&server.url(), Options::default()).await else {
            panic!("it is the configuration")
        };
        assert!(problem.contains(&format!("`{setting}` is `{value}`")), "{problem}");
        assert!(problem.contains("CONFIG SET"), "it says how to change it: {problem}");
        let weak = Options { allow_weak_durability: true, ..Options::default() };
        World(Arc::new(RedisStore::open(&server.url(), weak).await.unwrap())).some_run().await;
    }
}

#[tokio::test]
async fn says_what_is_wrong_and_no_password() {
    let server = RedisServer::start().await.unwrap();
    assert_eq!(server.command("CONFIG SET requirepass right-secret").await.unwrap(), "OK");
    let address = server.address();
    let right = format!("redis://:right-secret@{address}/");
    World(Arc::new(RedisStore::open(&right, own_keys()).await.unwrap())).some_run().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let web = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let old = answering_as_redis("5.0.7").await;
    for (url, expected) in [
        (format!("redis://:wrong-secret@{address}/"), "refused the user name or the password"),
        (format!("redis://ann:wrong-secret@{address}/"), "refused the user name or the password"),
        (format!("redis://{address}/"), "asks for a password"),
        (format!("redis://:wrong-secret@{nobody}/"), "connection refused"),
        (format!("redis://:wrong-secret@{web}/"), "not a Redis server"),
        (format!("redis+cluster://:right-secret@{address}"), "no cluster"),
        (format!("redis+cluster://:wrong-secret@{address}"), "refused the user name or the password"),
        (format!("redis://{old}/"), "5.0.7 is too old: 6.2"),
        (format!("redis://:wrong-secret@{address}/x"), "can't be read"),
    ] {
        let error = refusal(&url, own_keys()).await.to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("secret") && !error.contains('\n'), "{url}: {error}");
    }
    let braces = Options { prefix: "a{b}".to_owned(), ..Options::default() };
    assert!(refusal(&right, braces).await.to_string().contains("prefix"));
}

/// The certificates in `tests/tls` are for these tests only, and valid for a hundred years.
#[tokio::test]
async fn speaks_tls() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let file = |name: &str| folder.join(name).to_str().expect("a path in UTF-8").to_owned();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let server = RedisServer::start_with(&[
        ("tls-port", &port.to_string()),
        ("tls-cert-file", &file("server.pem")),
        ("tls-key-file", &file("server.key")),
        ("tls-ca-cert-file", &file("ca.pem")),
        ("tls-auth-clients", "no"),
    ])
    .await
    .unwrap();
    let url = format!("rediss://127.0.0.1:{port}/");
    let trusting = Options { ca_file: Some(folder.join("ca.pem")), ..Options::default() };
    let world = World(Arc::new(RedisStore::open(&url, trusting.clone()).await.unwrap()));
    world.some_run().await;
    // An authority that nobody trusts, a server without TLS, and a client without it.
    let plain = server.address();
    for (url, options, expected) in [
        (url.clone(), Options::default(), "certificate"),
        (format!("rediss://{plain}/"), trusting, "TLS"),
        (format!("redis://127.0.0.1:{port}/"), Options::default(), "TLS"),
    ] {
        let error = refusal(&url, options).await.to_string();
        assert!(error.contains(expected), "{url}: {error}");
    }
    let missing = Options { ca_file: Some(folder.join("none.pem")), ..Options::default() };
    assert!(refusal(&url, missing).await.to_string().contains("none.pem"));
}

/// What a newer program wrote is left alone.
#[tokio::test]
async fn refuses_a_newer_layout() {
    let server = RedisServer::start().await.unwrap();
    drop(open(&server).await);
    drop(open(&server).await);
    server.command("SET isochrone:{iso:g}:layout 4711").await.unwrap();
    let error = refusal(&server.url(), Options::default()).await;
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("layout is 4711") && error.to_string().contains("newer"), "{error}");
}

/// From the first sealed value on, programs that know nothing of them (layout 1) don't start; this one does.
#[tokio::test]
async fn the_layout_tells_of_sealed_values() {
    let server = RedisServer::start().await.unwrap();
    let store = open(&server).await;
    let layout = async || server.command("GET isochrone:{iso:g}:layout").await.unwrap();
    assert_eq!(layout().await, "1");
    store.use_key("0a1b2c3d".parse().unwrap()).await.unwrap();
    assert_eq!(layout().await, "2");
    drop(open(&server).await);
    store.retire_key("0a1b2c3d".parse().unwrap()).await.unwrap();
    assert_eq!(layout().await, "2", "something may be sealed all the same");
}

/// What says this to everybody.
async fn answering(text: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let _read = peer.read(&mut [0; 1_024]).await;
            peer.write_all(text).await.unwrap();
        }
    });
    address
}

/// What answers as a Redis of this version would, as far as it is asked before anything is done.
async fn answering_as_redis(version: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let info = format!("# Server\r\nredis_version:{version}\r\n");
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                while let Ok(length @ 1..) = peer.read(&mut buffer).await {
                    // Each command is an array, which begins with a star.
                    for command in String::from_utf8_lossy(&buffer[..length]).split('*').skip(1) {
                        let answer = if command.contains("INFO\r\n") && !command.contains("SETINFO") {
                            format!("${}\r\n{info}\r\n", info.len())
                        } else {
                            "+OK\r\n".to_owned()
                        };
                        peer.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

/// A fleet's machine whose clock is wrong goes by Redis's, and says how far it is off.
#[tokio::test]
async fn goes_by_the_clock_of_redis() {
    let store = RedisStore::open(&shared_url().await, own_keys()).await.unwrap();
    assert!(store.clock_ahead_ms().abs() < 500, "both are on this machine: {}", store.clock_ahead_ms());
    let off = store.now().await.unwrap().since(store.clock().now());
    assert!(off.abs() < 500, "{off}");
    let ahead = Clock::SYSTEM.ahead(60_000);
    let off = ahead.now().since(Clock::SYSTEM.now());
    assert!((60_000..60_500).contains(&off), "{off}");
    assert!(ahead.until(Clock::SYSTEM.now() + Duration::from_mins(1)) <= Duration::from_millis(500));
}
