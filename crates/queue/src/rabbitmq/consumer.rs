//! A worker's place at a line, which survives whatever happens to its channel, its queue or the broker.
//!
//! lapin's own recovery does not bring a consumer back after a channel error: the worker would sit idle
//! for ever. So a supervisor subscribes anew after every end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use isochrone_domain::TaskType;
use isochrone_telemetry::Metrics;
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::rabbitmq::backoff::{Backoff, jittered};
use crate::rabbitmq::dead::DeadLetters;
use crate::rabbitmq::keeper::Keeper;
use crate::rabbitmq::link::Link;
use crate::rabbitmq::message::{TraceParent, read};
use crate::rabbitmq::shelf::{Held, REQUEUE, RabbitDelivery, Shelf};
use crate::rabbitmq::topology::{Line, declare};
use crate::{Consumer, Delivery, QueueError};

/// No worker gains from more at hand.
const MOST_AHEAD: usize = 200;

/// How long a wake-up may lie here unasked while others might take it.
const UNASKED: Duration = Duration::from_secs(1);

/// How long a subscription may take.
pub(super) const SUBSCRIBE: Duration = Duration::from_secs(10);

/// How long the end of a subscription may take.
const CANCEL: Duration = Duration::from_secs(2);

/// How many times wider a subscription becomes whose worker takes faster than it is let.
const WIDER: usize = 8;

/// A subscription on which nothing has come for so long is made anew: the broker may have lost it without
/// a word, as RabbitMQ 3.10 does when a quorum queue is deleted and declared again at once.
const QUIET: Duration = Duration::from_secs(25);

/// What a consumer works with.
pub(super) struct Place {
    pub(super) kind: TaskType,
    pub(super) keeper: Arc<Keeper>,
    pub(super) dead_letters: Arc<DeadLetters>,
    /// What this process has of the type, unsettled.
    pub(super) held: Arc<AtomicU64>,
    pub(super) status: Arc<Status>,
    pub(super) metrics: Metrics,
    pub(super) tasks: TaskTracker,
}

/// What health tells of a consumer.
pub(super) struct Status {
    pub(super) kind: TaskType,
    /// It is subscribed, or rests because its worker does not ask.
    pub(super) serving: AtomicBool,
}

/// The worker's end of a consumer. Dropped, its supervisor ends.
pub(super) struct RabbitConsumer {
    shelf: Arc<Shelf>,
    ended: CancellationToken,
    _end: DropGuard,
}

impl RabbitConsumer {
    /// Begins to consume, as soon as the broker is there, until `closed`.
    pub(super) fn start(place: Place, slots: usize, closed: &CancellationToken) -> RabbitConsumer {
        let shelf = Arc::new(Shelf::default());
        let ended = closed.child_token();
        let tasks = place.tasks.clone();
        let supervisor = Supervisor {
            place,
            shelf: Arc::clone(&shelf),
            most_ahead: slots.clamp(1, MOST_AHEAD),
            ended: ended.clone(),
        };
        tasks.spawn(async move { supervisor.run().await });
        RabbitConsumer { shelf, _end: ended.clone().drop_guard(), ended }
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Result<Box<dyn Delivery>, QueueError> {
        let _asking = self.shelf.ask();
        loop {
            if self.ended.is_cancelled() {
                return Err(QueueError::Unavailable("it is closed".to_owned()));
            }
            if let Some(delivery) = self.shelf.take() {
                return Ok(Box::new(delivery));
            }
            tokio::select! {
                () = self.shelf.came() => {}
                () = self.ended.cancelled() => {}
            }
        }
    }
}

struct Supervisor {
    place: Place,
    shelf: Arc<Shelf>,
    most_ahead: usize,
    ended: CancellationToken,
}

/// Why a subscription ended.
enum Ended {
    /// Its worker left wake-ups unasked. It took `taken` of them.
    Unasked { taken: usize },
    /// Its worker takes faster than it is let.
    TooNarrow,
    /// Nothing came for long.
    Quiet,
    /// Nobody wants it any more.
    Unwanted,
}

impl Supervisor {
    /// Subscribes anew after every end, until nobody wants it any more.
    async fn run(&self) {
        let mut backoff = Backoff::new();
        let mut ahead = self.most_ahead;
        let mut lost = false;
        while let Some(subscribed) = self.ended.run_until_cancelled(self.subscribe(ahead)).await {
            let ended = match subscribed {
                Ok(mut subscription) => {
                    if std::mem::take(&mut lost) {
                        tracing::info!(kind = %self.place.kind, "consuming again");
                    }
                    let since = Instant::now();
                    let ended = self.serve(&mut subscription, ahead).await;
                    backoff.worked(since.elapsed());
                    ended
                }
                Err(cause) => Err(cause),
            };
            let pause = async {
                match ended {
                    Ok(Ended::Unasked { taken }) => {
                        ahead = taken.clamp(1, self.most_ahead);
                        self.shelf.asked().await;
                    }
                    Ok(Ended::TooNarrow) => ahead = (ahead * WIDER).min(self.most_ahead),
                    Ok(Ended::Quiet | Ended::Unwanted) => {}
                    Err(cause) => {
                        if !std::mem::replace(&mut lost, true) {
                            tracing::warn!(kind = %self.place.kind, %cause, "the consumer is lost; subscribing again");
                        }
                        tracing::debug!(kind = %self.place.kind, %cause, "no subscription");
                        tokio::time::sleep(backoff.failed()).await;
                    }
                }
            };
            self.ended.run_until_cancelled(pause).await;
        }
    }

    async fn subscribe(&self, ahead: usize) -> Result<Subscription, String> {
        let link = self.place.keeper.link().await;
        let opening = timeout(SUBSCRIBE, Subscription::open(&link, Line::Runs(self.place.kind), ahead)).await;
        let opened = opening.unwrap_or_else(|_| {
            link.abandon();
            Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
        });
        opened.map_err(|error| error.to_string())
    }

    /// One subscription, up to its end; what came and was not taken goes back. An error: the cause of its
    /// loss.
    async fn serve(&self, subscription: &mut Subscription, ahead: usize) -> Result<Ended, String> {
        let serving = &self.place.status.serving;
        serving.store(true, Ordering::Relaxed);
        let ended = self.hand_on(subscription, ahead).await;
        if ended.is_ok() {
            // First, for what goes back before it would come again.
            subscription.end().await;
        } else {
            serving.store(false, Ordering::Relaxed);
        }
        self.shelf.clear();
        ended
    }

    /// Puts on the shelf what comes, as long as it is taken from there.
    async fn hand_on(&self, subscription: &mut Subscription, ahead: usize) -> Result<Ended, String> {
        let Subscription { channel, deliveries } = subscription;
        let mut came: usize = 0;
        let quiet = jittered(QUIET);
        let mut quiet_at = Instant::now() + quiet;
        loop {
            let oldest = self.shelf.oldest();
            let unasked = async {
                match oldest {
                    Some(since) => sleep_until(since + UNASKED).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                delivery = deliveries.next() => match delivery {
                    Some(Ok(delivery)) => {
                        came += 1;
                        quiet_at = Instant::now() + quiet;
                        self.receive(delivery, channel);
                    }
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("the broker ended the subscription".to_owned()),
                },
                () = self.ended.cancelled() => return Ok(Ended::Unwanted),
                () = unasked => {
                    // Unless it was taken while the time went by.
                    if self.shelf.oldest().is_some_and(|since| since.elapsed() >= UNASKED) {
                        return Ok(Ended::Unasked { taken: came.saturating_sub(self.shelf.len()) });
                    }
                }
                () = sleep_until(quiet_at) => {
                    // What is not settled holds the channel, and counts against what may be sent ahead.
                    if Arc::strong_count(channel) == 1 {
                        return Ok(Ended::Quiet);
                    }
                    quiet_at = Instant::now() + quiet;
                }
            }
            if ahead < self.most_ahead && came >= ahead * WIDER {
                return Ok(Ended::TooNarrow);
            }
        }
    }

    fn receive(&self, delivery: lapin::message::Delivery, channel: &Arc<Channel>) {
        let place = &self.place;
        let held = Held::one_more(&place.held);
        if delivery.redelivered {
            place.metrics.redelivered(place.kind);
        }
        match read(&delivery.data, place.kind) {
            Ok(wake_up) => {
                if let Some(parent) = TraceParent::from(delivery.properties.headers().as_ref()) {
                    tracing::debug_span!("receive", run_id = %wake_up.run, trace_id = parent.trace_id(),
                        parent_span_id = parent.span_id())
                    .in_scope(|| tracing::debug!(redelivered = delivery.redelivered, "a wake-up came"));
                }
                self.shelf.put(RabbitDelivery::new(wake_up, delivery.acker, held, Arc::clone(channel)));
            }
            Err(junk) => {
                let (dead_letters, channel, line) =
                    (Arc::clone(&place.dead_letters), Arc::clone(channel), Line::Runs(place.kind));
                place.tasks.spawn(async move {
                    dead_letters.bury(delivery, line, junk).await;
                    drop((held, channel));
                });
            }
        }
    }
}

/// A channel and its consumer.
pub(super) struct Subscription {
    channel: Arc<Channel>,
    pub(super) deliveries: lapin::Consumer,
}

impl Subscription {
    pub(super) async fn open(link: &Link, line: Line, ahead: usize) -> lapin::Result<Subscription> {
        declare(link, [line]).await?;
        let channel = link.channel().await?;
        let ahead = u16::try_from(ahead).unwrap_or(u16::MAX);
        channel.basic_qos(ahead, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let deliveries =
            channel.basic_consume(line.to_string().into(), "".into(), options, arguments).await?;
        Ok(Subscription { channel: Arc::new(channel), deliveries })
    }

    /// Cancels it, and gives back what lapin still has of it: the channel may live on for the sake of a
    /// delivery that is being worked on.
    async fn end(&mut self) {
        let tag = self.deliveries.tag();
        let give_back = async {
            self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
            while let Some(delivery) = self.deliveries.next().await {
                delivery?.acker.nack(REQUEUE).await?;
            }
            lapin::Result::Ok(())
        };
        if !matches!(timeout(CANCEL, give_back).await, Ok(Ok(()))) {
            tracing::debug!("a subscription could not be cancelled; it ends with its channel");
        }
    }
}
