//! What is on the wire: a small versioned body, and the headers that let a trace follow the run.

use std::time::{SystemTime, UNIX_EPOCH};

use isochrone_domain::{EpochMillis, RunId, TaskType};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString};
use serde::{Deserialize, Serialize};

use crate::WakeUp;

/// The version of the body that this code writes and reads. A new one is read before it is written.
const VERSION: u64 = 1;

/// The longest body that is looked at.
pub(super) const LONGEST: usize = 64 * 1024;

const PERSISTENT: u8 = 2;

#[derive(Serialize, Deserialize)]
struct Body {
    v: u64,
    run: RunId,
    kind: TaskType,
}

/// Why a message is no wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Junk {
    #[error("it has {0} bytes")]
    TooLong(usize),
    #[error("its body is no JSON object with v, run and kind")]
    Unreadable,
    #[error("its version {0} is not known here")]
    UnknownVersion(u64),
    #[error("it is for {0}, which has another line")]
    WrongLine(TaskType),
}

impl Junk {
    /// One word for it.
    pub(super) fn code(self) -> &'static str {
        match self {
            Junk::TooLong(_) => "too_long",
            Junk::Unreadable => "unreadable",
            Junk::UnknownVersion(_) => "unknown_version",
            Junk::WrongLine(_) => "wrong_line",
        }
    }
}

/// A wake-up's body.
pub(super) fn body(wake_up: WakeUp) -> Vec<u8> {
    serde_json::to_vec(&Body { v: VERSION, run: wake_up.run, kind: wake_up.kind })
        .expect("two names and a number are JSON")
}

/// A wake-up's properties.
pub(super) fn properties(wake_up: WakeUp) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), text(TraceParent::of(wake_up.run).to_string()));
    durable()
        .with_message_id(wake_up.run.to_string().into())
        .with_type("isochrone.wake-up".into())
        .with_content_type("application/json".into())
        .with_headers(headers)
}

#[derive(Serialize, Deserialize)]
struct Beat {
    v: u64,
    sent: EpochMillis,
}

/// A heartbeat's body.
pub(super) fn heartbeat(sent: EpochMillis) -> Vec<u8> {
    serde_json::to_vec(&Beat { v: VERSION, sent }).expect("two numbers are JSON")
}

/// When a heartbeat was sent. None: it is none.
pub(super) fn read_heartbeat(body: &[u8]) -> Option<EpochMillis> {
    let Beat { v, sent } = serde_json::from_slice(body).ok()?;
    (v == VERSION).then_some(sent)
}

/// What each message of ours has: it survives the broker, and says when it was sent.
pub(super) fn durable() -> BasicProperties {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    BasicProperties::default().with_delivery_mode(PERSISTENT).with_timestamp(now)
}

pub(super) fn text(text: impl Into<LongString>) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// Reads what came from the line of `kind`.
pub(super) fn read(body: &[u8], kind: TaskType) -> Result<WakeUp, Junk> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    if body.len() > LONGEST {
        return Err(Junk::TooLong(body.len()));
    }
    // The version first: what else a later one says can't be known.
    let Version { v } = serde_json::from_slice(body).map_err(|_| Junk::Unreadable)?;
    if v != VERSION {
        return Err(Junk::UnknownVersion(v));
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| Junk::Unreadable)?;
    if body.kind == kind { Ok(WakeUp { run: body.run, kind }) } else { Err(Junk::WrongLine(body.kind)) }
}

/// Reads these bytes as all that a message can be: what is read is what would be written.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_anything(bytes: &[u8], kinds: &[TaskType]) {
    for kind in kinds {
        if let Ok(wake_up) = read(bytes, *kind) {
            assert_eq!(read(&body(wake_up), *kind), Ok(wake_up));
        }
    }
    if let Some(sent) = read_heartbeat(bytes) {
        assert_eq!(read_heartbeat(&heartbeat(sent)), Some(sent));
    }
    if let Some(parent) = std::str::from_utf8(bytes).ok().and_then(TraceParent::parse) {
        assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
    }
}

/// W3C's trace context, version 00. All spans of a run share the trace whose id is the run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// The context in which a run is published. Its span's id is derived from the run's too, so that a
    /// wake-up that is published twice is one span.
    pub(super) fn of(run: RunId) -> TraceParent {
        let trace = *run.as_bytes();
        let mut span = [0; 8];
        span.copy_from_slice(&trace[8..]);
        // All zeros would be no span.
        span[0] |= 1;
        TraceParent { trace, span, flags: 1 }
    }

    /// Reads the header of a message, which anybody may have written. None: none, or not valid.
    pub(super) fn from(headers: Option<&FieldTable>) -> Option<TraceParent> {
        let (_, header) = headers?.into_iter().find(|(name, _)| name.as_str() == "traceparent")?;
        match header {
            AMQPValue::LongString(text) => TraceParent::parse(std::str::from_utf8(text.as_bytes()).ok()?),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<TraceParent> {
        let lower_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.split('-');
        let [version, trace, span, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
        // A later version may have more parts, version 00 has four.
        let whole = version != "ff" && (version != "00" || parts.next().is_none());
        let shape = [(version, 2), (trace, 32), (span, 16), (flags, 2)];
        if !whole || !shape.iter().all(|(part, length)| part.len() == *length && lower_hex(part)) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(TraceParent { trace: trace.to_be_bytes(), span: span.to_be_bytes(), flags })
    }

    pub(super) fn trace_id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace))
    }

    pub(super) fn span_id(&self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.span))
    }
}

impl std::fmt::Display for TraceParent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id(), self.span_id(), self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId::from_bytes([0xab; 16]);
    const KIND: TaskType = TaskType::ExecuteReport;

    #[test]
    fn what_is_written_is_read() {
        let wake_up = WakeUp { run: RUN, kind: KIND };
        let bytes = body(wake_up);
        let expected = format!(r#"{{"v":1,"run":"{RUN}","kind":"ExecuteReport"}}"#);
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(read(&bytes, KIND), Ok(wake_up));
        let more = expected.replace('}', r#","later":true}"#);
        assert_eq!(
            read(more.as_bytes(), KIND),
            Ok(wake_up),
            "a field that is added does not break old readers"
        );
    }

    #[test]
    fn junk_is_told_apart() {
        let written = String::from_utf8(body(WakeUp { run: RUN, kind: KIND })).unwrap();
        for (bytes, expected) in [
            (vec![0xff, 0x00, 0x7b], Junk::Unreadable),
            (Vec::new(), Junk::Unreadable),
            (b"[1]".to_vec(), Junk::Unreadable),
            (br#"{"v":1}"#.to_vec(), Junk::Unreadable),
            (written.replace("ab", "zz").into_bytes(), Junk::Unreadable),
            (written.replace("ExecuteReport", "MakeCoffee").into_bytes(), Junk::Unreadable),
            (br#"{"v":2,"runs":[]}"#.to_vec(), Junk::UnknownVersion(2)),
            (
                written.replace("ExecuteReport", "GPService").into_bytes(),
                Junk::WrongLine(TaskType::GPService),
            ),
            (vec![b' '; LONGEST + 1], Junk::TooLong(LONGEST + 1)),
            ("[".repeat(LONGEST).into_bytes(), Junk::Unreadable),
        ] {
            assert_eq!(
                read(&bytes, KIND),
                Err(expected),
                "{}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(80)])
            );
        }
    }

    #[test]
    fn a_runs_trace_has_its_id() {
        let parent = TraceParent::of(RUN);
        assert_eq!(parent.trace_id(), RUN.to_string());
        assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
        let headers = properties(WakeUp { run: RUN, kind: KIND }).headers().clone().unwrap();
        assert_eq!(TraceParent::from(Some(&headers)), Some(parent));
    }

    #[test]
    fn a_traceparent_that_breaks_w3cs_rules_is_none() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(TraceParent::parse(good).is_some());
        assert!(TraceParent::parse(&good.replacen("00", "01", 1)).is_some(), "a later version");
        assert!(TraceParent::parse(&(good.replacen("00", "01", 1) + "-more")).is_some());
        for bad in [
            String::new(),
            good.to_uppercase(),
            good.replacen("00", "ff", 1),
            format!("{good}-more"),
            good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            good.replace("b7ad6b7169203331", &"0".repeat(16)),
            good.replace("b7ad", "+7ad"),
            good[..54].to_owned(),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
    }
}
