//! `isochrone up`: portal, scheduler and worker in one process, on an embedded store and queue.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use isochrone_domain::{Role, TaskType};
use isochrone_queue::local::LocalQueue;
use isochrone_scheduler::Scheduler;
use isochrone_worker::{Worker, WorkerConfig, WorkerParts};
use rustix::process::DumpableBehavior;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::args::Up;
use crate::commands::user;
use crate::config::{Config, Loaded};
use crate::demo::Demo;
use crate::logging;
use crate::wiring::{self, House};

pub(crate) async fn run(loaded: &Loaded, up: &Up) -> Result<ExitCode> {
    let config = &loaded.config;
    let mut log = config.log.clone();
    if up.demo && log.filter == "info" {
        // The demo tells the story itself.
        "warn".clone_into(&mut log.filter);
    }
    logging::init(&log)?;
    // A notebook runs as the same user: without this it could read our environment and memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let house = House::open(config)?;
    let _lock = isochrone_store::sqlite::lock(&house.data_dir)?;
    // Before the first user is made: a port that is taken must not cost the password that is shown once.
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("the HTTP listener can't have {}", config.http.listen))?;
    first_user(&house, config).await?;
    let address = listener.local_addr()?;

    let stop = Stop::on_signals()?;
    let parts = TaskTracker::new();
    let queue = Arc::new(LocalQueue::new());
    let scheduler = Scheduler::new(Arc::clone(&house.store), queue.clone(), house.wake.clone());
    let worker = worker(&house, config, queue);
    parts.spawn(scheduler.run(stop.stopped.clone()));
    let working = tokio::spawn(worker.run(stop.draining.clone()));
    parts.spawn(serve(listener, portal(&house, config), stop.stopped.clone()));
    info!(http = %format!("http://{address}"), data_dir = %house.data_dir.display(), "ready");
    if up.demo {
        Demo::new(&house, address).run(&stop.draining).await?;
    } else {
        eprintln!("Isochrone is ready at http://{address}/sharing/rest (Ctrl-C stops it)");
    }
    working.await.context("the worker")?;
    // Last: the ends of drained runs are still told.
    stop.stopped.cancel();
    parts.close();
    if tokio::time::timeout(Duration::from_secs(5), parts.wait()).await.is_err() {
        tracing::warn!("some part did not end in time");
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// `admin`, on the first start.
async fn first_user(house: &House, config: &Config) -> Result<()> {
    if house.store.user("admin").await?.is_some() {
        return Ok(());
    }
    let (password, made_up) = match &config.admin_password {
        Some(password) => (password.reveal().to_owned(), false),
        None => (random_password(), true),
    };
    user::add(house, "admin", Role::Admin, &password).await?;
    if made_up {
        eprintln!("First start: user 'admin' has the password {password} (shown this once)");
    }
    Ok(())
}

/// 96 bits, easy to type.
fn random_password() -> String {
    let id = isochrone_domain::RunId::random().to_string();
    format!("{}-{}-{}", &id[..8], &id[8..16], &id[16..24])
}

fn worker(house: &House, config: &Config, queue: Arc<LocalQueue>) -> Arc<Worker> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let notebook_slots = match config.worker.notebook_slots {
        0 => cores,
        slots => slots,
    };
    let name =
        format!("embedded-{}-{}", std::process::id(), &isochrone_domain::RunId::random().to_string()[..8]);
    let mut worker_config = WorkerConfig::new(name);
    worker_config.slots = config.worker.slots;
    worker_config.slots_of.insert(TaskType::ExecuteNotebook, notebook_slots);
    worker_config.drain_grace = Duration::from_secs(config.worker.drain_seconds);
    worker_config.lease = Duration::from_secs(config.worker.lease_seconds.into());
    worker_config.renew_every = worker_config.lease / 5;
    let wake = house.wake.clone();
    let parts = WorkerParts {
        store: Arc::clone(&house.store),
        queue,
        artifacts: Arc::clone(&house.artifacts),
        on_finished: Box::new(move || wake.wake()),
    };
    Worker::new(parts, wiring::executors(house, config), worker_config)
}

fn portal(house: &House, config: &Config) -> axum::Router {
    isochrone_portal::router(isochrone_portal::Portal {
        store: Arc::clone(&house.store),
        submissions: Arc::clone(&house.submissions),
        artifacts: Arc::clone(&house.artifacts),
        config: isochrone_portal::Config {
            context: config.http.context.clone(),
            public_url: config.http.public_url.clone(),
            ..isochrone_portal::Config::default()
        },
    })
}

async fn serve(listener: TcpListener, router: axum::Router, stopped: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stopped.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP listener failed");
    }
}

/// A second signal this soon is the same one, sent to the process and to its group.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

/// Ctrl-C or SIGTERM: first the worker drains, then everything else ends. A later one ends at once.
struct Stop {
    draining: CancellationToken,
    stopped: CancellationToken,
}

impl Stop {
    fn on_signals() -> Result<Stop> {
        let stop = Stop { draining: CancellationToken::new(), stopped: CancellationToken::new() };
        let draining = stop.draining.clone();
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::spawn(async move {
            let mut first: Option<Instant> = None;
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                match first {
                    None => first = Some(Instant::now()),
                    Some(first) if first.elapsed() < ONE_SIGNAL => continue,
                    Some(_) => {
                        eprintln!("Stopped at once; the leases of running work will lapse.");
                        std::process::exit(130);
                    }
                }
                draining.cancel();
            }
        });
        Ok(stop)
    }
}
