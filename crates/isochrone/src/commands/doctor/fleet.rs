//! What a fleet needs: a store that keeps what it acknowledges, one time, a broker, a worker for each type.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use isochrone_domain::{TaskState, TaskType};
use isochrone_queue::rabbitmq::{Greeting, greeting};
use isochrone_store::{Page, StoreError, TaskFilter};
use isochrone_telemetry::Metrics;

use super::{Check, Verdict};
use crate::config::{Config, Secret};
use crate::wiring::{self, House, Line};

/// A clock that is off by more fires and judges leases wrongly.
const SKEW: Duration = Duration::from_secs(1);
/// Older brokers are not tested with.
const OLDEST: (u32, u32) = (3, 10);
/// A list is read in parts of so many tasks.
const PART: u64 = 1_000;

pub(super) async fn checks(config: &Config) -> Vec<Check> {
    let house = House::open(config).await;
    let mut checks = vec![store(config, &house)];
    if let Ok(house) = &house {
        checks.extend([clocks(house).await, workers(house).await, artifacts(house).await]);
    }
    checks.push(queue(config).await);
    checks
}

fn store(config: &Config, house: &Result<House>) -> Check {
    const WHAT: &str = "store";
    match house {
        Ok(house) if let Some(weak) = house.store.weak_durability() => {
            let advice = "change what it says, and unset redis.allow_weak_durability";
            Check::other(WHAT, Verdict::Warning, weak, advice)
        }
        Ok(_) if config.redis.allow_weak_durability => {
            let advice = "unset redis.allow_weak_durability";
            Check::other(
                WHAT,
                Verdict::Warning,
                "a Redis that may lose what it acknowledged is allowed",
                advice,
            )
        }
        Ok(house) => Check::good(
            WHAT,
            match house.store.waits_for() {
                None => "Redis keeps what it acknowledges (one server: its disk)".to_owned(),
                Some(replicas) => format!("Redis keeps what it acknowledges; it waits for {replicas}"),
            },
        ),
        Err(error) => {
            Check::other(WHAT, Verdict::Bad, format!("{error:#}"), "mend what it says and look again")
        }
    }
}

async fn clocks(house: &House) -> Check {
    const WHAT: &str = "clocks";
    let ahead_ms = house.store.clock().now().since(isochrone_store::Clock::SYSTEM.now());
    let found = format!("Redis's clock is {ahead_ms} ms ahead of this one");
    if let Err(StoreError::ClocksDisagree(problem)) = house.clocks.look().await {
        let advice =
            "set the wrong clock (NTP): while clocks disagree nothing fires and nothing can be planned";
        return Check::other(WHAT, Verdict::Bad, problem.to_string(), advice);
    }
    if u128::from(ahead_ms.unsigned_abs()) > SKEW.as_millis() {
        return Check::other(WHAT, Verdict::Warning, found, "let NTP set the clocks of all machines");
    }
    Check::good(WHAT, found)
}

/// Whether there is somebody for each type that active tasks have.
async fn workers(house: &House) -> Check {
    const WHAT: &str = "workers";
    match missing(house).await {
        Ok((_, missing)) if !missing.is_empty() => {
            let names: Vec<&str> = missing.iter().map(|kind| kind.name()).collect();
            let found = format!("no worker takes {}, and active tasks are of that type", names.join(", "));
            let advice = format!("start one: isochrone worker --types {}", names.join(","));
            Check::other(WHAT, Verdict::Bad, found, advice)
        }
        Ok((0, _)) => Check::other(WHAT, Verdict::Warning, "there is none", "start one: isochrone worker"),
        Ok((workers, _)) => Check::good(WHAT, format!("{workers}, for each type that active tasks have")),
        Err(error) => Check::other(WHAT, Verdict::Bad, format!("{error:#}"), "look at the store"),
    }
}

/// Whether all processes keep artifacts in the same folder.
async fn artifacts(house: &House) -> Check {
    const WHAT: &str = "artifacts";
    let members = match house.store.members().await {
        Ok(members) => members,
        Err(error) => return Check::other(WHAT, Verdict::Bad, format!("{error:#}"), "look at the store"),
    };
    let folders = wiring::artifacts::folders_of(&members);
    if folders.len() > 1 {
        let named = folders.into_values().map(|names| names.join(", ")).collect::<Vec<_>>();
        let found =
            format!("not all processes keep them in the same folder: {}", named.join("; apart from them "));
        let advice =
            "let artifacts.dir be one folder that all of them share (a network file system, a volume)";
        return Check::other(WHAT, Verdict::Warning, found, advice);
    }
    Check::good(WHAT, "all processes that are there keep them in the same folder")
}

/// How many workers there are, and the types of active tasks that none of them takes.
async fn missing(house: &House) -> Result<(usize, BTreeSet<TaskType>)> {
    let members = house.store.members().await?;
    let workers = members.iter().filter(|present| !present.member.slots.is_empty());
    let taken: BTreeSet<TaskType> =
        workers.clone().flat_map(|present| present.member.slots.keys().copied()).collect();
    let (mut missing, mut offset) = (BTreeSet::new(), 0);
    loop {
        let part = house.store.tasks(&TaskFilter::default(), Page { offset, limit: PART }).await?.rows;
        if part.is_empty() {
            return Ok((workers.count(), missing));
        }
        offset += part.len() as u64;
        let active = part.iter().filter(|task| task.state == TaskState::Active);
        missing.extend(active.map(|task| task.kind).filter(|kind| !taken.contains(kind)));
    }
}

async fn queue(config: &Config) -> Check {
    const WHAT: &str = "queue";
    let Some(url) = config.amqp.url.as_ref().map(Secret::reveal) else {
        let advice = "set amqp.url (ISOCHRONE_AMQP_URL): schedulers and workers need it";
        return Check::other(WHAT, Verdict::Warning, "amqp.url is not set", advice);
    };
    let line = match Line::open(config, "isochrone-doctor", &Metrics::new()).await {
        Ok(line) => line,
        Err(error) => {
            let advice = "mend what it says and look again";
            return Check::other(WHAT, Verdict::Bad, format!("{error:#}"), advice);
        }
    };
    line.close().await;
    let greeting = greeting(url, config.amqp.ca_file.as_deref()).await;
    let Greeting { as_guest, version } = greeting.unwrap_or(Greeting { as_guest: false, version: None });
    let version = version.unwrap_or_else(|| "of an unknown version".to_owned());
    if read(&version).is_some_and(|version| version < OLDEST) {
        let advice = "3.10 is the oldest that Isochrone is tested with";
        return Check::other(WHAT, Verdict::Warning, format!("RabbitMQ {version}"), advice);
    }
    if as_guest {
        let advice = "make a user of your own, and delete guest (deploy/rabbitmq)";
        return Check::other(WHAT, Verdict::Warning, format!("RabbitMQ {version}, as guest/guest"), advice);
    }
    let found = format!(
        "RabbitMQ {version} takes and confirms messages; its consumer timeout cuts no run short: messages are \
         acknowledged once their run is claimed"
    );
    Check::good(WHAT, found)
}

/// 3.12.1 as (3, 12).
fn read(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
