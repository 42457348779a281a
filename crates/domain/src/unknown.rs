//! Fields of a stored record that this version does not know: a newer one wrote them. They travel with the record and
//! are written again with it, so that during an upgrade an older process erases nothing of a newer one.
//!
//! [`from_json`] and [`to_json`] are how a store reads and writes a [`Record`]. What is unknown is found by comparing
//! what was read with what this version would have written; where both are the same, as nearly always, nothing is
//! kept and nothing allocated.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Names of the fields by which a value inside a record is told from another one that took its place. What is unknown
/// of the former goes with it: it says nothing of the new one.
const IDENTITY: [&str; 3] = ["kind", "digest", "worker"];

/// What a store keeps as one JSON object.
pub trait Record: Serialize + DeserializeOwned {
    /// The fields that this version does not know.
    fn unknown(&self) -> &UnknownFields;

    /// The same, to be set.
    fn unknown_mut(&mut self) -> &mut UnknownFields;
}

/// The fields of a record, and of the objects in it, that this version does not know. Most records have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownFields(Option<Box<Object>>);

impl UnknownFields {
    /// Of a record that this version made.
    pub const NONE: UnknownFields = UnknownFields(None);

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// What is unknown of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Object {
    /// What it has of the fields in `IDENTITY`, as JSON.
    identity: [Option<String>; IDENTITY.len()],
    fields: BTreeMap<String, Unknown>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Unknown {
    /// A field that is unknown: its value, as JSON, to the letter.
    Field(String),
    /// A known field whose value is an object with something unknown in it.
    Within(Object),
    /// A known field whose value is a list: the known part of each element that has something unknown, as JSON.
    Elements(Vec<(String, Object)>),
}

/// The JSON of an object, field by field. A name that stands twice: the last value.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads a record.
///
/// # Errors
/// If it is none that this version can read.
pub fn from_json<T: Record>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut record: T = serde_json::from_slice(bytes)?;
    if !is_json_of(bytes, &record) {
        let known = serde_json::to_string(&record)?;
        let (stored, known) = (serde_json::from_slice(bytes)?, serde_json::from_str(&known)?);
        *record.unknown_mut() = UnknownFields(unknown_of(stored, known).map(Box::new));
    }
    Ok(record)
}

/// Writes a record, with what is unknown of it.
///
/// # Panics
/// Never for the domain's types: they have only text as keys.
pub fn to_json<T: Record>(record: &T) -> String {
    let known = serde_json::to_string(record).expect("a record has only text as keys");
    match &record.unknown().0 {
        None => known,
        Some(unknown) => merged(&known, unknown).map_or(known, |merged| merged.get().to_owned()),
    }
}

/// Whether this text is what the record is written as.
fn is_json_of<T: Serialize>(bytes: &[u8], record: &T) -> bool {
    /// Takes what is as expected.
    struct Expected<'a>(&'a [u8]);
    impl io::Write for Expected<'_> {
        fn write(&mut self, written: &[u8]) -> io::Result<usize> {
            self.0 = self.0.strip_prefix(written).ok_or(io::ErrorKind::InvalidData)?;
            Ok(written.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut expected = Expected(bytes);
    serde_json::to_writer(&mut expected, record).is_ok() && expected.0.is_empty()
}

fn unknown_of(mut stored: Fields<'_>, known: Fields<'_>) -> Option<Object> {
    let identity = identity(&known);
    let mut fields = BTreeMap::new();
    for (name, known) in known {
        if let Some(unknown) = stored.remove(&name).and_then(|stored| unknown_within(stored, known)) {
            fields.insert(name, unknown);
        }
    }
    for (name, stored) in stored {
        fields.insert(name, Unknown::Field(stored.get().to_owned()));
    }
    (!fields.is_empty()).then_some(Object { identity, fields })
}

fn unknown_within(stored: &RawValue, known: &RawValue) -> Option<Unknown> {
    if stored.get() == known.get() {
        return None;
    }
    if let (Some(stored), Some(known)) = (parsed::<Fields<'_>>(stored), parsed::<Fields<'_>>(known)) {
        return unknown_of(stored, known).map(Unknown::Within);
    }
    let (stored, known) = (parsed::<Vec<&RawValue>>(stored)?, parsed::<Vec<&RawValue>>(known)?);
    let pairs = stored.into_iter().zip(known);
    let elements = pairs.filter_map(|(stored, known)| match unknown_within(stored, known)? {
        Unknown::Within(object) => Some((known.get().to_owned(), object)),
        Unknown::Field(_) | Unknown::Elements(_) => None,
    });
    Some(elements.collect::<Vec<_>>()).filter(|found| !found.is_empty()).map(Unknown::Elements)
}

/// The object with what was unknown of it; none: it is another one, or no object.
fn merged(known: &str, unknown: &Object) -> Option<Box<RawValue>> {
    let fields: Fields<'_> = serde_json::from_str(known).ok()?;
    let mut merged: BTreeMap<&str, Cow<'_, RawValue>> = BTreeMap::new();
    for (name, value) in &fields {
        let value = match unknown.fields.get(name) {
            Some(Unknown::Within(object)) => merged_within(value, object),
            Some(Unknown::Elements(elements)) => merged_elements(value, elements),
            Some(Unknown::Field(_)) | None => None,
        }
        .map_or(Cow::Borrowed(*value), Cow::Owned);
        merged.insert(name, value);
    }
    for (name, value) in &unknown.fields {
        if let Unknown::Field(text) = value {
            let value = RawValue::from_string(text.clone()).ok()?;
            merged.entry(name).or_insert(Cow::Owned(value));
        }
    }
    serde_json::value::to_raw_value(&merged).ok()
}

fn merged_within(known: &RawValue, unknown: &Object) -> Option<Box<RawValue>> {
    let same = identity(&parsed(known)?) == unknown.identity;
    same.then(|| merged(known.get(), unknown)).flatten()
}

fn merged_elements(known: &RawValue, unknown: &[(String, Object)]) -> Option<Box<RawValue>> {
    let elements = parsed::<Vec<&RawValue>>(known)?;
    let merged: Vec<Cow<'_, RawValue>> = elements
        .into_iter()
        .map(|element| {
            let of_it = unknown.iter().find(|(known, _)| known == element.get());
            of_it
                .and_then(|(_, object)| merged(element.get(), object))
                .map_or(Cow::Borrowed(element), Cow::Owned)
        })
        .collect();
    serde_json::value::to_raw_value(&merged).ok()
}

fn identity(fields: &Fields<'_>) -> [Option<String>; IDENTITY.len()] {
    IDENTITY.map(|name| fields.get(name).map(|value| value.get().to_owned()))
}

fn parsed<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{EpochMillis, MisfirePolicy, Run, RunStatus, Task, User};

    fn task() -> Value {
        json!({
            "id": "00000000000000000000000000000001", "owner": "ann", "title": "Nightly", "kind": "ExecuteReport",
            "cron": {"minute": "0", "hour": "3", "dayOfMonth": "*", "month": "*", "dayOfWeek": "?"},
            "occurrences": 2, "generation": 1, "state": "active", "consecutiveFailures": 0, "created": 1,
            "updated": 1, "version": 4,
            "policies": {"misfire": {"kind": "runAll", "max": 3}, "overlap": "skip",
                         "retry": {"maxRetries": 0, "backoffMs": 0}, "crash": "atLeastOnce", "maxCrashes": 5,
                         "timeoutMs": null, "maxConsecutiveFailures": 5, "itemChanges": "pinned",
                         "allowUnknownParameters": false},
        })
    }

    fn run() -> Value {
        json!({
            "id": "00000000000000000000000000000001", "task": "00000000000000000000000000000001",
            "fire": "00000000000000000000000000000001", "kind": "ExecuteReport",
            "trigger": {"kind": "schedule", "generation": 1}, "planned": 1, "fired": "on_time",
            "status": {"kind": "executing", "lease": {"worker": "w"}}, "attempt": 1, "failures": 0,
            "crashes": 0, "created": 1,
            "artifacts": [{"name": "a", "contentType": "text/plain", "size": 1, "location": "x"},
                          {"name": "b", "contentType": "text/plain", "size": 2, "location": "y"}],
        })
    }

    fn read<T: Record>(value: &Value) -> T {
        from_json(value.to_string().as_bytes()).expect("it is such a record")
    }

    fn written<T: Record>(record: &T) -> Value {
        serde_json::from_str(&to_json(record)).expect("it is JSON")
    }

    #[test]
    fn a_record_of_this_version_has_nothing_unknown_whatever_the_order_of_its_fields() {
        let task: Task = read(&task());
        assert!(task.unknown.is_empty());
        let again: Task = from_json(to_json(&task).as_bytes()).expect("it was written as such");
        assert_eq!(again, task);
        // As an earlier version wrote it, without what came later.
        let mut earlier = run();
        earlier.as_object_mut().expect("an object").remove("artifacts");
        assert!(read::<Run>(&earlier).unknown.is_empty());
    }

    #[test]
    fn what_is_unknown_is_written_again_to_the_letter_beside_what_changed() {
        let mut stored = task();
        stored["timeZone"] = json!("Europe/Berlin");
        stored["policies"]["jitter"] = json!({"kind": "uniform", "ms": [1, 2.50, null]});
        stored["cron"]["second"] = json!("0");
        let text = stored.to_string().replace("2.5,", "2.50,").replace("\"0\"}", "18446744073709551616000}");
        let mut task: Task = from_json(text.as_bytes()).expect("a task");
        task.title = "Daily".to_owned();
        task.policies.max_crashes = 7;
        let text = to_json(&task);
        for expected in ["\"timeZone\":\"Europe/Berlin\"", "2.50,null", "18446744073709551616000", "Daily"] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert_eq!(written(&task)["policies"]["maxCrashes"], 7);
        assert_eq!(from_json::<Task>(text.as_bytes()).expect("a task").unknown, task.unknown);
    }

    #[test]
    fn a_value_that_took_anothers_place_does_not_get_what_was_unknown_of_that() {
        let mut stored = task();
        stored["policies"]["misfire"]["spread"] = json!(true);
        let mut task: Task = read(&stored);
        task.policies.misfire = MisfirePolicy::RunAll { max: 9 };
        assert_eq!(
            written(&task)["policies"]["misfire"],
            json!({"kind": "runAll", "max": 9, "spread": true})
        );
        task.policies.misfire = MisfirePolicy::RunLatest;
        assert_eq!(written(&task)["policies"]["misfire"], json!({"kind": "runLatest"}));
    }

    #[test]
    fn leases_and_artifacts_keep_theirs_as_long_as_they_are_the_same() {
        let mut stored = run();
        stored["status"]["lease"]["session"] = json!(5);
        stored["artifacts"][1]["digest"] = json!("f00");
        let mut run: Run = read(&stored);
        run.failures = 1;
        run.artifacts.remove(0);
        run.artifacts.push(run.artifacts[0].clone());
        run.artifacts[1].size = 3;
        let now = written(&run);
        assert_eq!(now["status"]["lease"], json!({"worker": "w", "session": 5}));
        assert_eq!(
            (&now["artifacts"][0]["digest"], &now["artifacts"][1]["digest"]),
            (&json!("f00"), &Value::Null)
        );
        run.status = RunStatus::Queued { due: EpochMillis(1) };
        assert_eq!(written(&run)["status"], json!({"kind": "queued", "due": 1}));
    }

    #[test]
    fn a_known_field_is_never_taken_for_an_unknown_one() {
        let stored = json!({"name": "ann", "role": "admin", "passwordHash": "h", "created": 1, "lastLogin": null,
                            "disabled": null, "color": "red"});
        let mut user: User = read(&stored);
        user.disabled = Some(EpochMillis(4));
        let now = written(&user);
        assert_eq!((&now["disabled"], &now["color"], &now["epoch"]), (&json!(4), &json!("red"), &json!(0)));
        assert_eq!(to_json(&user).matches("disabled").count(), 1);
    }

    #[test]
    fn a_value_that_is_unknown_makes_the_record_unreadable() {
        let mut stored = task();
        stored["state"] = json!("dormant");
        assert!(from_json::<Task>(stored.to_string().as_bytes()).is_err());
    }
}
