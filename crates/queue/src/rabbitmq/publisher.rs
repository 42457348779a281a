//! Publishes in batches, and answers for each message once the broker has it safely.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use crate::QueueError;
use crate::rabbitmq::keeper::Keeper;
use crate::rabbitmq::link::Link;
use crate::rabbitmq::mender::Mender;
use crate::rabbitmq::topology::{Line, declare};

/// A message on its way to the broker.
pub(super) struct Outgoing {
    pub(super) line: Line,
    /// Names it in the broker's answers.
    pub(super) id: String,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// How long a connection that lives may take to open a channel.
const ALIVE: Duration = Duration::from_secs(2);

/// Publishes over the connection of its keeper, on a channel for each queue: one whose queue does not confirm (it has no
/// leader, or is stopped) holds up no other.
pub(super) struct Publisher {
    keeper: Arc<Keeper>,
    mender: Arc<Mender>,
    timeout: Duration,
    /// One batch at a time on each: what the broker returns is only told apart within a batch.
    channels: HashMap<Line, Mutex<Option<Channel>>>,
}

type Answer = Result<(), QueueError>;

impl Publisher {
    pub(super) fn new(keeper: Arc<Keeper>, mender: Arc<Mender>, timeout: Duration) -> Publisher {
        let channels = Line::all().map(|line| (line, Mutex::default())).collect();
        Publisher { keeper, mender, timeout, channels }
    }

    /// Publishes a batch and waits for the broker's word about each message, but never longer than the
    /// timeout. An answer each, in order. An error: the message may be in the queue nevertheless.
    pub(super) async fn send(&self, messages: Vec<Outgoing>) -> Vec<Answer> {
        let lines: Vec<Line> = messages.iter().map(|message| message.line).collect();
        let mut of_line: HashMap<Line, Vec<Outgoing>> = HashMap::new();
        for message in messages {
            of_line.entry(message.line).or_default().push(message);
        }
        let sent = of_line.iter().map(async |(line, messages)| (*line, self.send_to(*line, messages).await));
        let mut answers: HashMap<Line, _> =
            join_all(sent).await.into_iter().map(|(line, answers)| (line, answers.into_iter())).collect();
        let next = |line| answers.get_mut(&line).and_then(Iterator::next);
        lines.into_iter().map(next).map(|answer| answer.expect("each message has an answer")).collect()
    }

    /// Publishes messages for one queue.
    async fn send_to(&self, line: Line, messages: &[Outgoing]) -> Vec<Answer> {
        let deadline = Instant::now() + self.timeout;
        let late = QueueError::Unavailable(format!("the broker did not confirm within {:?}", self.timeout));
        let mut batch = Batch::new(messages);
        let channel = self.channels.get(&line).expect("every queue has a channel");
        let Ok(mut channel) = timeout_at(deadline, channel.lock()).await else {
            return batch.answers(&late);
        };
        let link = match self.keeper.usable() {
            Ok(link) => link,
            Err(error) => return batch.answers(&error),
        };
        let sent = tokio::select! {
            sent = timeout_at(deadline, send_on(&link, &mut channel, line, &mut batch)) => {
                sent.unwrap_or_else(|_| Err(late.clone()))
            }
            error = self.keeper.unusable() => Err(error),
        };
        batch.hear_what_is_there();
        if let Err(error) = &sent {
            // What the broker still says on this channel belongs to nobody.
            *channel = None;
            let unanswered = batch.is_open() || *error == late;
            // Is it the queue or the connection?
            if unanswered && !matches!(timeout(ALIVE, link.channel()).await, Ok(Ok(_))) {
                link.abandon();
            }
            tracing::debug!(%error, "a batch was not confirmed");
        }
        self.mender.mend(batch.lines_that_are_gone());
        batch.answers(&sent.err().unwrap_or(late))
    }
}

/// Sends what is unsent and takes what the broker says, on the channel or on a new one.
async fn send_on(
    link: &Link,
    channel: &mut Option<Channel>,
    line: Line,
    batch: &mut Batch<'_>,
) -> Result<(), QueueError> {
    let failed = |error: lapin::Error| QueueError::Unavailable(error.to_string());
    let channel = match channel {
        Some(open) if open.status().connected() => open,
        gone => gone.insert(confirming(link, line).await.map_err(failed)?),
    };
    batch.send(channel).await.map_err(failed)
}

/// A channel on which each publish is confirmed. A new one is the first of its connection, perhaps to a
/// broker that has lost its disk: so the queue is declared.
async fn confirming(link: &Link, line: Line) -> lapin::Result<Channel> {
    declare(link, [line]).await?;
    let channel = link.channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Messages, and what the broker has said about them so far. It lives on when waiting is given up.
struct Batch<'a> {
    messages: &'a [Outgoing],
    confirms: Vec<PublisherConfirm>,
    /// In the order of the confirms.
    heard: Vec<Answer>,
    /// Line and id of what came back, because its queue does not exist.
    returned: HashSet<(String, String)>,
}

impl<'a> Batch<'a> {
    fn new(messages: &'a [Outgoing]) -> Batch<'a> {
        let (confirms, heard) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
        Batch { messages, confirms, heard, returned: HashSet::new() }
    }

    /// Something was sent and not answered.
    fn is_open(&self) -> bool {
        self.heard.len() < self.confirms.len()
    }

    async fn send(&mut self, channel: &Channel) -> lapin::Result<()> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        for message in self.messages {
            let key = message.line.to_string().into();
            let properties = message.properties.clone();
            let sent = channel.basic_publish("".into(), key, options, &message.body, properties);
            self.confirms.push(sent.await?);
        }
        while let Some(confirm) = self.confirms.get_mut(self.heard.len()) {
            let confirm = confirm.await;
            self.hear(confirm);
        }
        Ok(())
    }

    fn hear(&mut self, confirm: lapin::Result<Confirmation>) {
        let refused = |cause: &str| Err(QueueError::Unavailable(cause.to_owned()));
        self.heard.push(match &confirm {
            Ok(Confirmation::Ack(_)) => Ok(()),
            Ok(Confirmation::Nack(_)) => refused("the broker refused it: its queue is full or has no leader"),
            Ok(Confirmation::NotRequested) => refused("the broker was not asked to confirm"),
            Err(error) => refused(&error.to_string()),
        });
        // Which confirm carries a returned message is chance; its line and id tell whose it is.
        if let Some(returned) = confirm.ok().and_then(Confirmation::take_message) {
            let delivery = returned.delivery;
            let id = delivery.properties.message_id().as_ref().map(ToString::to_string);
            self.returned.insert((delivery.routing_key.to_string(), id.unwrap_or_default()));
        }
    }

    fn is_returned(&self, message: &Outgoing) -> bool {
        !self.returned.is_empty() && self.returned.contains(&(message.line.to_string(), message.id.clone()))
    }

    fn lines_that_are_gone(&self) -> HashSet<Line> {
        self.messages.iter().filter(|message| self.is_returned(message)).map(|message| message.line).collect()
    }

    /// Takes what has come and was not waited for.
    fn hear_what_is_there(&mut self) {
        while let Some(confirm) = self.confirms.get_mut(self.heard.len()) {
            let Some(confirm) = confirm.now_or_never() else { return };
            self.hear(confirm);
        }
    }

    /// An answer for each message, in order; `missing` for those about which nothing was heard.
    fn answers(mut self, missing: &QueueError) -> Vec<Answer> {
        self.heard.resize(self.messages.len(), Err(missing.clone()));
        for (at, message) in self.messages.iter().enumerate() {
            if self.is_returned(message) {
                self.heard[at] = Err(QueueError::Returned(message.line.to_string()));
            }
        }
        self.heard
    }
}
