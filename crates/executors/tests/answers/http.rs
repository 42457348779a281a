//! What is odd below the protocols: encodings, numbers, redirects, statuses of HTTP. Each protocol meets it in the same way.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use isochrone_domain::Reason;

use crate::row::{End, Protocol, Row};
use crate::server::{Reply, json, page, reply};

const LOST: End = End::Failed(Reason::SubmissionUnknown);
const REFUSED: End = End::SubmitFailed(Reason::BadInput);
const NOT_ALLOWED: End = End::SubmitFailed(Reason::NotAllowed);

/// How a server of a protocol says that it has begun the job 7, and that it is done.
struct Spoken {
    protocol: Protocol,
    taken: &'static str,
    done: &'static str,
}

const SPOKEN: [Spoken; 6] = [
    Spoken {
        protocol: Protocol::Ogc,
        taken: r#"{"jobID":"7","status":"accepted"}"#,
        done: r#"{"jobID":"7","status":"successful"}"#,
    },
    Spoken {
        protocol: Protocol::Geoprocessing,
        taken: r#"{"jobId":"7","jobStatus":"esriJobSubmitted"}"#,
        done: r#"{"jobId":"7","jobStatus":"esriJobSucceeded","results":{"out":{"paramUrl":"results/out"}}}"#,
    },
    Spoken {
        protocol: Protocol::Plain,
        taken: r#"{"jobId":"7","status":"accepted"}"#,
        done: r#"{"status":"succeeded","result":"7"}"#,
    },
    Spoken {
        protocol: Protocol::Notebook,
        taken: r#"{"jobId":"7","status":"SUBMITTED"}"#,
        done: r#"{"jobId":"7","status":"COMPLETED"}"#,
    },
    Spoken {
        protocol: Protocol::PortalReport,
        taken: r#"{"itemId":"7","success":true}"#,
        done: r#"{"status":"completed","itemId":"7"}"#,
    },
    // It is only made; there is none under the run's own id.
    Spoken {
        protocol: Protocol::Workflow,
        taken: r#"{"jobIds":["7"]}"#,
        done: r#"{"error":{"code":400,"message":"The job does not exist."}}"#,
    },
];

pub(crate) fn rows() -> Vec<Row> {
    SPOKEN
        .iter()
        .flat_map(|spoken| [spoken.encodings(), spoken.submissions(), spoken.looks()].into_iter().flatten())
        .collect()
}

impl Spoken {
    fn row(&self, what: &str) -> Row {
        let name = format!("HTTP, {:?}: {what}", self.protocol);
        let row = Row::new(self.protocol, Box::leak(name.into_boxed_str()));
        match self.protocol {
            Protocol::PortalReport => row.results([reply(200, &["Content-Type: text/csv"], "a\n1\n")]),
            Protocol::Geoprocessing => row.results([json(200, r#"{"value":7}"#)]),
            _ => row,
        }
        .look([json(200, self.done)])
    }

    /// What was begun is begun once, and succeeds.
    fn begun(&self, what: &str, taken: Reply) -> Row {
        self.row(what).submit([taken])
    }

    /// The job is looked at again, and is done.
    fn passing(&self, what: &str, look: Reply) -> Row {
        self.begun(what, json(200, self.taken)).look([look, json(200, self.done)])
    }

    /// The same documents in other bytes, as answers to a submission and to a look.
    fn encodings(&self) -> Vec<Row> {
        let typed =
            |header: &str, body: Vec<u8>| reply(200, &["Content-Type: application/json", header], body);
        type Encode = fn(&str) -> Vec<u8>;
        let encodings: [(&str, &str, Encode); 9] = [
            ("a byte order mark", "X: y", |text| [b"\xef\xbb\xbf", text.as_bytes()].concat()),
            ("UTF-16LE, a mark", "X: y", |text| {
                [b"\xff\xfe".to_vec(), utf_16(text, u16::to_le_bytes)].concat()
            }),
            ("UTF-16BE, a mark", "X: y", |text| {
                [b"\xfe\xff".to_vec(), utf_16(text, u16::to_be_bytes)].concat()
            }),
            ("UTF-16LE, no mark", "X: y", |text| utf_16(text, u16::to_le_bytes)),
            ("gzip", "Content-Encoding: gzip", gzip),
            ("gzip, undone on the way", "Content-Encoding: gzip", |text| text.as_bytes().to_vec()),
            ("deflate without zlib", "Content-Encoding: deflate", raw_deflate),
            ("spaces around it", "X: y", |text| format!("\r\n  {text} \n\n").into_bytes()),
            ("names and words in capitals", "X: y", |text| text.to_uppercase().into_bytes()),
        ];
        let numbers = |text: &str| text.replacen('{', r#"{"progress":NaN,"eta":1e999,"size":-Infinity,"#, 1);
        let mut rows: Vec<Row> = encodings
            .into_iter()
            .map(|(what, header, encode)| {
                self.begun(what, typed(header, encode(self.taken))).look([typed(header, encode(self.done))])
            })
            .collect();
        rows.push(
            self.begun("numbers that are none", json(200, &numbers(self.taken)))
                .look([json(200, &numbers(self.done))]),
        );
        rows
    }

    fn submissions(&self) -> Vec<Row> {
        let not = |what: &str, reply: Reply, end, told| self.row(what).submit([reply]).ends(end, told);
        let then =
            |what: &str, first: Reply| self.row(what).submit([first, json(200, self.taken)]).submitted(2);
        let id = |id: &str| self.taken.replacen("\"7\"", id, 1);
        let date = "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT";
        vec![
            self.begun("a number of 24 digits as the id", json(200, &id("123456789012345678901234"))),
            self.begun("7.0 as the id", json(200, &id("7.0"))),
            self.begun("an id that needs escapes", json(200, &id("\"a b\u{e4}\""))),
            not("an id that is empty", json(200, &id("\"\"")), LOST, "nothing that finds it again"),
            not("an id with a slash", json(200, &id("\"a/b\"")), LOST, "a/b"),
            not("an id that climbs", json(200, &id("\"..\"")), LOST, "nothing that finds it again"),
            not(
                "an unknown encoding",
                reply(200, &["Content-Encoding: br"], b"\x0b\x03\x80"),
                LOST,
                "compression",
            ),
            not(
                "an error with an id",
                json(200, r#"{"id":"request-1","error":{"code":400,"message":"No such input."}}"#),
                REFUSED,
                "No such input.",
            ),
            not(
                "498 in the body",
                json(200, r#"{"error":{"code":498,"message":"Invalid token."}}"#),
                NOT_ALLOWED,
                "Invalid token.",
            ),
            not(
                "499 in the body",
                json(200, r#"{"error":{"code":499,"message":"Token Required"}}"#),
                NOT_ALLOWED,
                "Token Required",
            ),
            not("301", reply(301, &["Location: https://example.com/x"], ""), REFUSED, "example.com"),
            not("302", reply(302, &["Location: /signin"], ""), REFUSED, "signin"),
            not("307", reply(307, &["Location: https://example.com/x"], ""), REFUSED, "example.com"),
            not("308", reply(308, &["Location: https://example.com/x"], ""), REFUSED, "example.com"),
            not("304", reply(304, &[], ""), REFUSED, "304"),
            then("429 until a date that is over", reply(429, &[date], "")),
            then("503 for a second", reply(503, &["Retry-After: 1"], "")),
            then("503 for no time that can be read", reply(503, &["Retry-After: soon"], "")),
            then("408", reply(408, &[], "")),
            then("521 of a proxy", page(521, "<html>Web server is down</html>")),
            then("522 of a proxy", page(522, "<html>Connection timed out</html>")),
            then("503 in the body", json(200, r#"{"error":{"code":503,"message":"Busy."}}"#)),
            not(
                "503 for all time",
                reply(503, &["Retry-After: 18446744073709551615"], ""),
                End::SubmitFailed(Reason::BackendUnavailable),
                "asked again",
            ),
        ]
    }

    fn looks(&self) -> Vec<Row> {
        if self.protocol == Protocol::Workflow {
            return Vec::new();
        }
        let gzip_cut = gzip(self.done)[..12].to_vec();
        let replies = [
            ("a look: 401", reply(401, &[], "")),
            ("a look: 404", json(404, "{}")),
            ("a look: 410", json(410, r#"{"message":"Gone."}"#)),
            ("a look: 408", reply(408, &[], "")),
            ("a look: 429 for a second", reply(429, &["Retry-After: 1"], "")),
            ("a look: 503 until a date", reply(503, &["Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"], "")),
            ("a look: 507", reply(507, &[], "")),
            ("a look: 520", page(520, "<html>Unknown error</html>")),
            ("a look: 204", reply(204, &[], "")),
            ("a look: nothing", reply(200, &[], "")),
            ("a look: null", json(200, "null")),
            ("a look: a list of nothing", json(200, "[]")),
            ("a look: an object of nothing", json(200, "{}")),
            ("a look: a page", page(200, "<html><title>Sign In</title></html>")),
            ("a look: 498 in the body", json(200, r#"{"error":{"code":498,"message":"Invalid token."}}"#)),
            ("a look: 499 in the body", json(200, r#"{"error":{"code":499,"message":"Token Required"}}"#)),
            ("a look: 500 in the body", json(200, r#"{"error":{"code":500,"message":"Restarting."}}"#)),
            (
                "a look: an error with an id",
                json(404, r#"{"id":"request-1","status":"error","code":404,"message":"No job."}"#),
            ),
            ("a look: half a document", json(200, &self.done[..self.done.len() - 5])),
            ("a look: half of what is compressed", reply(200, &["Content-Encoding: gzip"], gzip_cut)),
            ("a look: an unknown encoding", reply(200, &["Content-Encoding: br"], b"\x0b\x03\x80")),
            ("a look: no answer", Reply::Nothing),
        ];
        replies.into_iter().map(|(what, reply)| self.passing(what, reply)).collect()
    }
}

fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(text: &str) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
