//! The queues: one a task type, one for heartbeats and one for dead letters.
//!
//! They are declared with nothing but their type. What can be tuned is policy (deploy/rabbitmq), because
//! a queue can't be declared with other arguments than it was made with.

use std::fmt;

use isochrone_domain::TaskType;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use crate::rabbitmq::link::Link;
use crate::rabbitmq::message::text;

/// A queue of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Line {
    /// The wake-ups of a type.
    Runs(TaskType),
    /// What shows that the way to the workers is open.
    Heartbeat,
    /// What could not be read.
    Dead,
}

impl Line {
    pub(super) fn all() -> impl Iterator<Item = Line> {
        TaskType::ALL.into_iter().map(Line::Runs).chain([Line::Heartbeat, Line::Dead])
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Runs(kind) => write!(f, "isochrone.runs.{kind}"),
            Line::Heartbeat => f.write_str("isochrone.heartbeat"),
            Line::Dead => f.write_str("isochrone.dead"),
        }
    }
}

/// Declares queues. What the broker refuses about one is told and not fatal: a queue that was made with
/// other arguments serves as well, and one that is missing is noticed by whoever needs it.
pub(super) async fn declare(link: &Link, lines: impl IntoIterator<Item = Line>) -> lapin::Result<()> {
    let mut channel = link.channel().await?;
    for line in lines {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        match channel.queue_declare(line.to_string().into(), options, arguments).await {
            Ok(_) => {}
            Err(error) if error.is_amqp_soft_error() => {
                tracing::warn!(queue = %line, %error, "the queue is not as it would be declared; it is used as it is");
                // The broker closes the channel with such an answer.
                channel = link.channel().await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many messages are ready in a queue. None: it does not exist, or is not ours to look at.
pub(super) async fn ready(link: &Link, line: Line) -> lapin::Result<Option<u64>> {
    // A channel of its own: the broker closes it if the queue does not exist.
    let channel = link.channel().await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(line.to_string().into(), options, FieldTable::default()).await {
        Ok(queue) => Ok(Some(u64::from(queue.message_count()))),
        Err(error) if error.is_amqp_soft_error() => Ok(None),
        Err(error) => Err(error),
    }
}
