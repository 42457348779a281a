//! What servers really answer, and how the run ends: a table for each protocol, through the real executors, against a
//! server on loopback that counts what it was asked to begin.

#![allow(clippy::unwrap_used)]

mod arcgis;
mod http;
mod interrupted;
mod ogc;
mod plain;
mod row;
mod server;
mod suspended;

use std::sync::Arc;
use std::time::Duration;

use row::Row;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Rows that are tried at a time.
const AT_A_TIME: usize = 200;
/// No row takes longer.
const LONGEST: Duration = Duration::from_secs(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_answer_has_its_end_and_what_was_taken_is_not_begun_again() {
    isochrone_arcgis::choose_cryptography();
    let rows: Vec<Row> =
        [ogc::rows(), plain::rows(), arcgis::rows(), http::rows()].into_iter().flatten().collect();
    let number = rows.len();
    assert!(number >= 120, "{number}");
    let (mut tried, room) = (JoinSet::new(), Arc::new(Semaphore::new(AT_A_TIME)));
    for row in rows {
        let room = Arc::clone(&room);
        tried.spawn(async move {
            let _permit = room.acquire_owned().await.unwrap();
            let name = row.name;
            match tokio::time::timeout(LONGEST, row.wrong()).await {
                Ok(wrong) => wrong,
                Err(_) => Some(format!("{name}: it took too long")),
            }
        });
    }
    let mut wrong = Vec::new();
    while let Some(row) = tried.join_next().await {
        wrong.extend(row.unwrap());
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {number} rows:\n{}", wrong.len(), wrong.join("\n"));
    println!("{number} answers");
}
