//! The lines of runs' logs.

use isochrone_domain::{AttemptEnd, EpochMillis, LogLine, LogStream, RunId};
use isochrone_store::Page;

use super::Fresh;
use super::world::{ALL, LONG, World, fence, kept};

fn lines(texts: &[&str]) -> Vec<LogLine> {
    let streams = [LogStream::Stdout, LogStream::Stderr, LogStream::System].into_iter().cycle();
    texts
        .iter()
        .zip(streams)
        .zip(1_000..)
        .map(|((text, stream), at)| LogLine { at: EpochMillis(at), stream, text: (*text).to_owned() })
        .collect()
}

async fn append(world: &World, run: RunId, attempt: u32, first: u64, texts: &[&str]) {
    kept(world.append_log(run, fence(attempt), first, &lines(texts)).await.unwrap());
}

async fn texts(world: &World, run: RunId, page: Page) -> Vec<String> {
    world.log(run, page).await.unwrap().rows.into_iter().map(|line| line.text).collect()
}

pub(crate) async fn keeps_lines_in_order(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (run, other) = (world.some_run().await.id, world.some_run().await.id);
    for run in [run, other] {
        world.claimed(run, LONG).await;
    }
    append(&world, run, 1, 0, &["a", "", "c"]).await;
    append(&world, other, 1, 0, &["x"]).await;
    append(&world, run, 1, 3, &["d \u{1F30D} \"'"]).await;
    let mut expected = lines(&["a", "", "c"]);
    expected.extend(lines(&["d \u{1F30D} \"'"]));
    assert_eq!(world.log(run, ALL).await.unwrap().rows, expected);
    assert_eq!(texts(&world, other, ALL).await, ["x"]);
    assert_eq!(world.log(RunId::random(), ALL).await.unwrap().total, 0);
}

pub(crate) async fn keeps_a_line_once(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    world.claimed(run, LONG).await;
    append(&world, run, 1, 0, &["a", "b"]).await;
    append(&world, run, 1, 0, &["a", "b"]).await;
    append(&world, run, 1, 1, &["other", "c"]).await;
    // A later part may come first.
    append(&world, run, 1, 4, &["e"]).await;
    append(&world, run, 1, 3, &["d"]).await;
    assert_eq!(texts(&world, run, ALL).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(world.log(run, ALL).await.unwrap().total, 5);
}

pub(crate) async fn joins_the_attempts(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    world.claimed(run, LONG).await;
    append(&world, run, 1, 0, &["first attempt"]).await;
    kept(world.finish(run, fence(1), AttemptEnd::GivenBack, Vec::new()).await.unwrap());
    world.claimed(run, LONG).await;
    append(&world, run, 2, 0, &["second attempt"]).await;
    assert_eq!(texts(&world, run, ALL).await, ["first attempt", "second attempt"]);
}

pub(crate) async fn pages_lines(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    world.claimed(run, LONG).await;
    let numbers: Vec<String> = (0..250).map(|number| number.to_string()).collect();
    let all: Vec<&str> = numbers.iter().map(String::as_str).collect();
    append(&world, run, 1, 0, &all).await;
    assert_eq!(texts(&world, run, Page { offset: 0, limit: 100 }).await, all[..100]);
    assert_eq!(texts(&world, run, Page { offset: 200, limit: 100 }).await, all[200..]);
    assert_eq!(texts(&world, run, Page { offset: 300, limit: 100 }).await, [""; 0]);
    assert_eq!(world.log(run, Page { offset: 300, limit: 100 }).await.unwrap().total, 250);
}
