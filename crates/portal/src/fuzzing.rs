//! What reads strangers' bytes, for the fuzz targets in `crates/testkit/fuzz`: each of these must not panic, whatever it
//! is given, and what it reads must keep its promises. Their corpora are replayed in the tests.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use futures::FutureExt;
use isochrone_domain::{EpochMillis, Limits, Policies, Submission, TaskId, accept, edit};

use crate::answer::Failure;
use crate::client_address::{ForwardedHeader, TrustedProxies};
use crate::items::uploads::Uploads;
use crate::request::{
    Parameters, origin, parameters_of_multipart, parameters_of_multipart_stream, parameters_of_query,
};
use crate::tasks::fields;
use crate::{Config, items, native, signin};

/// Where a task that is made here stands in time.
const NOW: EpochMillis = EpochMillis(1_700_000_000_000);

/// A query or a body: what is read is read again from what is written of it.
pub fn urlencoded(bytes: &[u8]) {
    let Ok(read) = parameters_of_query(bytes) else { return };
    let mut written = form_urlencoded::Serializer::new(String::new());
    for name in read.names() {
        written.append_pair(name, read.get(name).expect("it has that name"));
    }
    let again = parameters_of_query(written.finish().as_bytes()).expect("what was written can be read");
    assert!(read.names().eq(again.names()));
    assert!(read.names().all(|name| read.get(name) == again.get(name)));
}

/// A line with the content type (without it: a boundary of one letter), then the body.
pub fn multipart(bytes: &[u8]) {
    let line_end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = bytes.split_at(line_end);
    let content_type = match std::str::from_utf8(line) {
        Ok(line) if !line.is_empty() => line.trim_end(),
        _ => "multipart/form-data; boundary=B",
    };
    let body = body.get(1..).unwrap_or_default();
    let read = parameters_of_multipart(content_type, body).now_or_never().expect("the whole body is there");
    if let Ok(read) = read {
        let kept = read.names().map(|name| name.len() + read.get(name).map_or(0, str::len)).sum::<usize>();
        assert!(
            kept + read.upload().map_or(0, |file| usize::try_from(file.size()).expect("small")) <= body.len(),
            "nothing is made up"
        );
    }
}

/// Two bytes that say how the body (its boundary is `B`) is cut into chunks, then the body: read while it comes, it is
/// what it is when it comes at once; and what it is when it is read from memory, but for line ends that are mended there.
pub fn multipart_stream(bytes: &[u8]) {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    });
    let Some(([first, second], body)) = bytes.split_first_chunk::<2>() else { return };
    let uploads = Uploads::new(Arc::new(object_store::memory::InMemory::new()));
    let body = Bytes::copy_from_slice(body);
    let read = async |chunks| {
        let read = parameters_of_multipart_stream("B", chunks, &uploads).await;
        contents(read).await
    };
    RUNTIME.block_on(async {
        let whole = read(vec![body.clone()]).await;
        assert_eq!(read(cut(&body, [*first, *second])).await, whole, "chunks change nothing");
        let from_memory =
            contents(parameters_of_multipart("multipart/form-data; boundary=B", &body).await).await;
        if let (Some(whole), Some(from_memory)) = (whole, from_memory)
            && whole.file.is_some()
            && body.windows(7).all(|window| window != b"\r\n\r\n--B")
        {
            assert_eq!(whole, from_memory);
        }
    });
}

/// What a body had in it.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    parameters: Vec<(String, Option<String>)>,
    file: Option<Vec<u8>>,
}

async fn contents(read: Result<Parameters, Failure>) -> Option<Contents> {
    let read = read.ok()?;
    let value = |name: &str| (name.to_owned(), read.get(name).map(str::to_owned));
    let file = match read.upload() {
        Some(upload) => Some(upload.bytes().await.expect("it is in memory")),
        None => None,
    };
    Some(Contents { parameters: read.names().map(value).collect(), file })
}

/// Chunks of these sizes by turns, of one byte at least.
fn cut(body: &Bytes, sizes: [u8; 2]) -> Vec<Bytes> {
    let (mut chunks, mut rest) = (Vec::new(), body.clone());
    for size in sizes.into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        chunks.push(rest.split_to(rest.len().min(usize::from(size).max(1))));
    }
    chunks
}

/// A client's `X-Forwarded-For` or `Forwarded`: behind a proxy it changes nothing of the client's address, and without
/// one it is not read.
pub fn forwarded(bytes: &[u8]) {
    let Ok(forged) = HeaderValue::from_bytes(bytes) else { return };
    let (proxy, client) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([198, 51, 100, 7]));
    let inner = IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9));
    for (name, kind, before) in [
        (HeaderName::from_static("x-forwarded-for"), ForwardedHeader::XForwardedFor, ""),
        (HeaderName::from_static("x-forwarded-for"), ForwardedHeader::Auto, ""),
        (header::FORWARDED, ForwardedHeader::Forwarded, "for="),
        (header::FORWARDED, ForwardedHeader::Auto, "for="),
    ] {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")], kind);
        let sent = |values: &[HeaderValue]| -> HeaderMap {
            values.iter().map(|value| (name.clone(), value.clone())).collect()
        };
        let alone = sent(std::slice::from_ref(&forged));
        assert_eq!(proxies.client(client, &alone).0, client, "no proxy says so");
        let _ = proxies.client(proxy, &alone);
        for appended in [format!("{before}{client}"), format!("{before}{client}, {before}{inner}")] {
            let appended = HeaderValue::from_str(&appended).expect("a value");
            let one_line = [forged.as_bytes(), b", ", appended.as_bytes()].concat();
            let one_line = HeaderValue::from_bytes(&one_line).expect("two values are one");
            assert_eq!(proxies.client(proxy, &sent(&[one_line])).0, client);
            assert_eq!(proxies.client(proxy, &sent(&[forged.clone(), appended])).0, client);
        }
    }
}

/// A client's `Host`: what is taken for this portal's own leads here for every reader of URLs.
pub fn host(bytes: &[u8]) {
    let Ok(host) = HeaderValue::from_bytes(bytes) else { return };
    let names = ["gis.example.com", "*.apps.example.com", "10.1.2.3"].map(str::to_owned).to_vec();
    let headers = HeaderMap::from_iter([(header::HOST, host)]);
    let Some(origin) = origin::of_request(&headers, None, &Config { names, ..Config::default() }) else {
        return;
    };
    // A port that is none makes no URL.
    let Ok(url) = reqwest::Url::parse(&format!("{origin}/portal")) else { return };
    let host = url.host_str().expect("it has a host");
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let own = ["gis.example.com", "10.1.2.3", "localhost"].contains(&host)
        || host.ends_with(".apps.example.com")
        || address.is_ok_and(|address| address.to_canonical().is_loopback());
    assert!(own && url.path() == "/portal", "{url}");
}

/// A query for items, and the `oauth_state` of a sign-in page.
pub fn search(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    items::fuzzing::search(text);
    signin::read_state(text);
}

/// The parameters of createTask, then of an update of the task that they make.
pub fn sharing_task(bytes: &[u8]) {
    let Ok(read) = parameters_of_query(bytes) else { return };
    changed(&read, fields::submission(&read, &Policies::default()).ok());
}

/// A new task, and a merge patch of it.
pub fn native_task(bytes: &[u8]) {
    let policies = Policies::default();
    let submission = native::fuzzing::submission(bytes, &policies);
    if let Some(task) = submission.and_then(accepted) {
        assert!(task.next_fire.is_none_or(|next| next > NOW));
    }
    native::fuzzing::change(bytes);
}

fn accepted(submission: Submission) -> Option<isochrone_domain::Task> {
    accept(submission, TaskId::from_bytes([7; 16]), "ann", NOW, &Limits::default()).ok()
}

fn changed(parameters: &Parameters, submission: Option<Submission>) {
    let change = fields::change(parameters);
    let Some(task) = submission.and_then(accepted) else { return };
    assert!(task.next_fire.is_none_or(|next| next > NOW));
    if let Ok(change) = change {
        // What was accepted once is accepted again.
        let same = edit(&task, change, NOW, &Limits::default()).expect("the task's own parameters");
        assert_eq!(same.cron, task.cron);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every input that was kept for a target.
    fn replay(target: &str, run: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/fuzz/corpus").join(target);
        let mut inputs = 0;
        for entry in std::fs::read_dir(&corpus).expect("the corpus is in the repository") {
            run(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", corpus.display());
    }

    #[test]
    fn the_corpora_are_read_without_a_panic() {
        replay("urlencoded", super::urlencoded);
        replay("multipart", super::multipart);
        replay("sharing_task", super::sharing_task);
        replay("native_task", super::native_task);
        replay("multipart_stream", super::multipart_stream);
        replay("forwarded", super::forwarded);
        replay("host", super::host);
        replay("search", super::search);
    }
}
