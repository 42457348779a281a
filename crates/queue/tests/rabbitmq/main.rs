//! The queue in RabbitMQ: the conformance suite on a real broker, and what may happen to that broker.

mod alarm;
#[path = "../conformance/mod.rs"]
mod conformance;
mod junk;
mod losses;
mod policy;
mod settings;
mod slots;
mod world;

use std::sync::Arc;

use isochrone_queue::Queue;

/// Each queue has a virtual host of its own on one broker.
struct Rabbit;

impl conformance::Fresh for Rabbit {
    async fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(world::connect(&world::fresh_vhost().await).await)
    }
}

queue_conformance!(Rabbit);
