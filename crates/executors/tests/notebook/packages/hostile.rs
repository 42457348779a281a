//! Packages whose build attacks: it gets no further than a notebook, in each kind of isolation and whoever the worker is.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use isochrone_domain::AttemptEnd;
use isochrone_executors::notebook::{Config, Destination, Isolation};
use serde_json::{Value, json};

use super::fixture::{
    Fixture, bench, cells, logged, other_worker, pinned_wheels, uv, wait_until, with_requirements,
};
use crate::bench::{Bench, Outcome, alive, unique};
use crate::stages::Stage;

/// What a build tries, and a notebook.
const ATTEMPTS: &str = include_str!("hostile.py");

/// Ports of whoever asks for any begin above; Landlock lets notebooks connect to those of their own servers.
const NOT_EPHEMERAL: std::ops::Range<u16> = 20_000..30_000;

/// A server that greets and counts who came.
struct Greeter {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Greeter {
    fn new(listener: TcpListener) -> Greeter {
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                drop(stream.write_all(b"reached"));
            }
        });
        Greeter { port, connections }
    }

    fn ephemeral() -> Greeter {
        Greeter::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    fn not_ephemeral() -> Greeter {
        let mut ports = NOT_EPHEMERAL;
        let listener = ports.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
        Greeter::new(listener.expect("some port is free"))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A fixture with the hostile package, and who must not be reached.
struct Attack {
    fixture: Fixture,
    mark: String,
    own: Greeter,
    beside: Greeter,
    closed: Greeter,
    attempts: String,
}

impl Attack {
    fn new(lingers: bool) -> Attack {
        let (fixture, mark) = (Fixture::new(), unique());
        fs::write(fixture.path("canary"), "secret").unwrap();
        let other = fixture.path("environments").join("0".repeat(32)).join("env/bin");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("python"), "another's").unwrap();
        let (own, beside, closed) = (Greeter::ephemeral(), Greeter::ephemeral(), Greeter::not_ephemeral());
        let attempts = format!(
            "FIXTURE, WORKER, MARK, LINGERS = {:?}, {}, {mark:?}, {}\n\
             OWN_SERVER, SERVER, CLOSED_PORT = {}, {}, {}\n{ATTEMPTS}",
            fixture.path("").to_str().unwrap().trim_end_matches('/'),
            std::process::id(),
            if lingers { "True" } else { "False" },
            own.port,
            beside.port,
            closed.port
        );
        fixture.sources("hostile", &attempts);
        Attack { fixture, mark, own, beside, closed, attempts }
    }

    fn config(&self, isolation: Isolation) -> Config {
        let packages = vec!["hostile".to_owned()];
        let mut config = Config { packages, isolation, allow_source_builds: true, ..self.fixture.config() };
        // What all notebooks have is no business of a build's.
        config.environment.insert("CANARY".to_owned(), "a notebook's".to_owned());
        config
    }

    /// A notebook that tells what was found as it was built, and tries the same.
    fn bench(&self, isolation: Isolation) -> Bench {
        let tell = "import json, os, hostile\nprint('built', json.dumps(hostile.FOUND))\n\
                    print('executed', json.dumps(tried()))";
        // It asks for the package itself.
        let config = Config { packages: Vec::new(), item_requirements: true, ..self.config(isolation) };
        let mut bench = bench(&config, with_requirements(&json!(["hostile"]), &[&self.attempts, tell]));
        bench.own = Destination::of_servers(&format!("redis://127.0.0.1:{}", self.own.port));
        bench
    }
}

async fn gets_no_further_than_a_notebook(isolation: Isolation) -> Outcome {
    let attack = Attack::new(false);
    let outcome = attack.bench(isolation).run().await;
    outcome.result();
    let found = |what: &str| -> Value {
        let line = outcome.log.iter().find_map(|(_, line)| line.strip_prefix(what));
        serde_json::from_str(line.expect("it says what it found")).unwrap()
    };
    let (built, executed) = (found("built "), found("executed "));
    assert_eq!(built, executed, "{isolation:?}: a build is no more than a notebook");
    for (attempt, ended) in built.as_object().unwrap() {
        let of_the_machine = attempt == "a server of the machine" && isolation == Isolation::Landlock;
        assert!(ended == "refused" || of_the_machine, "{isolation:?}: {attempt}: {ended}");
    }
    assert_eq!((attack.own.connections(), attack.closed.connections()), (0, 0), "{isolation:?}");
    assert!(isolation == Isolation::Landlock || attack.beside.connections() == 0);
    // What it started is dead, in sessions of their own or not.
    assert_eq!(alive(&attack.mark), Vec::<String>::new(), "{isolation:?}");
    assert_eq!(attack.fixture.environments().len(), 1);
    assert_eq!(attack.fixture.builds(), Vec::<std::path::PathBuf>::new());
    outcome
}

#[tokio::test]
async fn a_build_gets_no_further_than_a_notebook() {
    gets_no_further_than_a_notebook(Isolation::Bwrap).await;
}

#[tokio::test]
async fn a_build_gets_no_further_than_a_notebook_under_landlock() {
    gets_no_further_than_a_notebook(Isolation::Landlock).await;
}

/// uv is on the search path there, out of a folder of root's.
#[tokio::test]
#[ignore = "another test starts it on a stage"]
async fn on_a_stage() {
    let both = [Isolation::Landlock, Isolation::Bwrap];
    // Who is root there has been tried in bwrap, but for uv.
    let tiers = if Stage::of_this_process().root { &both[..1] } else { &both[..] };
    for isolation in tiers {
        let outcome = gets_no_further_than_a_notebook(*isolation).await;
        assert!(outcome.log.iter().any(|(_, line)| line.starts_with("uv 0.")), "{:?}", outcome.log);
        assert!(!logged(&outcome, &["pip tries"]), "{:?}", outcome.log);
    }
    a_closed_folder_around_environments_stays_closed().await;
}

/// Runs may have users of their own there, who can't pass through it: they are executed as the worker, then.
async fn a_closed_folder_around_environments_stays_closed() {
    let fixture = Fixture::new();
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(fixture.path(""), closed).unwrap();
    bench(&fixture.config(), cells(&["1"])).run().await.result();
    assert_eq!(fs::metadata(fixture.path("")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fixture.environments().len(), 1);
}

fn on_stage(stage: Stage) {
    let (wheels, uv) = (pinned_wheels(), uv());
    stage.run_with("packages::hostile::on_a_stage", &[&wheels, uv.parent().unwrap()]);
}

#[test]
fn a_build_of_another_user_gets_no_further_than_a_notebook() {
    on_stage(Stage { root: false, cgroups: false });
}

/// There each build has a user of its own.
#[test]
fn a_build_of_root_without_cgroups_gets_no_further_than_a_notebook() {
    on_stage(Stage { root: true, cgroups: false });
}

#[tokio::test]
async fn sources_are_built_only_where_that_is_allowed() {
    let attack = Attack::new(false);
    let config = Config { allow_source_builds: false, ..attack.config(Isolation::Auto) };
    let refused = bench(&config, cells(&["1"])).run().await;
    let AttemptEnd::SubmitFailed { result, .. } = &refused.end else { panic!("{:?}", refused.end) };
    assert!(result.contains("hostile") && result.contains("[notebook] allow_source_builds"), "{result}");
    assert!(attack.fixture.environments().is_empty());
}

#[tokio::test]
async fn a_killed_workers_build_leaves_no_process_and_no_environment() {
    for isolation in [Isolation::Bwrap, Isolation::Landlock] {
        let attack = Attack::new(true);
        let mut worker = other_worker(&attack.config(isolation), "1", None);
        wait_until("it has left its processes", || alive(&attack.mark).len() >= 2).await;
        worker.kill().unwrap();
        worker.wait().unwrap();
        wait_until("nothing of it is alive", || alive(&attack.mark).is_empty()).await;
        assert!(attack.fixture.environments().is_empty(), "{isolation:?}");
    }
}
