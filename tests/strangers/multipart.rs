//! Multipart bodies that are hard to read.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Target;

/// Sends a POST's head, and gives the answer to it: the body has not been sent.
async fn head_only(target: &Target, content_type: &str) -> Result<String> {
    let mut stream = TcpStream::connect(target.http).await?;
    let head = format!(
        "POST /sharing/rest/generateToken?f=json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\nContent-Length: 2000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    let reading = async {
        loop {
            let mut part = [0; 4_096];
            let read = stream.read(&mut part).await?;
            answer.extend_from_slice(&part[..read]);
            if read == 0 || answer.ends_with(b"}}") {
                return Ok::<_, anyhow::Error>(());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reading).await.context("the body is waited for")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boundary_that_is_none_is_refused_before_the_body() -> Result<()> {
    let target = Target::start().await?;
    for boundary in [
        "-".repeat(20_000),
        "x".repeat(71),
        String::new(),
        "\"\"".to_owned(),
        "\"a b \"".to_owned(),
        "\"a{b}\"".to_owned(),
        "\"a\u{e9}\"".to_owned(),
    ] {
        let answer = head_only(&target, &format!("multipart/form-data; boundary={boundary}")).await?;
        let told = answer.contains("boundary") || answer.contains("must be");
        ensure!(answer.contains("\"code\":400") && told, "{boundary:.80}: {answer}");
    }
    let answer = head_only(&target, "multipart/form-data").await?;
    ensure!(answer.contains("\"code\":400") && answer.contains("boundary"), "{answer}");
    target.check().await
}

#[tokio::test(flavor = "multi_thread")]
async fn long_boundaries_and_bodies_made_of_them_stop_nobody() -> Result<()> {
    let target = Target::start().await?;
    // A head as long as that is not read to its end.
    let long = format!("{}x", "-".repeat(200_000));
    let dashes = vec![b'-'; (2 << 20) - 1];
    let seventy = "-".repeat(70);
    let parts = b"--B\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n".repeat(45_000);
    let preamble = vec![b'\r'; (2 << 20) - 1];
    let header = [&b"--B\r\nX: "[..], &vec![b'a'; (2 << 20) - 100]].concat();
    let bodies: [(&str, &[u8]); 6] = [
        (&long, &dashes),
        (&seventy, &dashes),
        ("B", &dashes),
        ("B", &parts[..(2 << 20) - 1]),
        ("B", &preamble),
        ("B", &header),
    ];
    let mut streams = Vec::new();
    for (boundary, body) in bodies.into_iter().cycle().take(24) {
        let mut stream = TcpStream::connect(target.http).await?;
        let head = format!(
            "POST /sharing/rest/generateToken HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), body].concat();
        streams.push(tokio::spawn(async move {
            drop(stream.write_all(&bytes).await);
            let mut answer = Vec::new();
            drop(tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await);
            answer
        }));
    }
    for _ in 0..5 {
        target.check().await?;
    }
    for stream in streams {
        let answer = stream.await?;
        let text = String::from_utf8_lossy(&answer);
        ensure!(!text.contains("\"token\""), "{text}");
    }
    target.check().await
}
