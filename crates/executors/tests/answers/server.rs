//! A server that answers to the letter what a row says, and counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A response, byte by byte.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A head and a body, whose length is told.
    Whole(String, Vec<u8>),
    /// This, and the connection ends.
    Bytes(Vec<u8>),
    /// The connection ends without an answer.
    Nothing,
    /// This, after so many milliseconds.
    Late(u64, Box<Reply>),
}

/// A response with its length. `headers`: lines, in which `SERVER` is the server's own address, as in the body.
pub(crate) fn reply(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Reply {
    let lines = lines(headers);
    Reply::Whole(format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{lines}"), body.as_ref().to_vec())
}

fn lines(headers: &[&str]) -> String {
    headers.iter().flat_map(|header| [header, "\r\n"]).collect()
}

pub(crate) fn json(status: u16, body: &str) -> Reply {
    reply(status, &["Content-Type: application/json"], body)
}

/// The same with more headers.
pub(crate) fn json_with(status: u16, headers: &[&str], body: &str) -> Reply {
    reply(status, &[&["Content-Type: application/json"], headers].concat(), body)
}

pub(crate) fn page(status: u16, body: &str) -> Reply {
    reply(status, &["Content-Type: text/html"], body)
}

/// A response that ends within its body.
pub(crate) fn cut(status: u16, headers: &[&str], body: &str) -> Reply {
    let head = format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n{}", lines(headers));
    Reply::Bytes(format!("{head}\r\n{:x}\r\n{body}", body.len() + 100).into_bytes())
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Submit,
    Look,
    Results,
    Describe,
    List,
    Owner,
    Steer,
}

/// The replies to each, in order; the last one again and again.
pub(crate) type Script = BTreeMap<Asked, Vec<Reply>>;

/// A server that listens. Dropped, it is gone.
pub(crate) struct ScriptedServer {
    pub(crate) url: String,
    counts: Arc<Mutex<BTreeMap<Asked, usize>>>,
    submissions: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ScriptedServer {
    pub(crate) async fn start(script: Script) -> ScriptedServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (script, own) = (Arc::new(script), url.clone());
        let counts: Arc<Mutex<BTreeMap<Asked, usize>>> = Arc::default();
        let submissions: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, submitted) = (Arc::clone(&counts), Arc::clone(&submissions));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(
                    stream,
                    own.clone(),
                    Arc::clone(&script),
                    Arc::clone(&seen),
                    Arc::clone(&submitted),
                ));
            }
        });
        ScriptedServer { url, counts, submissions, serving }
    }

    /// The heads of what was submitted, in order.
    pub(crate) fn submissions(&self) -> Vec<String> {
        self.submissions.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self, what: Asked) -> usize {
        self.counts.lock().unwrap().get(&what).copied().unwrap_or_default()
    }
}

async fn answer(
    mut stream: TcpStream,
    url: String,
    script: Arc<Script>,
    counts: Arc<Mutex<BTreeMap<Asked, usize>>>,
    submissions: Arc<Mutex<Vec<String>>>,
) {
    let Some(head) = read(&mut stream).await else { return };
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let what = what(method, target.split('?').next().unwrap_or_default());
    if what == Asked::Submit {
        submissions.lock().unwrap().push(head.clone());
    }
    let number = {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(what).or_default();
        *count += 1;
        *count
    };
    let reply = script.get(&what).and_then(|replies| replies.get(number - 1).or(replies.last()));
    let reply =
        reply.cloned().unwrap_or_else(|| json(404, r#"{"title":"Not found","detail":"Nothing is there."}"#));
    let reply = match reply {
        Reply::Late(milliseconds, reply) => {
            tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
            *reply
        }
        reply => reply,
    };
    let bytes = match reply {
        Reply::Whole(head, body) => {
            let (head, body) = (head.replace("SERVER", &url), placed(&body, &url));
            [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()
        }
        Reply::Bytes(bytes) => bytes,
        Reply::Nothing | Reply::Late(..) => return,
    };
    drop(stream.write_all(&bytes).await);
    drop(stream.shutdown().await);
}

/// The body with the server's own address in its place.
fn placed(body: &[u8], url: &str) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) => text.replace("SERVER", url).into_bytes(),
        Err(_) => body.to_vec(),
    }
}

/// Reads a request, and gives its head.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut part).await.ok()?;
        request.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if request.len() >= head.len() + 4 + length.unwrap_or(0) {
                return Some(head.to_owned());
            }
        }
        if length == 0 {
            return None;
        }
    }
}

fn what(method: &str, path: &str) -> Asked {
    match method {
        "DELETE" => Asked::Steer,
        "POST" if path.ends_with("/cancel") || path.ends_with("/action") || path.ends_with("/delete") => {
            Asked::Steer
        }
        "POST" => Asked::Submit,
        _ if path.ends_with("/self") => Asked::Owner,
        _ if path.ends_with("/system/jobs") => Asked::List,
        _ if path.contains("/results") || path.ends_with("/data") => Asked::Results,
        _ if path.ends_with("/processes/p") || path.ends_with("/GPServer/T") => Asked::Describe,
        _ => Asked::Look,
    }
}
