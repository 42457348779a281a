//! The fleet's store: the conformance suite, and what only it promises.

#![allow(clippy::unwrap_used)] // Tests, and what they share.

mod conformance;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance::Fresh;
use conformance::ledger::EVER;
use conformance::world::{LONG, SHORT, World, entry, kept, plan, succeeded};
use isochrone_domain::{Action, EpochMillis, LogLine, LogStream, OverlapPolicy, Run};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{Clock, RunFilter, Saved, Store, StoreError, TaskStore};
use isochrone_testkit::{Proxy, RedisCluster, RedisSentinel, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

/// One server for all tests; it ends with this process.
static SERVER: OnceCell<RedisServer> = OnceCell::const_new();

async fn shared_url() -> String {
    SERVER.get_or_init(async || RedisServer::start().await.unwrap()).await.url()
}

/// Keys that nobody else uses.
fn own_keys() -> Options {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    Options { prefix, ..Options::default() }
}

/// Each store has a key prefix of its own.
struct OneServer;

impl Fresh for OneServer {
    async fn store(&self, clock: Clock) -> Arc<dyn Store> {
        let options = Options { clock, ..own_keys() };
        Arc::new(RedisStore::open(&shared_url().await, options).await.unwrap())
    }
}

store_conformance!(OneServer);

/// The same suite on a cluster of three servers.
mod cluster {
    use super::*;

    static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();

    pub(super) struct ThreeServers;

    impl Fresh for ThreeServers {
        async fn store(&self, clock: Clock) -> Arc<dyn Store> {
            let cluster = CLUSTER.get_or_init(async || RedisCluster::start().await.unwrap()).await;
            let options = Options { clock, ..own_keys() };
            Arc::new(RedisStore::open(&cluster_url(cluster), options).await.unwrap())
        }
    }

    store_conformance!(ThreeServers);
}

fn cluster_url(cluster: &RedisCluster) -> String {
    format!("redis+cluster://{}", hosts(&cluster.urls()))
}

/// `host:port,host:port` of plain URLs.
fn hosts(urls: &[String]) -> String {
    let host = |url: &String| url.trim_start_matches("redis://").trim_end_matches('/').to_owned();
    urls.iter().map(host).collect::<Vec<_>>().join(",")
}

async fn open(server: &RedisServer) -> RedisStore {
    RedisStore::open(&server.url(), Options::default()).await.unwrap()
}

/// The error of an opening that must not succeed.
async fn refusal(url: &str, options: Options) -> StoreError {
    match RedisStore::open(url, options).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// Asks until the store answers: it finds its server again by itself.
async fn until_it_answers(world: &World) -> Duration {
    let start = Instant::now();
    loop {
        match world.now().await {
            Ok(_) => return start.elapsed(),
            Err(error) => assert!(start.elapsed() < Duration::from_secs(40), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whatever was acknowledged before SIGKILL is there after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_what_it_acknowledged_through_a_kill() {
    let mut server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let task = world.add(|task| task.policies.overlap = OverlapPolicy::Allow).await.id;
    let first = world.fire(task).await.pop().expect("a fire was due").id;
    world.claimed(first, LONG).await;
    let line = LogLine { at: EpochMillis(1), stream: LogStream::Stdout, text: "hello".to_owned() };
    kept(world.append_log(first, 1, 0, std::slice::from_ref(&line)).await.unwrap());
    let asking = (0..4).map(|_| {
        let world = world.clone();
        tokio::spawn(async move {
            let mut acknowledged: Vec<Run> = Vec::new();
            loop {
                let asked = ask_for_a_run(&world, task).await;
                match asked {
                    Ok(run) => acknowledged.extend(run),
                    Err(_) => return acknowledged,
                }
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    while world.unfinished(task).await.unwrap() < 50 {
        tokio::task::yield_now().await;
    }
    server.kill().unwrap();
    let mut acknowledged = Vec::new();
    for asker in asking {
        acknowledged.extend(asker.await.unwrap());
    }
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    assert!(matches!(world.now().await, Err(StoreError::Unavailable(_))));

    server.restart().await.unwrap();
    let took = until_it_answers(&world).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    for run in &acknowledged {
        assert_eq!(world.read_run(run.id).await, *run);
    }
    assert_eq!(world.log(first, conformance::world::ALL).await.unwrap().rows, [line]);
    kept(world.finish(first, 1, succeeded(), Vec::new()).await.unwrap());
    // Each run that is there was counted, and has its row: nothing was done by halves.
    let task = world.read_task(task).await;
    let ledger = world.fires(Some(task.id), EVER).await.unwrap();
    let ran = ledger.iter().filter(|row| row.outcome.is_none_or(|end| end.1 != row.reason)).count() as u64;
    assert_eq!(task.occurrences, ran);
    let open = RunFilter { ended: Some(false), ..RunFilter::default() };
    assert_eq!(world.runs(&open, conformance::world::ALL).await.unwrap().total, ran - 1);
}

/// None: somebody else was faster.
async fn ask_for_a_run(
    world: &World,
    task: isochrone_domain::TaskId,
) -> isochrone_store::Result<Option<Run>> {
    let read = world.task(task).await?.expect("the task is there");
    let nonce = *isochrone_domain::TaskId::random().as_bytes();
    let now = world.now().await?;
    let (changed, run) = isochrone_domain::plan_request(&read, 0, "ann", nonce, now).expect("no limit");
    let saved = world.commit_request(changed, run.clone(), entry(Action::RunTask, task)).await?;
    Ok((saved == Saved::Done).then_some(run))
}

/// Two processes of a fleet, each with its own store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_stores_one_fires() {
    let options = own_keys();
    let url = shared_url().await;
    let one = World(Arc::new(RedisStore::open(&url, options.clone()).await.unwrap()));
    let two = World(Arc::new(RedisStore::open(&url, options).await.unwrap()));
    for _ in 0..20 {
        let mut tasks = Vec::new();
        for _ in 0..5 {
            tasks.push(one.add(|_| {}).await);
        }
        let now = one.now().await.unwrap();
        let commits: Vec<_> = tasks.iter().map(|task| plan(task, 0, now)).collect();
        let (mine, theirs) = tokio::join!(one.commit_fires(commits.clone()), two.commit_fires(commits));
        for (mine, theirs) in mine.unwrap().into_iter().zip(theirs.unwrap()) {
            let answers = [mine, theirs];
            assert!(
                answers == [Saved::Done, Saved::Repeated] || answers == [Saved::Repeated, Saved::Done],
                "{answers:?}"
            );
        }
        for task in tasks {
            assert_eq!(two.read_task(task.id).await.occurrences, 1);
        }
    }
}

/// A server that stops answering without closing its connection is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaves_a_connection_that_went_silent() {
    let server = RedisServer::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let url = format!("redis://{}/", proxy.address());
    let world = World(Arc::new(RedisStore::open(&url, Options::default()).await.unwrap()));
    let run = world.some_run().await;
    proxy.drop_connections();
    until_it_answers(&world).await;
    proxy.blackhole();
    let start = Instant::now();
    let silent = world.run(run.id).await;
    assert!(matches!(silent, Err(StoreError::Unavailable(_))), "{silent:?}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    proxy.heal();
    proxy.drop_connections();
    until_it_answers(&world).await;
    assert_eq!(world.read_run(run.id).await, run);
}

/// The script is forgotten by a server that was flushed or started anew.
#[tokio::test]
async fn brings_its_script_to_a_server_that_forgot_it() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    world.some_run().await;
    server.command("SCRIPT FLUSH").await.unwrap();
    let run = world.some_run().await;
    world.carried_out(run.id, succeeded()).await;
}

#[tokio::test]
async fn follows_the_sentinels_to_another_master() {
    let mut servers = RedisSentinel::start().await.unwrap();
    let url = format!("redis+sentinel://{}/{}", hosts(&servers.sentinel_urls()), RedisSentinel::SERVICE);
    let world = World(Arc::new(RedisStore::open(&url, Options::default()).await.unwrap()));
    let run = world.some_run().await;
    // Else the replica may not have it: Redis answers before its replicas have a write.
    let deadline = Instant::now() + Duration::from_secs(10);
    while servers.replica.command("DBSIZE").await.unwrap() != servers.master.command("DBSIZE").await.unwrap()
    {
        assert!(Instant::now() < deadline, "the replica follows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    servers.master.kill().unwrap();
    until_it_answers(&world).await;
    assert_eq!(world.read_run(run.id).await, run);
    world.carried_out(run.id, succeeded()).await;

    let wrong = format!("redis+sentinel://{}/another", hosts(&servers.sentinel_urls()));
    let error = refusal(&wrong, Options::default()).await.to_string();
    assert!(error.contains("name"), "{error}");
}

#[tokio::test]
async fn refuses_settings_that_lose_what_was_acknowledged() {
    for (setting, value) in
        [("appendonly", "no"), ("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru")]
    {
        let server = RedisServer::start_with(&[(setting, value)]).await.unwrap();
        let StoreError::Config(problem) = refusal(&server.url(), Options::default()).await else {
            panic!("it is the configuration")
        };
        assert!(problem.contains(&format!("`{setting}` is `{value}`")), "{problem}");
        assert!(problem.contains("CONFIG SET"), "it says how to change it: {problem}");
        let weak = Options { allow_weak_durability: true, ..Options::default() };
        World(Arc::new(RedisStore::open(&server.url(), weak).await.unwrap())).some_run().await;
    }
}

#[tokio::test]
async fn says_what_is_wrong_and_no_password() {
    let server = RedisServer::start().await.unwrap();
    assert_eq!(server.command("CONFIG SET requirepass right-secret").await.unwrap(), "OK");
    let address = server.address();
    let right = format!("redis://:right-secret@{address}/");
    World(Arc::new(RedisStore::open(&right, own_keys()).await.unwrap())).some_run().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let web = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let old = answering_as_redis("5.0.7").await;
    for (url, expected) in [
        (format!("redis://:wrong-secret@{address}/"), "refused the user name or the password"),
        (format!("redis://ann:wrong-secret@{address}/"), "refused the user name or the password"),
        (format!("redis://{address}/"), "asks for a password"),
        (format!("redis://:wrong-secret@{nobody}/"), "connection refused"),
        (format!("redis://:wrong-secret@{web}/"), "not a Redis server"),
        (format!("redis+cluster://:right-secret@{address}"), "no cluster"),
        (format!("redis+cluster://:wrong-secret@{address}"), "refused the user name or the password"),
        (format!("redis://{old}/"), "5.0.7 is too old: 6.2"),
        (format!("redis://:wrong-secret@{address}/x"), "can't be read"),
    ] {
        let error = refusal(&url, own_keys()).await.to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("secret") && !error.contains('\n'), "{url}: {error}");
    }
    let braces = Options { prefix: "a{b}".to_owned(), ..Options::default() };
    assert!(refusal(&right, braces).await.to_string().contains("prefix"));
}

/// The certificates in `tests/tls` are for these tests only, and valid for a hundred years.
#[tokio::test]
async fn speaks_tls() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let file = |name: &str| folder.join(name).to_str().expect("a path in UTF-8").to_owned();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let server = RedisServer::start_with(&[
        ("tls-port", &port.to_string()),
        ("tls-cert-file", &file("server.pem")),
        ("tls-key-file", &file("server.key")),
        ("tls-ca-cert-file", &file("ca.pem")),
        ("tls-auth-clients", "no"),
    ])
    .await
    .unwrap();
    let url = format!("rediss://127.0.0.1:{port}/");
    let trusting = Options { ca_file: Some(folder.join("ca.pem")), ..Options::default() };
    let world = World(Arc::new(RedisStore::open(&url, trusting.clone()).await.unwrap()));
    world.some_run().await;
    // An authority that nobody trusts, a server without TLS, and a client without it.
    let plain = server.address();
    for (url, options, expected) in [
        (url.clone(), Options::default(), "certificate"),
        (format!("rediss://{plain}/"), trusting, "TLS"),
        (format!("redis://127.0.0.1:{port}/"), Options::default(), "TLS"),
    ] {
        let error = refusal(&url, options).await.to_string();
        assert!(error.contains(expected), "{url}: {error}");
    }
    let missing = Options { ca_file: Some(folder.join("none.pem")), ..Options::default() };
    assert!(refusal(&url, missing).await.to_string().contains("none.pem"));
}

/// What says this to everybody.
async fn answering(text: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let _read = peer.read(&mut [0; 1_024]).await;
            peer.write_all(text).await.unwrap();
        }
    });
    address
}

/// What answers as a Redis of this version would, as far as it is asked before anything is done.
async fn answering_as_redis(version: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let info = format!("# Server\r\nredis_version:{version}\r\n");
            let mut buffer = [0; 4_096];
            while let Ok(length @ 1..) = peer.read(&mut buffer).await {
                // Each command is an array, which begins with a star.
                for command in String::from_utf8_lossy(&buffer[..length]).split('*').skip(1) {
                    let answer = if command.contains("INFO\r\n") && !command.contains("SETINFO") {
                        format!("${}\r\n{info}\r\n", info.len())
                    } else {
                        "+OK\r\n".to_owned()
                    };
                    peer.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        }
    });
    address
}

/// A fleet's machine whose clock is wrong goes by Redis's, and says how far it is off.
#[tokio::test]
async fn goes_by_the_clock_of_redis() {
    let store = RedisStore::open(&shared_url().await, own_keys()).await.unwrap();
    assert!(store.clock_ahead_ms().abs() < 500, "both are on this machine: {}", store.clock_ahead_ms());
    let off = store.now().await.unwrap().since(store.clock().now());
    assert!(off.abs() < 500, "{off}");
    let ahead = Clock::SYSTEM.ahead(60_000);
    let off = ahead.now().since(Clock::SYSTEM.now());
    assert!((60_000..60_500).contains(&off), "{off}");
    assert!(ahead.until(Clock::SYSTEM.now() + Duration::from_mins(1)) <= Duration::from_millis(500));
}

/// One record that can't be read stops nothing but itself.
#[tokio::test]
async fn a_damaged_record_stops_no_other() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let (good, bad) = (world.add(|_| {}).await, world.add(|_| {}).await);
    let (running, damaged) = (world.some_run().await, world.some_run().await);
    for run in [&running, &damaged] {
        world.claimed(run.id, SHORT).await;
    }
    let key = |kind: &str, id: String, first: u8| format!("isochrone:{{iso:{:02}}}:{kind}:{id}", first & 63);
    for key in [
        key("task", bad.id.to_string(), bad.id.as_bytes()[0]),
        key("run", damaged.id.to_string(), damaged.id.as_bytes()[0]),
    ] {
        assert_eq!(server.command(&format!("HSET {key} b nonsense")).await.unwrap(), "0", "{key}");
    }
    let corrupt = world.task(bad.id).await;
    assert!(matches!(corrupt, Err(StoreError::Corrupt(_))), "{corrupt:?}");
    let now = world.now().await.unwrap();
    let due = async |moment| -> Vec<_> {
        let due = world.due_tasks(moment, 10).await.unwrap();
        due.into_iter().map(|due| due.task.id).collect()
    };
    assert!(due(now).await.contains(&good.id));
    world.reach(now + SHORT * 2).await;
    let now = world.now().await.unwrap();
    let reaped = world.reap(now, 10).await.unwrap();
    assert_eq!(reaped.iter().map(|run| run.id).collect::<Vec<_>>(), [running.id]);
    assert_eq!(world.reap(now, 10).await.unwrap(), []);
    // They are put off, not looked at all the time.
    for task in due(now).await {
        let read = world.read_task(task).await;
        let commit = plan(&read, 1, now);
        assert_eq!(world.commit_fires(vec![commit]).await.unwrap(), [Saved::Done]);
    }
    for message in world.outbox().await {
        world.mark_published(&[message]).await.unwrap();
    }
    let wake = world.next_wake().await.unwrap().expect("there is something to do");
    assert!(wake > now, "{wake}");
    let listed = world.runs(&RunFilter::default(), conformance::world::ALL).await.unwrap();
    assert!(listed.rows.iter().any(|run| run.id == running.id));
}

/// A deletion that was cut short is finished by whoever reaps.
#[tokio::test]
async fn finishes_a_deletion_that_was_cut_short() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let task = world.add_queueing().await;
    let runs = [world.request(task.id).await, world.request(task.id).await];
    // As the first step leaves it.
    let home = format!("isochrone:{{iso:{:02}}}", task.id.as_bytes()[0] & 63);
    for command in [
        format!("DEL {home}:task:{}", task.id),
        format!("ZREM {home}:due {}", task.id),
        format!("HSET {home}:graves {} 1", task.id),
    ] {
        assert_eq!(server.command(&command).await.unwrap(), "1", "{command}");
    }
    let claim = world.claim(runs[0].id, "w", LONG).await.unwrap();
    assert_eq!(claim, isochrone_store::Claim::Refused(isochrone_store::Refusal::Deleted));
    assert_eq!(world.reap(world.now().await.unwrap(), 10).await.unwrap(), []);
    for run in runs {
        assert_eq!(world.run(run.id).await.unwrap(), None);
    }
    assert_eq!(world.outbox().await, []);
    assert!(world.fires(None, EVER).await.unwrap().iter().all(|row| row.outcome.is_some()));
    // Its id is free again.
    let again = world.insert_task(&task, entry(Action::CreateTask, task.id)).await.unwrap();
    assert_eq!(again, Saved::Done);
    assert_eq!(world.unfinished(task.id).await.unwrap(), 0);
}

/// More than are removed in one step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_a_task_with_many_runs() {
    let server = RedisServer::start().await.unwrap();
    let world = World(Arc::new(open(&server).await));
    let task = world.add_queueing().await.id;
    for _ in 0..250 {
        world.request(task).await;
    }
    assert!(world.delete_task(task, entry(Action::DeleteTask, task)).await.unwrap());
    assert_eq!(world.runs(&RunFilter::default(), conformance::world::ALL).await.unwrap().total, 0);
    let fires = world.fires(Some(task), EVER).await.unwrap();
    assert_eq!(fires.len(), 250);
    assert!(fires.iter().all(|row| row.outcome.is_some()));
    // Nothing is left but ledger and log: their rows, their indexes, the counter of tasks.
    let keys: usize = server.command("DBSIZE").await.unwrap().trim_start_matches(':').parse().unwrap();
    assert_eq!(keys, 250 + 3 + 1);
}

/// With many tasks the earliest of all shards come first, whatever the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_its_shards_in_order() {
    let options = own_keys();
    let world = World(Arc::new(RedisStore::open(&shared_url().await, options).await.unwrap()));
    let now = world.now().await.unwrap();
    let mut expected = Vec::new();
    for number in 0..300_u32 {
        let due = now - Duration::from_millis(u64::from(1 + number * 7_919 % 300));
        // Half of them are in one shard.
        let id = if number % 2 == 0 { Some([7; 16]) } else { None };
        let task = world.add(|task| {
            task.next_fire = Some(due);
            if let Some(mut bytes) = id {
                bytes[8..12].copy_from_slice(&number.to_be_bytes());
                task.id = isochrone_domain::TaskId::from_bytes(bytes);
            }
        });
        expected.push((due, task.await.id));
    }
    expected.sort_unstable();
    for limit in [1, 10, 100, 299, 1_000] {
        let due = world.due_tasks(now, limit).await.unwrap();
        let found: Vec<_> = due.iter().map(|due| (due.task.next_fire.unwrap(), due.task.id)).collect();
        let wanted = &expected[..expected.len().min(limit as usize)];
        assert_eq!(found, wanted, "limit {limit}");
    }
}
