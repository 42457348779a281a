//! What changes an item: add, update, delete.

use std::sync::Arc;

use isochrone_domain::{
    Access, Action, AuditEntry, EpochMillis, Item, ItemDetails, ItemId, ItemVersion, UnknownFields,
};
use isochrone_scheduler::Caller;
use isochrone_store::{Saved, Scope, Tries};

use super::Of;
use super::quota::Usage;
use super::wire::Changed;
use crate::answer::{Answer, Document, Failure};
use crate::request::{Parameters, Upload};

/// Longest title, and longest of the other texts, in bytes.
const TITLE: usize = 1_024;
const TEXT: usize = 64 << 10;

/// `POST content/users/<user>/addItem`: with the data as `file` or `text`, or in parts that follow
/// (`multipart=true`).
pub(crate) async fn add(of: Of<'_>) -> Result<Answer, Failure> {
    let (caller, owner) = of.changer().await?;
    let parameters = &of.call.parameters;
    let now = of.portal.store.now().await?;
    let size = size(parameters).unwrap_or_default();
    let blank = Item {
        id: ItemId::random(),
        owner: owner.clone(),
        access: Access::Private,
        title: String::new(),
        kind: parameters.required("type")?.to_owned(),
        size: 0,
        created: now,
        modified: now,
        content: ItemVersion::default(),
        details: ItemDetails::default(),
        version: 0,
        unknown: UnknownFields::NONE,
    };
    parameters.required("title")?;
    let item = described(blank, parameters)?;
    let _turn = of.portal.items.turnstile.pass().await;
    of.portal.items.admit(&*of.portal.store, &owner, Usage { items: 1, bytes: size }).await?;
    let data = data(parameters).await?.unwrap_or_default();
    let item = item.with_data(&data, &caller.user.name, now);
    let audit = entry(&caller, Action::AddItem, &item, now);
    match of.portal.store.put_item(&item, Some(Arc::new(data)), audit).await? {
        Saved::Done => Ok(changed("Item added", item.id)),
        // Nobody else has an id that was drawn at random.
        Saved::Stale | Saved::Repeated => Err(Failure::internal()),
    }
}

/// `POST content/users/<user>/items/<id>/update`: what is absent or empty stays as it is.
pub(crate) async fn update(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let (caller, owner) = of.changer().await?;
    let _turn = of.portal.items.turnstile.pass().await;
    let old = of.item(&owner, id).await?;
    let more = size(&of.call.parameters).map_or(0, |size| size.saturating_sub(old.size));
    of.portal.items.admit(&*of.portal.store, &owner, Usage { items: 0, bytes: more }).await?;
    let data = data(&of.call.parameters).await?;
    let described = |item| described(item, &of.call.parameters);
    let item = change(of, &caller, &owner, id, data, described).await?;
    Ok(changed("Item updated", item.id))
}

/// `POST content/users/<user>/items/<id>/delete`. Runs of tasks that point at it fail with that reason.
pub(crate) async fn delete(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let (caller, owner) = of.changer().await?;
    let item = match of.item(&owner, id).await {
        Err(missing) => {
            // It may be gone on one server alone.
            of.portal.store.confirm(Scope::Common).await?;
            return Err(missing);
        }
        Ok(item) => item,
    };
    let now = of.portal.store.now().await?;
    let audit = entry(&caller, Action::DeleteItem, &item, now);
    if !of.portal.store.delete_item(item.id, audit).await? {
        return Err(super::no_item());
    }
    of.portal.items.uploads.forget(&owner, item.id).await;
    Ok(Document::new("Item deleted", Changed::from(item.id)).into())
}

/// Changes the stored item, and its data where some is brought; anew if somebody else wrote in between, so that two
/// changes of different things are both kept.
pub(super) async fn change(
    of: Of<'_>,
    caller: &Caller,
    owner: &str,
    id: &str,
    data: Option<Vec<u8>>,
    changed: impl Fn(Item) -> Result<Item, Failure>,
) -> Result<Item, Failure> {
    let data = data.map(Arc::new);
    let mut tries = Tries::default();
    loop {
        let item = changed(of.item(owner, id).await?)?;
        let now = of.portal.store.now().await?;
        let item = match &data {
            Some(data) => item.with_data(data, &caller.user.name, now),
            None => Item { modified: now, ..item },
        };
        let audit = entry(caller, Action::AddItem, &item, now);
        match of.portal.store.put_item(&item, data.clone(), audit).await? {
            Saved::Done => return Ok(item),
            Saved::Stale | Saved::Repeated => tries.again().await?,
        }
    }
}

pub(super) fn changed(title: &str, id: ItemId) -> Answer {
    Document::new(title, Changed::from(id)).link("Item", format!("/content/items/{id}")).into()
}

/// How many bytes of data the request brings.
fn size(parameters: &Parameters) -> Option<u64> {
    let text = || parameters.given("text").map(|text| text.len() as u64);
    parameters.upload().map(Upload::size).or_else(text)
}

/// The bytes that the request brings.
async fn data(parameters: &Parameters) -> Result<Option<Vec<u8>>, Failure> {
    match parameters.upload() {
        Some(upload) => upload.bytes().await.map(Some),
        None => Ok(parameters.given("text").map(|text| text.as_bytes().to_vec())),
    }
}

/// The item with what the parameters say of it.
fn described(mut item: Item, parameters: &Parameters) -> Result<Item, Failure> {
    let text = |name: &'static str, most: usize| match parameters.given(name) {
        Some(text) if text.len() > most => {
            Err(Failure::parameter(name, format!("is longer than {most} bytes")))
        }
        text => Ok(text.map(str::to_owned)),
    };
    let words = |name: &'static str| {
        let words = |text: String| -> Vec<String> {
            text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        };
        text(name, TEXT).map(|text| text.map(words))
    };
    if let Some(title) = text("title", TITLE)? {
        item.title = title;
    }
    if let Some(kind) = text("type", TITLE)? {
        item.kind = kind;
    }
    if let Some(access) = parameters.given("access") {
        item.access = match access {
            "private" => Access::Private,
            "org" | "public" => Access::Org,
            _ => return Err(Failure::parameter("access", "is unknown; expected private, org or public")),
        };
    }
    let details = &mut item.details;
    if let Some(tags) = words("tags")? {
        details.tags = tags;
    }
    if let Some(keywords) = words("typeKeywords")? {
        details.type_keywords = keywords;
    }
    for (name, field) in [
        ("description", &mut details.description),
        ("snippet", &mut details.snippet),
        ("url", &mut details.url),
    ] {
        if let Some(text) = text(name, TEXT)? {
            *field = Some(text);
        }
    }
    Ok(item)
}

fn entry(caller: &Caller, action: Action, item: &Item, at: EpochMillis) -> AuditEntry {
    let entry = AuditEntry::new(at, &caller.user.name, action, &item.owner, &item.title);
    AuditEntry { ip: caller.ip.clone(), item: Some(item.id), ..entry }
}
