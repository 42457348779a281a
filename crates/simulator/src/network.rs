//! The network between the fleet's processes and the store's server, and what is wrong with it at the moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_store::redis::model::{Request, Response, Transport};
use isochrone_store::{Result, StoreError};
use tokio::time::{Instant, sleep, sleep_until};

use crate::world::{BEGINS, Process, World};

/// How long the real connection waits for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What is wrong at the moment.
#[derive(Default)]
pub(crate) struct Weather {
    /// The server hangs: it answers, and carries out what has reached it, at this moment.
    pub(crate) hangs_until: Option<Instant>,
    /// Nothing listens.
    pub(crate) down_until: Option<Instant>,
    /// Requests and answers are lost, so many of a thousand.
    pub(crate) loses: u32,
    pub(crate) loses_until: Option<Instant>,
    /// A shard answers errors, or does not answer.
    pub(crate) shard: Option<(usize, ShardFault, Instant)>,
    /// Processes that reach nobody.
    pub(crate) cut: BTreeMap<String, Instant>,
    /// How far the server's clock is off.
    pub(crate) clock_off: Duration,
    pub(crate) clock_behind: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardFault {
    Fails,
    Hangs,
}

/// What happens to a request.
enum Fate {
    Answered,
    Refused,
    RequestLost,
    AnswerLost,
    /// No answer in time; carried out at that moment, or never.
    Silence(Option<Instant>),
    AnsweredAt(Instant),
}

/// A process's way to the server.
pub(crate) struct Wire {
    pub(crate) world: Arc<World>,
    pub(crate) process: Arc<Process>,
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request) -> Result<Response> {
        self.process.alive().await;
        let fate = self.fate(&request);
        sleep(self.latency()).await;
        self.process.alive().await;
        match fate {
            Fate::Answered => {}
            Fate::AnsweredAt(moment) => sleep_until(moment).await,
            Fate::Refused => return Err(unavailable("nothing listens")),
            Fate::RequestLost => return Err(unavailable("the connection was cut")),
            Fate::AnswerLost => {
                self.carry_out(&request);
                return Err(unavailable("the connection was cut"));
            }
            Fate::Silence(carried_out) => {
                if let Some(moment) = carried_out {
                    let late = Wire { world: Arc::clone(&self.world), process: Arc::clone(&self.process) };
                    tokio::spawn(async move {
                        sleep_until(moment).await;
                        late.carry_out(&request);
                    });
                }
                sleep(ANSWER).await;
                self.process.alive().await;
                return Err(unavailable("no answer in time"));
            }
        }
        let response = self.carry_out(&request);
        // Most answers come at once: what matters is who else comes between two requests.
        self.process.alive().await;
        Ok(response)
    }
}

impl Wire {
    fn fate(&self, request: &Request) -> Fate {
        let now = Instant::now();
        let mut chance = self.world.chance();
        let weather = self.world.weather();
        let lasts = |until: Option<Instant>| until.filter(|until| *until > now);
        if lasts(weather.cut.get(&self.process.name).copied()).is_some() {
            return Fate::Silence(None);
        }
        if lasts(weather.down_until).is_some() {
            return Fate::Refused;
        }
        if let Some(until) = lasts(weather.hangs_until) {
            if until < now + ANSWER {
                return Fate::AnsweredAt(until);
            }
            // What has reached a stopped server is carried out when it goes on.
            return Fate::Silence(chance.bool().then_some(until));
        }
        if let Some((shard, ShardFault::Hangs, until)) = weather.shard
            && until > now
            && request.shards().contains(&shard)
        {
            return Fate::Silence(None);
        }
        if lasts(weather.loses_until).is_some() && chance.u32(0..1_000) < weather.loses {
            return if chance.bool() { Fate::RequestLost } else { Fate::AnswerLost };
        }
        Fate::Answered
    }

    fn latency(&self) -> Duration {
        // Mostly quick, seldom slow: so that others come in between.
        let ms = match self.world.chance().u32(0..100) {
            0..90 => 1,
            90..99 => 3,
            _ => 40,
        };
        Duration::from_millis(ms)
    }

    fn carry_out(&self, request: &Request) -> Response {
        let (failing, offset_us) = {
            let weather = self.world.weather();
            let failing = weather
                .shard
                .filter(|(_, fault, until)| *fault == ShardFault::Fails && *until > Instant::now());
            let off = weather.clock_off.as_micros() as i64;
            (failing.map(|(shard, ..)| shard), if weather.clock_behind { -off } else { off })
        };
        let now_us = BEGINS.0 * 1_000 + self.world.elapsed().as_micros() as i64 + offset_us;
        self.world.trace.add_number(now_us as u64);
        let mut server = self.world.server();
        server.set_clock(now_us);
        server.answer(request, |shard| failing == Some(shard))
    }
}

fn unavailable(problem: &str) -> StoreError {
    StoreError::Unavailable(problem.to_owned())
}
