//! The parts that a process of Isochrone can be: portal, scheduler, worker; together or alone.

mod admin;
mod audit_head;
mod clocks;
mod connections;
mod gauges;
mod open_files;
mod portal;
mod presence;
mod stop;
mod tls;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use isochrone_scheduler::{Lead, Retention, Scheduler};
use isochrone_store::{Role, Store};
use isochrone_worker::Worker;
use rustix::process::DumpableBehavior;
use sd_notify::NotifyState;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::config::{Config, Loaded};
use crate::demo::Demo;
use crate::demo::simulated::Simulated;
use crate::logging;
use crate::wiring::{House, Line};
pub(crate) use presence::host;
use stop::Stop;
pub(crate) use worker::notebook_slots;

/// Runs these parts until a signal ends them.
pub(crate) async fn run(mut loaded: Loaded, roles: &[Role], demo: bool) -> Result<ExitCode> {
    let simulated = if demo { Some(Simulated::start().await?) } else { None };
    if let Some(simulated) = &simulated {
        simulated.furnish(&mut loaded.config);
    }
    let (loaded, config) = (&loaded, &loaded.config);
    let mut log = config.log.clone();
    if demo && log.filter == "info" {
        // The demo tells the story itself.
        "warn".clone_into(&mut log.filter);
    }
    let (log_filter, traces) = logging::init(&log)?;
    let open_files = open_files::raise();
    for file in loaded.readable_by_others() {
        tracing::warn!("a file with secrets: {file}; chmod 600 it");
    }
    // A notebook runs as the same user: without this it could read our environment and memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let alone = check_roles(config, roles)?;
    let house = House::open(config).await?;
    // The embedded store and a worker's folders are for one process.
    let locked = alone || roles.contains(&Role::Worker);
    let _lock = locked.then(|| isochrone_store::sqlite::lock(&house.data_dir)).transpose()?;
    let name = process_name();
    let line = Line::open(config, &name, &house.metrics).await?;

    // What it can't be made of is told before anything else begins.
    let works = roles.contains(&Role::Worker);
    let worker: Option<Arc<Worker>> =
        works.then(|| worker::worker(&house, config, &line, &name)).transpose()?;

    let stop = Stop::on_signals()?;
    let parts = TaskTracker::new();
    let mut address = None;
    if roles.contains(&Role::Portal) {
        // Before the first user is made: a port that is taken must not cost the password that is shown
        // once.
        let connections = portal::connections(config, open_files, &house.metrics);
        let listener = portal::listen(config, &connections).await?;
        let secure = tls::listen(loaded, &house, &connections).await?;
        portal::first_user(&house, config).await?;
        address = Some(listener.local_addr()?);
        // The ArcGIS API for Python insists on HTTPS. A URL that the operator configured goes before this.
        let http = format!("http://{}", listener.local_addr()?);
        let root = secure.as_ref().map_or(http, tls::Secure::url);
        let _ = house.portal_url.set(format!("{root}/{}", config.http.context.trim_matches('/')));
        let names = secure.as_ref().map_or_else(Vec::new, tls::Secure::names);
        let router = portal::router(&house, config, names)?;
        if let Some(secure) = secure {
            secure.tell();
            parts.spawn(secure.serve(router.clone(), stop.stopped.clone()));
        }
        let (artifacts, stopped) = (Arc::clone(&house.artifacts), stop.stopped.clone());
        parts.spawn(async move {
            stopped.run_until_cancelled(isochrone_portal::sweep_uploads(artifacts)).await;
        });
        parts.spawn(listener.serve(None, router, stop.stopped.clone()));
    }
    if roles.contains(&Role::Scheduler) {
        let by_time = || Arc::clone(&house.clocks) as Arc<dyn Store>;
        let mut scheduler = Scheduler::new(by_time(), line.queue(), house.wake.clone())
            .with_metrics(house.metrics.clone())
            .with_retention(Retention::new(
                by_time(),
                Arc::clone(&house.artifacts),
                config.retention_rules(),
            ));
        if !alone {
            let lease = Duration::from_secs(config.worker.lease_seconds.into());
            scheduler = scheduler.with_lead(Lead::new(&name, lease));
        }
        parts.spawn(scheduler.run(stop.stopped.clone()));
        parts.spawn(audit_head::publish(&house, stop.stopped.clone()));
    }
    parts.spawn(clocks::watch(&house, stop.stopped.clone()));
    parts.spawn(gauges::measure(&house, roles, &line, worker.as_deref(), stop.stopped.clone()));
    let working = worker.clone().map(|worker| tokio::spawn(worker.run(stop.draining.clone())));
    parts.spawn(presence::announce(&house, roles, &name, worker, &stop).await?);
    if let Some(listener) = admin::listen(loaded, &house.metrics).await? {
        let token = admin::token(loaded, &house.data_dir)?;
        parts.spawn(admin::serve(listener, (loaded, roles), &house, &line, log_filter, token, &stop));
    }
    tell_ready(&house, roles, &name, address);
    tell_systemd(NotifyState::Ready);
    match (address, &simulated) {
        (Some(address), Some(simulated)) => {
            Demo::new(&house, address, simulated).run(&stop.draining).await?;
        }
        _ => stop.draining.cancelled().await,
    }
    tell_systemd(NotifyState::Stopping);
    if let Some(working) = working {
        working.await.context("the worker")?;
    }
    // Last: the ends of drained runs are still told.
    stop.stopped.cancel();
    parts.close();
    if tokio::time::timeout(Duration::from_secs(5), parts.wait()).await.is_err() {
        tracing::warn!("some part did not end in time");
    }
    if tokio::time::timeout(Duration::from_secs(5), line.close()).await.is_err() {
        tracing::warn!("the broker was not told goodbye in time");
    }
    info!("stopped");
    if let Some(traces) = traces {
        // It waits for the collector.
        tokio::task::spawn_blocking(move || traces.close()).await.context("the last traces")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the process is alone on an embedded store; an error if it can't be on what is configured.
fn check_roles(config: &Config, roles: &[Role]) -> Result<bool> {
    let everything = [Role::Portal, Role::Scheduler, Role::Worker].iter().all(|role| roles.contains(role));
    let needs_queue = roles.iter().any(|role| *role != Role::Portal);
    match (&config.redis.url, &config.amqp.url) {
        (None, _) if everything => Ok(true),
        (None, _) => bail!(
            "redis.url is not set: a fleet's store is in Redis (ISOCHRONE_REDIS_URL or --redis-url); \
             `isochrone up` needs none"
        ),
        (Some(_), None) if needs_queue => bail!(
            "amqp.url is not set: with a store in Redis the queue is in RabbitMQ (ISOCHRONE_AMQP_URL or \
             --amqp-url)"
        ),
        (Some(_), _) => Ok(false),
    }
}

fn tell_ready(house: &House, roles: &[Role], name: &str, address: Option<std::net::SocketAddr>) {
    let http = address.map(|address| format!("http://{address}"));
    info!(name, ?roles, http, data_dir = %house.data_dir.display(), "ready");
    match http {
        Some(http) => eprintln!("Isochrone is ready at {http}/sharing/rest (Ctrl-C stops it)"),
        None => eprintln!("Isochrone's {name} is ready (Ctrl-C stops it)"),
    }
}

/// A unit of `Type=notify` has started once it can work. Without systemd nobody listens.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Unique to this process, and of use to whoever looks for it.
fn process_name() -> String {
    let random = isochrone_domain::RunId::random().to_string();
    format!("{}-{}-{}", presence::host(), std::process::id(), &random[..8])
}
