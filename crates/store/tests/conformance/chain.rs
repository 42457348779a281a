//! The audit log's chains.

use isochrone_domain::{Action, AuditEntry, CancelReason, EpochMillis, UnknownFields, User};
use isochrone_store::chain::{AuditChain, Head, verify};
use isochrone_store::seal::Keyring;

use super::Fresh;
use super::ledger::EVER;
use super::world::World;

/// All chains as they are kept.
pub(crate) async fn chains(world: &World) -> Vec<AuditChain> {
    let mut chains = Vec::new();
    for index in 0..world.audit_heads().await.unwrap().len() {
        chains.push(world.audit_chain(index).await.unwrap());
    }
    chains
}

/// How many entries the chains have that are whole.
fn whole(chains: &[AuditChain]) -> u64 {
    let ring = Keyring::default();
    chains.iter().map(|chain| verify(chain, &ring).unwrap()).map(|verified| verified.entries).sum()
}

async fn add_user(world: &World, name: &str, at: i64) {
    let user = User {
        name: name.to_owned(),
        role: isochrone_domain::Role::Viewer,
        password_hash: String::new(),
        created: EpochMillis(at),
        last_login: None,
        disabled: None,
        epoch: 0,
        unknown: UnknownFields::NONE,
    };
    let entry = AuditEntry::new(EpochMillis(at), "ann", Action::SetUser, name, name);
    assert!(world.add_user(&user, entry).await.unwrap());
}

pub(crate) async fn chains_what_is_done_at_once(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let empty = Head::of(&world.audit_heads().await.unwrap());
    assert_eq!(empty.entries(), 0);
    let mut doing = tokio::task::JoinSet::new();
    for number in 0..12 {
        let world = world.clone();
        doing.spawn(async move {
            add_user(&world, &format!("user{number}"), number).await;
            let task = world.add(|_| {}).await;
            let run = world.request(task.id).await;
            drop(
                world
                    .cancel_run(
                        run.id,
                        CancelReason::Requested,
                        super::world::entry(Action::CancelRun, task.id),
                    )
                    .await
                    .unwrap(),
            );
        });
    }
    while let Some(done) = doing.join_next().await {
        done.unwrap();
    }
    let noted = Head::of(&world.audit_heads().await.unwrap());
    assert_eq!((noted.entries(), world.audit(EVER).await.unwrap().len()), (48, 48));
    assert_eq!(whole(&chains(&world).await), 48);
    // What is refused leaves no entry and no gap.
    let again = User { name: "USER1".to_owned(), ..world.user("user1").await.unwrap().unwrap() };
    let entry = AuditEntry::new(EpochMillis(99), "ann", Action::SetUser, "user1", "user1");
    assert!(!world.add_user(&again, entry).await.unwrap());
    add_user(&world, "last", 100).await;
    let chains = chains(&world).await;
    assert_eq!(whole(&chains), 49);
    assert_eq!(noted.check(&chains), Ok(()));
}

pub(crate) async fn forgets_the_beginning_behind_a_checkpoint(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    // The clock was set back once.
    for (number, at) in [10, 20, 15, 30, 25, 40].into_iter().enumerate() {
        add_user(&world, &format!("user{number}"), at).await;
    }
    let noted = Head::of(&world.audit_heads().await.unwrap());
    // Behind the one of 30 that of 25 stays, too: what is forgotten is a beginning.
    assert_eq!(world.trim_records(EpochMillis(30), 2).await.unwrap(), 2);
    assert_eq!(world.trim_records(EpochMillis(30), 100).await.unwrap(), 1);
    assert_eq!(world.trim_records(EpochMillis(30), 100).await.unwrap(), 0);
    let left =
        async || -> Vec<i64> { world.audit(EVER).await.unwrap().iter().map(|entry| entry.at.0).collect() };
    assert_eq!(left().await, [25, 30, 40]);
    let trimmed = chains(&world).await;
    assert_eq!(whole(&trimmed), 3);
    assert_eq!(noted.check(&trimmed), Ok(()));
    assert_eq!(world.trim_records(EpochMillis(1_000), 100).await.unwrap(), 3);
    add_user(&world, "later", 2_000).await;
    assert_eq!(whole(&chains(&world).await), 1, "the chain goes on behind what was forgotten");
    assert_eq!(Head::of(&world.audit_heads().await.unwrap()).entries(), 7);
}
