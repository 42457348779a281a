//! The processes of the fleet: they are started, stopped and killed.

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::TaskType;
use isochrone_queue::Queue;
use isochrone_scheduler::{Lead, Scheduler, Wake};
use isochrone_store::redis::{Options, RedisStore};
use isochrone_store::{Store, StoredItems};
use isochrone_telemetry::Metrics;
use isochrone_worker::{Executor, Worker, WorkerConfig, WorkerParts};
use object_store::memory::InMemory;
use tokio::time::sleep;

use crate::broker::Port;
use crate::network::Wire;
use crate::planted::Watched;
use crate::work::Counting;
use crate::world::{Process, World};

/// The types that the fleet works on.
pub(crate) const KINDS: [TaskType; 3] =
    [TaskType::ExecuteNotebook, TaskType::ExecuteReport, TaskType::GPService];

/// Runs at a time of each type in a worker.
const SLOTS: usize = 12;

/// A role and its processes, one after the other.
pub(crate) struct Member {
    role: Role,
    name: String,
    lives: u32,
    process: Option<Arc<Process>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Scheduler,
    Worker,
}

impl Member {
    pub(crate) fn new(role: Role, name: impl Into<String>) -> Member {
        Member { role, name: name.into(), lives: 0, process: None }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn process(&self) -> Option<&Arc<Process>> {
        self.process.as_ref()
    }

    /// Starts it, unless it runs.
    pub(crate) fn start(&mut self, world: &Arc<World>) {
        if self.process.is_some() {
            return;
        }
        self.lives += 1;
        let process = Process::new(format!("{}.{}", self.name, self.lives));
        world.note(format_args!("{} starts", process.name));
        let (world, role, own) = (Arc::clone(world), self.role, Arc::clone(&process));
        tokio::spawn(async move {
            let store = open(&world, &own).await;
            let store: Arc<dyn Store> =
                Arc::new(Watched { store, world: Arc::clone(&world), bug: world.bug });
            let queue: Arc<dyn Queue> =
                Arc::new(Port { world: Arc::clone(&world), process: Arc::clone(&own) });
            match role {
                Role::Scheduler => run_scheduler(store, queue, &own).await,
                Role::Worker => run_worker(&world, store, queue, &own).await,
            }
        });
        self.process = Some(process);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, world: &World) {
        let Some(process) = self.process.take() else { return };
        world.note(format_args!("{} is killed", process.name));
        process.dead.cancel();
        // Nobody hears of it any more; but its tasks come to their ends.
        process.shutdown.cancel();
        world.broker.connection_lost(&process.name);
        world.witness.killed(&process.name);
    }

    /// SIGTERM.
    pub(crate) fn stop(&mut self, world: &World) {
        let Some(process) = self.process.take() else { return };
        world.note(format_args!("{} is told to stop", process.name));
        process.shutdown.cancel();
    }
}

/// The store as a process opens it: again and again until it is there.
pub(crate) async fn open(world: &Arc<World>, process: &Arc<Process>) -> Arc<dyn Store> {
    loop {
        let wire = Wire { world: Arc::clone(world), process: Arc::clone(process) };
        match RedisStore::open_model(Arc::new(wire), Options::default()).await {
            Ok(store) => return Arc::new(store),
            Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn run_scheduler(store: Arc<dyn Store>, queue: Arc<dyn Queue>, process: &Process) {
    let lead = Lead::new(&process.name, WorkerConfig::new("").lease);
    let scheduler = Scheduler::new(store, queue, Wake::new()).with_lead(lead);
    scheduler.run(process.shutdown.clone()).await;
}

async fn run_worker(
    world: &Arc<World>,
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    process: &Arc<Process>,
) {
    let parts = WorkerParts {
        items: Arc::new(StoredItems(Arc::clone(&store))),
        store,
        queue,
        artifacts: Arc::new(InMemory::new()),
        metrics: Metrics::new(),
        on_finished: Box::new(|| {}),
    };
    let executors = KINDS.map(|kind| {
        let (world, process) = (Arc::clone(world), Arc::clone(process));
        Arc::new(Counting { world, process, kind }) as Arc<dyn Executor>
    });
    let config = WorkerConfig { slots: SLOTS, ..WorkerConfig::new(&process.name) };
    Worker::new(parts, executors, config).run(process.shutdown.clone()).await;
}
