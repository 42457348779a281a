//! Bodies that come slowly, or never to their end.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Target, all_closed, connections};

fn head(path: &str, content_type: &str, length: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer none\r\n\
         Content-Type: {content_type}\r\n{length}\r\n\r\n"
    )
    .into_bytes()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_leave_room() -> Result<()> {
    let target = Target::start().await?;
    let started =
        [head("/sharing/rest/generateToken", FORM, "Content-Length: 2000000"), vec![b'x'; 1_000]].concat();
    let mut streams = connections(target.http, 500, &started).await?;
    for _ in 0..4 {
        for stream in &mut streams {
            drop(stream.write_all(b"x").await);
        }
        target.check().await?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_bodies_take_no_memory() -> Result<()> {
    let target = Target::start().await?;
    let multipart = "multipart/form-data; boundary=B";
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..150 {
        let (path, content_type) = match number % 3 {
            0 => ("/sharing/rest/generateToken", FORM),
            1 => ("/sharing/rest/community/users/admin/createTask", multipart),
            _ => ("/api/v1/tasks", "application/json"),
        };
        let bytes = [head(path, content_type, "Content-Length: 2000000"), vec![b'x'; 1_900_000]].concat();
        let address = target.http;
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            // As much of it as is taken.
            drop(tokio::time::timeout(Duration::from_secs(5), stream.write_all(&bytes)).await);
            Ok::<_, std::io::Error>(stream)
        });
    }
    for _ in 0..8 {
        target.check().await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let streams = senders.join_all().await;
    target.check().await?;
    // Each was answered or closed: nobody waits for the rest of a body for long.
    let streams: Vec<TcpStream> = streams.into_iter().flatten().collect();
    all_closed_or_answered(streams).await?;
    target.check().await
}

/// Within the silence that a body may have, and some more for a busy machine.
async fn all_closed_or_answered(streams: Vec<TcpStream>) -> Result<()> {
    let mut waiting = tokio::task::JoinSet::new();
    for mut stream in streams {
        waiting.spawn(async move {
            let first = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut [0; 64])).await;
            first.is_ok()
        });
    }
    let ended = waiting.join_all().await;
    ensure!(
        ended.iter().all(|ended| *ended),
        "{} are still waited for",
        ended.iter().filter(|e| !**e).count()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_in_tiny_chunks_and_none_at_all_stop_nobody() -> Result<()> {
    let target = Target::start().await?;
    let chunked = head("/sharing/rest/generateToken?f=json", FORM, "Transfer-Encoding: chunked");
    let tiny = [chunked, b"1\r\nx\r\n".repeat(50_000)].concat();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (bytes, address) = (tiny.clone(), target.http);
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            drop(tokio::time::timeout(Duration::from_secs(5), stream.write_all(&bytes)).await);
            Ok::<_, std::io::Error>(stream)
        });
    }
    let expecting =
        head("/sharing/rest/generateToken", FORM, "Content-Length: 2000000\r\nExpect: 100-continue");
    let expecting = connections(target.http, 100, &expecting).await?;
    // Many requests on one connection, and nobody reads the answers.
    let pipelined = b"GET /sharing/rest/info?f=json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500);
    let pipelined = connections(target.http, 20, &pipelined).await?;
    for _ in 0..4 {
        target.check().await?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let tiny: Vec<_> = senders.join_all().await.into_iter().flatten().collect();
    target.check().await?;
    drop((tiny, pipelined));
    all_closed(expecting, Duration::from_secs(30)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_take_no_memory() -> Result<()> {
    let target = Target::start().await?;
    let described = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
    let described = connections(target.http, 200, &described).await?;
    target.check().await?;
    // What is sent, and could be repeated in each link of a page, or in hex in a form.
    let long = "x".repeat(1_900_000);
    let state = "7b".repeat(900_000);
    let forms = [
        ("/sharing/rest", format!("f=html&token={long}")),
        ("/sharing/rest/oauth2/signin", format!("oauth_state={state}")),
        (
            "/sharing/rest/oauth2/authorize",
            format!("response_type=token&redirect_uri=urn:ietf:wg:oauth:2.0:oob&client_id={long}"),
        ),
        ("/sharing/rest/generateToken", format!("f=html&username=x&password={long}")),
    ];
    let mut senders = tokio::task::JoinSet::new();
    for (path, form) in forms.iter().cycle().take(60) {
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let address = target.http;
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            let writing = stream.write_all(bytes.as_bytes());
            drop(tokio::time::timeout(Duration::from_secs(8), writing).await);
            Ok::<_, std::io::Error>(stream)
        });
    }
    let mut unread = Vec::new();
    while let Some(sent) = senders.join_next().await {
        unread.extend(sent?);
        target.check_memory()?;
    }
    target.check().await?;
    drop((described, unread));
    Ok(())
}
