//! What goes wrong: a fault a minute, drawn by the seed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::fleet::{KINDS, Member, Role};
use crate::network::ShardFault;
use crate::world::World;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    KillWorker,
    KillScheduler,
    StopWorker,
    StoreHangs,
    StoreDown,
    /// The store comes back without its last writes.
    Failover,
    ConnectionsCut,
    ProcessCut,
    ShardFails,
    ShardHangs,
    ClockSteps,
    BrokerAway,
    TypeRefused,
    MessagesSpoilt,
    QueuesPurged,
}

const KINDS_OF_FAULTS: [Fault; 15] = [
    Fault::KillWorker,
    Fault::KillScheduler,
    Fault::StopWorker,
    Fault::StoreHangs,
    Fault::StoreDown,
    Fault::Failover,
    Fault::ConnectionsCut,
    Fault::ProcessCut,
    Fault::ShardFails,
    Fault::ShardHangs,
    Fault::ClockSteps,
    Fault::BrokerAway,
    Fault::TypeRefused,
    Fault::MessagesSpoilt,
    Fault::QueuesPurged,
];

/// Makes a fault a minute until `end`, and afterwards sees to it that everybody runs.
pub(crate) async fn happen(
    world: &Arc<World>,
    members: &mut [Member],
    chance: &mut fastrand::Rng,
    end: Instant,
) {
    let mut next = Instant::now();
    loop {
        next += Duration::from_millis(chance.u64(30_000..90_000));
        if next >= end {
            break;
        }
        sleep_until(next).await;
        restart(world, members);
        let fault = KINDS_OF_FAULTS[chance.usize(..KINDS_OF_FAULTS.len())];
        happens(world, members, chance, fault).await;
    }
    sleep_until(end).await;
    restart(world, members);
}

/// Whoever is gone comes back.
fn restart(world: &Arc<World>, members: &mut [Member]) {
    for member in members {
        member.start(world);
    }
}

async fn happens(world: &Arc<World>, members: &mut [Member], chance: &mut fastrand::Rng, fault: Fault) {
    let seconds = |from: u64, to: u64, chance: &mut fastrand::Rng| {
        Duration::from_millis(chance.u64(from * 1_000..to * 1_000))
    };
    let now = Instant::now();
    let lasts = match fault {
        Fault::StoreHangs | Fault::ProcessCut | Fault::BrokerAway => seconds(1, 40, chance),
        _ => seconds(1, 25, chance),
    };
    world.note(format_args!("FAULT {fault:?} for {} ms", lasts.as_millis()));
    let until = now + lasts;
    // A store that is away as a whole costs no worker its runs, and what only the broker, or a clock, suffers from neither.
    let costs_runs = matches!(
        fault,
        Fault::KillWorker
            | Fault::StopWorker
            | Fault::Failover
            | Fault::ProcessCut
            | Fault::ShardFails
            | Fault::ShardHangs
    );
    if costs_runs {
        world.excuse(lasts);
    }
    match fault {
        Fault::KillWorker => pick(members, Role::Worker, chance).kill(world),
        Fault::KillScheduler => pick(members, Role::Scheduler, chance).kill(world),
        Fault::StopWorker => pick(members, Role::Worker, chance).stop(world),
        Fault::StoreHangs => world.weather().hangs_until = Some(until),
        Fault::StoreDown => world.weather().down_until = Some(until),
        Fault::Failover => fail_over(world, chance).await,
        Fault::ConnectionsCut => {
            let mut weather = world.weather();
            weather.loses = chance.u32(20..400);
            weather.loses_until = Some(until);
        }
        Fault::ProcessCut => {
            let role = if chance.bool() { Role::Worker } else { Role::Scheduler };
            if let Some(process) = pick(members, role, chance).process() {
                world.note(format_args!("{} is cut off", process.name));
                world.weather().cut.insert(process.name.clone(), until);
            }
        }
        Fault::ShardFails | Fault::ShardHangs => {
            let kind = if fault == Fault::ShardFails { ShardFault::Fails } else { ShardFault::Hangs };
            world.weather().shard = Some((chance.usize(..2), kind, until));
        }
        Fault::ClockSteps => {
            let mut weather = world.weather();
            weather.clock_off = Duration::from_millis(chance.u64(0..900));
            weather.clock_behind = chance.bool();
        }
        Fault::BrokerAway => world.broker.change_weather(|weather| weather.away_until = Some(until)),
        Fault::TypeRefused => {
            let refused = (KINDS[chance.usize(..KINDS.len())], now + seconds(10, 300, chance));
            world.broker.change_weather(|weather| weather.refuses = Some(refused));
        }
        Fault::MessagesSpoilt => {
            let spoils = chance.u32(50..330);
            world.broker.change_weather(|weather| {
                weather.spoils = spoils;
                weather.spoils_until = Some(until);
            });
        }
        Fault::QueuesPurged => {
            let lost = world.broker.purge();
            world.note(format_args!("{lost} messages are gone"));
        }
    }
}

fn pick<'a>(members: &'a mut [Member], role: Role, chance: &mut fastrand::Rng) -> &'a mut Member {
    let mut of_role: Vec<&mut Member> = members.iter_mut().filter(|member| member.role() == role).collect();
    let place = chance.usize(..of_role.len());
    of_role.swap_remove(place)
}

/// The server goes on; then it is gone, and another takes over that has not heard of the last writes.
async fn fail_over(world: &Arc<World>, chance: &mut fastrand::Rng) {
    let behind = world.server().clone();
    sleep(Duration::from_millis(chance.u64(50..2_000))).await;
    world.weather().down_until = Some(Instant::now() + Duration::from_millis(chance.u64(100..6_000)));
    *world.server() = behind;
    world.failed_over();
    world.note("the store came back without its last writes");
}
