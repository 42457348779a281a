//! Items and their data.

use std::sync::Arc;

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, Item, ItemId};

use super::RedisStore;
use super::audit::note_audit;
use super::batch::{Answers, Batch};
use super::commit::Commit;
use super::keys::{Shard, folded};
use super::lists::{From, Span};
use super::records::{from_record, id_of, readable, record_json};
use crate::{ItemStore, Page, Paged, Result, Saved, Tries};

const HOME: Shard = Shard::COMMON;

#[async_trait]
impl ItemStore for RedisStore {
    async fn put_item(&self, item: &Item, data: Option<Arc<Vec<u8>>>, audit: AuditEntry) -> Result<Saved> {
        let body = self.item_body(item.id).await?;
        let old: Option<Item> = body.as_deref().map(from_record).transpose()?;
        if old.as_ref().map_or(0, |old| old.version) != item.version {
            return Ok(Saved::Stale);
        }
        let (key, member) = (self.item_key(item.id), item.id.to_string());
        let mut commit = Commit::new(HOME);
        commit.check_same(&key, "b", body.as_deref());
        if let Some(old) = &old {
            commit.take(&self.items_key(Some(&old.owner)), &member);
        }
        let new = Item { version: item.version + 1, ..item.clone() };
        commit.set(&key, &[("b", &record_json(&new))]);
        if let Some(data) = &data {
            commit.keep(&self.item_data_key(item.id), data);
        }
        commit.put(&self.items_key(None), item.created.0, &member);
        commit.put(&self.items_key(Some(&item.owner)), item.created.0, &member);
        note_audit(&mut commit, HOME, &audit);
        Ok(if self.commit(commit).await? { Saved::Done } else { Saved::Stale })
    }

    async fn item(&self, id: ItemId) -> Result<Option<Item>> {
        self.item_body(id).await?.map(|body| from_record(&body)).transpose()
    }

    async fn item_data(&self, id: ItemId) -> Result<Option<Vec<u8>>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["GET", &self.item_data_key(id)]);
        self.ask(batch).await?.bytes()
    }

    async fn item_with_data(&self, id: ItemId) -> Result<Option<(Item, Vec<u8>)>> {
        let mut tries = Tries::default();
        loop {
            let Some(body) = self.item_body(id).await? else { return Ok(None) };
            let data = self.item_data(id).await?;
            // A write replaces both at once: what has the same version before and after is of one moment.
            if self.item_body(id).await?.as_ref() == Some(&body) {
                return Ok(Some(from_record(&body)?).zip(data));
            }
            tries.again().await?;
        }
    }

    async fn delete_item(&self, id: ItemId, audit: AuditEntry) -> Result<bool> {
        let mut tries = Tries::default();
        loop {
            let Some(body) = self.item_body(id).await? else {
                self.confirm_shard(HOME).await?;
                return Ok(false);
            };
            let (key, member, old) = (self.item_key(id), id.to_string(), from_record::<Item>(&body)?);
            let mut commit = Commit::new(HOME);
            commit.check_same(&key, "b", Some(&body));
            commit.delete(&key);
            commit.delete(&self.item_data_key(id));
            commit.take(&self.items_key(None), &member);
            commit.take(&self.items_key(Some(&old.owner)), &member);
            note_audit(&mut commit, HOME, &audit);
            if self.commit(commit).await? {
                return Ok(true);
            }
            tries.again().await?;
        }
    }

    async fn items(&self, owner: Option<&str>, page: Page) -> Result<Paged<Item>> {
        let sources = [(HOME, self.items_key(owner))];
        let total = self.total(&sources).await?;
        let until = page.offset.saturating_add(page.limit).min(total);
        let entries = self.first(&sources, From::Highest, &Span::all(), until).await?;
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let ids =
            entries.iter().skip(skip).map(|entry| id_of(&entry.member)).collect::<Result<Vec<ItemId>>>()?;
        let mut batch = Batch::default();
        for id in &ids {
            batch.add(HOME, ["HGET", &self.item_key(*id), "b"]);
        }
        let mut answers = self.ask(batch).await?;
        let mut rows = Vec::with_capacity(ids.len());
        for id in &ids {
            rows.extend(readable(take_item(&mut answers), "item", id)?.flatten());
        }
        Ok(Paged { rows, total })
    }
}

fn take_item(answers: &mut Answers) -> Result<Option<Item>> {
    answers.bytes()?.map(|body| from_record(&body)).transpose()
}

impl RedisStore {
    async fn item_body(&self, id: ItemId) -> Result<Option<Vec<u8>>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HGET", &self.item_key(id), "b"]);
        self.ask(batch).await?.bytes()
    }

    fn item_key(&self, id: ItemId) -> String {
        self.keys.named(HOME, &format!("item:{id}"))
    }

    fn item_data_key(&self, id: ItemId) -> String {
        self.keys.named(HOME, &format!("item-data:{id}"))
    }

    /// The items of an owner, or all, by their creation.
    fn items_key(&self, owner: Option<&str>) -> String {
        match owner {
            Some(owner) => self.keys.named(HOME, &format!("items-of:{}", folded(owner))),
            None => self.keys.named(HOME, "items"),
        }
    }
}
