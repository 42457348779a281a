//! Who leads, and who is there.

use std::collections::BTreeMap;

use isochrone_store::{Leadership, Member, Role};

use super::Fresh;
use super::world::{KIND, LONG, SHORT, World};

fn leading(answer: &Leadership) -> Option<u64> {
    match answer {
        Leadership::Leading { term } => Some(*term),
        Leadership::Following { .. } => None,
    }
}

pub(crate) async fn one_leads_at_a_time(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let first = leading(&world.lead("a", LONG).await.unwrap()).expect("nobody led");
    let other = world.lead("b", LONG).await.unwrap();
    assert!(
        matches!(&other, Leadership::Following { leader, until } if leader == "a" && *until > world.now().await.unwrap()),
        "{other:?}"
    );
    assert_eq!(leading(&world.lead("a", LONG).await.unwrap()), Some(first), "the same term goes on");
    assert_eq!(leading(&world.lead("b", SHORT).await.unwrap()), None, "who asks for less gets no more");
    world.resign("b").await.unwrap();
    assert_eq!(leading(&world.lead("b", LONG).await.unwrap()), None, "only the leader can resign");
    world.resign("a").await.unwrap();
    let second = leading(&world.lead("b", LONG).await.unwrap()).expect("the lead was given back");
    assert!(second > first, "{second} {first}");
    assert_eq!(leading(&world.lead("a", LONG).await.unwrap()), None);
}

pub(crate) async fn one_of_many_leads(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let asking = (0..20).map(|n| {
        let world = world.clone();
        tokio::spawn(async move { world.lead(&format!("s{n}"), LONG).await.unwrap() })
    });
    let mut leaders = 0;
    for answer in asking.collect::<Vec<_>>() {
        leaders += usize::from(leading(&answer.await.unwrap()).is_some());
    }
    assert_eq!(leaders, 1);
}

pub(crate) async fn a_lead_lapses(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let first = leading(&world.lead("a", SHORT).await.unwrap()).expect("nobody led");
    world.reach(world.now().await.unwrap() + SHORT).await;
    let second = leading(&world.lead("b", LONG).await.unwrap()).expect("the lease has ended");
    assert!(second > first, "{second} {first}");
    assert_eq!(leading(&world.lead("a", LONG).await.unwrap()), None);
}

pub(crate) async fn knows_who_is_there(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let since = world.now().await.unwrap();
    let member = |name: &str| Member {
        name: name.to_owned(),
        roles: vec![Role::Scheduler, Role::Worker],
        version: "1.2.3".to_owned(),
        host: "a machine".to_owned(),
        pid: 42,
        since,
        slots: BTreeMap::from([(KIND, 8)]),
        runs: Vec::new(),
        heartbeat: None,
        keys: Vec::new(),
        seals_with: None,
        artifacts: None,
    };
    world.announce(&member("silent"), SHORT).await.unwrap();
    world.reach(world.now().await.unwrap() + SHORT).await;
    world.announce(&member("w2"), LONG).await.unwrap();
    world.announce(&member("w1"), LONG).await.unwrap();
    let run = world.some_run().await;
    let busy = Member { runs: vec![run.id], ..member("w2") };
    world.announce(&busy, LONG).await.unwrap();
    assert!(leading(&world.lead("w2", LONG).await.unwrap()).is_some());
    let present = world.members().await.unwrap();
    assert_eq!(present.iter().map(|one| &one.member).collect::<Vec<_>>(), [&member("w1"), &busy]);
    assert_eq!(present.iter().map(|one| one.leads).collect::<Vec<_>>(), [false, true]);
    assert!(present.iter().all(|one| one.seen >= since));
    world.depart("w2").await.unwrap();
    world.depart("nobody").await.unwrap();
    let names = world.members().await.unwrap().into_iter().map(|one| one.member.name).collect::<Vec<_>>();
    assert_eq!(names, ["w1"]);
}

pub(crate) async fn one_at_a_time_has_it(fresh: &impl Fresh) {
    let world = World::hasty(fresh).await;
    let asks = async |what: &str, holder: &str, length| world.hold(what, holder, length).await.unwrap();
    assert!(asks("a", "ann", LONG).await);
    assert!(!asks("a", "bob", LONG).await && asks("b", "bob", LONG).await, "each thing has its own holder");
    assert!(asks("a", "ann", LONG).await, "whoever has it goes on");
    world.let_go("a", "bob").await.unwrap();
    assert!(!asks("a", "bob", LONG).await, "nobody gives away what is not theirs");
    world.let_go("a", "ann").await.unwrap();
    assert!(asks("a", "bob", SHORT).await);
    let over = world.now().await.unwrap() + SHORT;
    world.reach(over).await;
    assert!(asks("a", "ann", LONG).await, "a hold ends by itself");
    let many = ["1", "2", "3", "4", "5"].map(|holder| asks("c", holder, LONG));
    let got = futures::future::join_all(many).await;
    assert_eq!(got.iter().filter(|got| **got).count(), 1, "{got:?}");
}
