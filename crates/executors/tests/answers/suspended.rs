//! A store that falls silent while a server has a submission and has not answered: the answer is awaited, what it says is
//! stored when the store is back, and the server is asked nothing in between.

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::AttemptEnd;
use isochrone_worker::{Attempt, BootTime, NotKept, Report, Trust};
use object_store::memory::InMemory;
use tokio::sync::{mpsc, watch};

use crate::row::{Protocol, TIMEOUT, defaults, executor, run};
use crate::server::{Asked, Reply, Script, ScriptedServer, json, reply};

const ALL: [Asked; 7] =
    [Asked::Submit, Asked::Look, Asked::Results, Asked::Describe, Asked::List, Asked::Owner, Asked::Steer];

/// The server takes a second to answer a submission.
const AT_WORK_MS: u64 = 1_000;

async fn goes_on(protocol: Protocol, begun: Reply, done: Reply) {
    let mut script = Script::new();
    script.insert(Asked::Submit, vec![Reply::Late(AT_WORK_MS, Box::new(begun))]);
    script.insert(Asked::Look, vec![done]);
    if protocol == Protocol::Geoprocessing {
        script
            .insert(Asked::Describe, vec![json(200, r#"{"executionType":"esriExecutionTypeAsynchronous"}"#)]);
    }
    let server = ScriptedServer::start(defaults(script)).await;
    let (executor, task) = executor(protocol, &server.url, TIMEOUT, None);
    let (trust, until) = watch::channel(BootTime::now() + Duration::from_mins(5));
    let trusted = Trust::new(until, Duration::from_mins(10));
    let (reports, mut received) = mpsc::channel(64);
    let (handles, mut handle) = watch::channel(None);
    let store = trusted.clone();
    tokio::spawn(async move {
        while let Some(report) = received.recv().await {
            if let Report::Checkpoint(handle, answer) = report {
                let away = store.is_over();
                if !away {
                    handles.send_replace(Some(handle));
                }
                let kept = if away { Err(NotKept::Storage("it is away".to_owned())) } else { Ok(()) };
                drop(answer.send(kept));
            }
        }
    });
    let (_stop, stopped) = watch::channel(None);
    let attempt = Attempt::new(task, run(executor.kind()), Arc::new(InMemory::new()), reports, stopped)
        .with_trust(trusted);
    let working = tokio::spawn(async move { executor.execute(&attempt).await });
    let submitted = async {
        while server.asked(Asked::Submit) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), submitted).await.unwrap();
    trust.send_replace(BootTime::now());
    let asked = || ALL.map(|what| server.asked(what));
    let (before, noted) = (asked(), handle.borrow_and_update().clone());
    // It has answered by then, and a job would have been looked at.
    tokio::time::sleep(Duration::from_millis(AT_WORK_MS * 3)).await;
    assert_eq!(asked(), before, "{protocol:?}: the server is asked nothing");
    assert_eq!(*handle.borrow(), noted, "{protocol:?}");
    assert!(!working.is_finished(), "{protocol:?}");
    trust.send_replace(BootTime::now() + Duration::from_mins(5));
    let end = tokio::time::timeout(Duration::from_secs(30), working).await.unwrap().unwrap();
    assert!(matches!(end, AttemptEnd::Succeeded { .. }), "{protocol:?}: {end:?}");
    assert_eq!(server.asked(Asked::Submit), 1, "{protocol:?}: it is not begun again");
    let stored = handle.borrow().clone();
    assert!(stored.is_some() && stored != noted, "{protocol:?}: {stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_has_left_is_awaited_and_nothing_else_is_asked() {
    isochrone_arcgis::choose_cryptography();
    let accepted = r#"{"jobID":"7","type":"process","status":"accepted"}"#;
    tokio::join!(
        goes_on(
            Protocol::Ogc,
            reply(201, &["Location: /ogc/jobs/7", "Content-Type: application/json"], accepted),
            json(200, r#"{"jobID":"7","status":"successful"}"#)
        ),
        goes_on(
            Protocol::Plain,
            reply(202, &["Location: /api/jobs/7"], ""),
            json(200, r#"{"status":"succeeded","result":{"pages":3}}"#)
        ),
        goes_on(
            Protocol::Geoprocessing,
            json(200, r#"{"jobId":"j1","jobStatus":"esriJobSubmitted"}"#),
            json(200, r#"{"jobId":"j1","jobStatus":"esriJobSucceeded","messages":[],"results":{}}"#)
        ),
    );
}
