//! Which queue.

use std::sync::Arc;

use anyhow::{Context, Result};
use isochrone_domain::TaskType;
use isochrone_queue::Queue;
use isochrone_queue::local::LocalQueue;
use isochrone_queue::rabbitmq::{Options, RabbitQueue};
use isochrone_telemetry::Metrics;

use crate::config::Config;

/// The line between scheduler and workers.
#[derive(Clone)]
pub(crate) enum Line {
    /// Inside this process.
    Local(Arc<LocalQueue>),
    /// Between processes.
    Rabbit(Arc<RabbitQueue>),
}

impl Line {
    /// Opens the line that is configured. `name` is this process's, for the broker's own tools.
    pub(crate) async fn open(config: &Config, name: &str, metrics: &Metrics) -> Result<Line> {
        let Some(url) = &config.amqp.url else {
            return Ok(Line::Local(Arc::new(LocalQueue::new())));
        };
        let options = Options {
            name: name.to_owned(),
            ca_file: config.amqp.ca_file.clone(),
            metrics: metrics.clone(),
            may_be_away: true,
            ..Options::default()
        };
        let queue = RabbitQueue::connect(url.reveal(), options)
            .await
            .context("amqp.url (ISOCHRONE_AMQP_URL, --amqp-url)")?;
        Ok(Line::Rabbit(Arc::new(queue)))
    }

    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Line::Local(queue) => Arc::clone(queue) as Arc<dyn Queue>,
            Line::Rabbit(queue) => Arc::clone(queue) as Arc<dyn Queue>,
        }
    }

    /// Tells how it is. `takes`: the types of this process's worker.
    pub(crate) fn measure(&self, metrics: &Metrics, takes: &[TaskType]) {
        let Line::Rabbit(queue) = self else {
            metrics.broker(true, false);
            for kind in takes {
                metrics.consumers(*kind, 1);
            }
            return;
        };
        let health = queue.health();
        metrics.broker(health.publishing || health.blocked, health.blocked);
        for kind in takes {
            let able = health.consumers.iter().filter(|(of, serving)| of == kind && *serving).count();
            metrics.consumers(*kind, able as u64);
        }
    }

    /// Why it is not as it should be, if it is not.
    pub(crate) fn trouble(&self) -> Option<String> {
        let Line::Rabbit(queue) = self else { return None };
        let health = queue.health();
        if health.blocked {
            return Some("the broker takes no messages: it is short of memory or disk".to_owned());
        }
        let idle = health.consumers.iter().filter(|(_, serving)| !serving).count();
        if health.publishing && idle == 0 {
            return None;
        }
        let cause = health.cause.unwrap_or_else(|| "the connection is being made anew".to_owned());
        Some(format!("{cause} ({idle} of {} consumers are not subscribed)", health.consumers.len()))
    }

    /// Gives back what it holds and says goodbye.
    pub(crate) async fn close(&self) {
        if let Line::Rabbit(queue) = self {
            queue.close().await;
        }
    }
}
