//! What reads strangers' bytes, for the fuzz targets in `crates/testkit/fuzz`: each of these must not panic, whatever it
//! is given, and what it reads must keep its promises. Their corpora are replayed in the tests.

use futures::FutureExt;
use isochrone_domain::{EpochMillis, Limits, Policies, Submission, TaskId, accept, edit};

use crate::native;
use crate::request::{Parameters, parameters_of_multipart, parameters_of_query};
use crate::tasks::fields;

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
    }
}
