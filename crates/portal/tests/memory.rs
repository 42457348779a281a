//! Bodies that are too large are refused, and the process does not grow with them. In a process of its own,
//! so that nothing else moves its memory.

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "http/server.rs"]
mod server;

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use server::{Server, error};

const BODY: usize = 5 << 20;
const CHUNK: usize = 64 << 10;

/// The most resident memory that the process has had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    let kib: usize = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kib * 1_024
}

/// Sends a 5 MiB title a chunk at a time; gives the answer and how long it took to come.
async fn send(
    server: &Server,
    content_type: &str,
    prefix: &[u8],
    announced: bool,
) -> (serde_json::Value, Duration) {
    let length =
        if announced { format!("Content-Length: {BODY}") } else { "Transfer-Encoding: chunked".to_owned() };
    let head = format!(
        "POST /sharing/rest/community/users/bob/createTask HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer bob\r\n\
         Connection: close\r\nContent-Type: {content_type}\r\n{length}\r\n\r\n"
    );
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let (mut reader, mut writer) = stream.into_split();
    let start = Instant::now();
    let prefix = prefix.to_vec();
    let sending = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await?;
        let mut chunk = vec![b'x'; CHUNK];
        chunk[..prefix.len()].copy_from_slice(&prefix);
        for number in 0..BODY / CHUNK {
            if !announced {
                writer.write_all(format!("{CHUNK:x}\r\n").as_bytes()).await?;
            }
            writer.write_all(&chunk).await?;
            if !announced {
                writer.write_all(b"\r\n").await?;
            }
            if number == 0 {
                chunk.fill(b'x');
            }
        }
        if !announced {
            writer.write_all(b"0\r\n\r\n").await?;
        }
        Ok::<_, std::io::Error>(writer)
    });
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), reader.read_to_end(&mut answer))
        .await
        .expect("in time")
        .expect("no reset before the answer is read");
    let took = start.elapsed();
    sending.await.expect("no panic").expect("the whole body could be sent");
    let answer = String::from_utf8(answer).expect("text");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    (serde_json::from_str(body).expect("json"), took)
}

#[tokio::test]
async fn large_bodies_are_refused_and_memory_stays_flat() {
    let server = Server::start().await;
    let multipart = b"--B\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n";
    let kinds = [
        ("application/x-www-form-urlencoded", &b"f=json&title="[..]),
        ("multipart/form-data; boundary=B", &multipart[..]),
    ];
    let before = peak();
    for (content_type, prefix) in kinds.into_iter().cycle().take(22) {
        for announced in [true, false] {
            let (answer, took) = send(&server, content_type, prefix, announced).await;
            let (code, message, _) = error(&answer);
            assert_eq!((code, message.as_str()), (413, "The body is larger than 2097152 bytes."));
            assert!(took < Duration::from_secs(10), "{took:?}");
        }
    }
    // One body within the limit may be there at a time, and its buffer grows by doubling.
    let grown = peak() - before;
    assert!(grown < 12 << 20, "220 MiB of bodies took {grown} bytes");
    server.assert_nothing_stored("large bodies").await;
}
