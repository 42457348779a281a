//! Connections that are opened and left.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Target, all_closed, connections, status};

/// A head or a handshake has 10 s; the rest is for a busy machine.
const CLOSED: Duration = Duration::from_secs(25);

const HALF_A_HEAD: &[u8] = b"GET /sharing/rest/info?f=json HTTP/1.1\r\nHost: localhost\r\nX-Half: ";

/// The begin of a TLS record with a ClientHello that never comes.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_leave_room() -> Result<()> {
    let target = Target::start().await?;
    let plain = connections(target.http, 1_300, b"").await?;
    target.check().await?;
    let secure = connections(target.https, 1_300, b"").await?;
    target.check().await?;
    let probes = connections(target.admin, 300, b"").await?;
    target.check().await?;
    drop((plain, secure, probes));
    target.check().await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_heads_and_handshakes_are_closed_and_polite_clients_are_not() -> Result<()> {
    let target = Target::start().await?;
    let mut polite = TcpStream::connect(target.http).await?;
    let request = b"GET /sharing/rest/info?f=json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    polite.write_all(request).await?;
    ensure!(status(&mut polite).await? == 200);

    // Fewer than there is room for: it is time that closes them.
    let heads = connections(target.http, 100, HALF_A_HEAD).await?;
    let hellos = connections(target.https, 100, HALF_A_HELLO).await?;
    let probes = connections(target.admin, 30, HALF_A_HEAD).await?;
    target.check().await?;
    // A byte now and then is no head.
    let mut dripping = TcpStream::connect(target.http).await?;
    dripping.write_all(HALF_A_HEAD).await?;
    let (mut reader, mut writer) = dripping.into_split();
    let drips = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    for streams in [heads, hellos, probes] {
        all_closed(streams, CLOSED).await?;
    }
    let read = tokio::time::timeout(CLOSED, reader.read_to_end(&mut Vec::new())).await;
    ensure!(read.is_ok(), "a head of drips is never closed");
    drips.abort();

    // It was silent for longer than a head may take.
    let mut rest = [0; 4_096];
    let _ = polite.read(&mut rest).await?;
    polite.write_all(request).await?;
    ensure!(status(&mut polite).await? == 200, "a client's idle connection is kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_heads_leave_room() -> Result<()> {
    let target = Target::start().await?;
    // As much of a head as is read at all.
    let long = [HALF_A_HEAD, &vec![b'x'; 30 << 10]].concat();
    let plain = connections(target.http, 300, &long).await?;
    target.check().await?;
    let secure = connections(target.https, 300, HALF_A_HELLO).await?;
    let probes = connections(target.admin, 300, HALF_A_HEAD).await?;
    target.check().await?;
    drop((plain, secure, probes));
    Ok(())
}
