//! Items and their data.

use std::sync::Arc;

use isochrone_domain::{
    Access, Action, AuditEntry, EpochMillis, Item, ItemDetails, ItemId, ItemVersion, TaskId, UnknownFields,
};
use isochrone_store::{Page, Saved};

use super::Fresh;
use super::ledger::EVER;
use super::world::{ALL, World, entry};

fn item(owner: &str, created: i64) -> Item {
    Item {
        id: ItemId::random(),
        owner: owner.to_owned(),
        access: Access::Private,
        title: "A notebook".to_owned(),
        kind: "Notebook".to_owned(),
        size: 3,
        created: EpochMillis(created),
        modified: EpochMillis(created),
        content: ItemVersion::default(),
        version: 0,
        unknown: UnknownFields::NONE,
        details: ItemDetails {
            tags: vec!["a, b".to_owned()],
            snippet: Some("short".to_owned()),
            ..ItemDetails::default()
        },
    }
}

async fn save(world: &World, item: &Item, data: Option<&[u8]>) -> Saved {
    let entry = AuditEntry { item: Some(item.id), task: None, ..entry(Action::AddItem, TaskId::random()) };
    world.put_item(item, data.map(|data| Arc::new(data.to_vec())), entry).await.unwrap()
}

/// Keeps it; gives it as it is kept.
async fn put(world: &World, item: &Item, data: &[u8]) -> Item {
    assert_eq!(save(world, item, Some(data)).await, Saved::Done);
    Item { version: item.version + 1, ..item.clone() }
}

pub(crate) async fn keeps_items_and_data(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let notebook = item("ann", 1);
    let data: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let notebook = put(&world, &notebook, &data).await;
    assert_eq!(world.item(notebook.id).await.unwrap(), Some(notebook.clone()));
    assert_eq!(world.item_data(notebook.id).await.unwrap(), Some(data.clone()));
    assert_eq!(world.item_with_data(notebook.id).await.unwrap(), Some((notebook.clone(), data)));
    assert_eq!(world.item_with_data(ItemId::random()).await.unwrap(), None);
    assert_eq!(world.item(ItemId::random()).await.unwrap(), None);
    assert_eq!(world.item_data(ItemId::random()).await.unwrap(), None);
    assert_eq!(world.audit(EVER).await.unwrap()[0].item, Some(notebook.id));
}

pub(crate) async fn replaces_items(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let old = put(&world, &item("ann", 1), b"old").await;
    let new = Item { title: "Another".to_owned(), size: 0, modified: EpochMillis(2), ..old };
    let new = put(&world, &new, b"").await;
    assert_eq!(world.item(new.id).await.unwrap(), Some(new.clone()));
    assert_eq!(world.item_data(new.id).await.unwrap(), Some(Vec::new()));
    assert_eq!(world.items(None, ALL).await.unwrap().rows, [new]);
}

pub(crate) async fn pages_items_newest_first(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut newest_first = Vec::new();
    for created in 1..=5 {
        let owner = if created % 2 == 0 { "bob" } else { "ann" };
        let item = put(&world, &item(owner, created), b"...").await;
        newest_first.insert(0, item);
    }
    let page = world.items(None, Page { offset: 1, limit: 2 }).await.unwrap();
    assert_eq!((page.rows.as_slice(), page.total), (&newest_first[1..3], 5));
    let of_bob = world.items(Some("Bob"), ALL).await.unwrap();
    let expected: Vec<_> = newest_first.iter().filter(|item| item.owner == "bob").cloned().collect();
    assert_eq!((of_bob.rows, of_bob.total), (expected, 2));
}

pub(crate) async fn deletes_items_with_their_data(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let gone = put(&world, &item("ann", 1), b"...").await;
    let stays = put(&world, &item("ann", 2), b"...").await;
    let delete = async || {
        let entry =
            AuditEntry { item: Some(gone.id), task: None, ..entry(Action::DeleteItem, TaskId::random()) };
        world.delete_item(gone.id, entry).await.unwrap()
    };
    assert!(delete().await);
    assert_eq!(world.item(gone.id).await.unwrap(), None);
    assert_eq!(world.item_data(gone.id).await.unwrap(), None);
    let left = world.items(None, ALL).await.unwrap().rows;
    assert_eq!(left, world.items(Some("ann"), ALL).await.unwrap().rows);
    assert_eq!(left, [stays]);
    assert!(!delete().await);
    let noted = world.audit(EVER).await.unwrap();
    assert_eq!(noted.iter().filter(|entry| entry.action == Action::DeleteItem).count(), 1);
}

pub(crate) async fn writes_only_over_the_item_that_was_read(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let new = item("ann", 1);
    let read = put(&world, &new, b"data").await;
    assert_eq!(save(&world, &new, Some(b"other")).await, Saved::Stale, "there is one of its id");
    let renamed = Item { title: "Renamed".to_owned(), ..read.clone() };
    assert_eq!(save(&world, &renamed, None).await, Saved::Done);
    assert_eq!(world.item_data(new.id).await.unwrap().as_deref(), Some(&b"data"[..]), "the data stays");
    assert_eq!(save(&world, &read, Some(b"late")).await, Saved::Stale);
    let stored = Item { version: 2, ..renamed };
    assert_eq!(world.item_with_data(new.id).await.unwrap(), Some((stored.clone(), b"data".to_vec())));
    let writers = (0..20).map(|_| save(&world, &stored, Some(b"one")));
    let saved = futures::future::join_all(writers).await;
    assert_eq!(saved.iter().filter(|saved| **saved == Saved::Done).count(), 1, "one of many wins");
    let gone = item("ann", 1);
    let vanished = Item { version: 3, ..gone };
    assert_eq!(save(&world, &vanished, None).await, Saved::Stale, "it is not there");
}
