//! `isochrone item`: the notebooks that tasks run.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use isochrone_domain::{Access, Action, EpochMillis, Item, ItemId, UnknownFields, read_notebook};
use isochrone_store::{Page, Saved};
use serde::Serialize;

use crate::args::{ItemCommand, OutputFormat};
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::wiring::{self, House};

/// An item's data lies in the store, beside all that must survive.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Serialize)]
#[serde(transparent)]
struct ItemRow(Item);

impl Row for ItemRow {
    const COLUMNS: &'static [&'static str] = &["id", "type", "title", "owner", "bytes", "modified"];

    fn cells(&self) -> Vec<String> {
        let item = &self.0;
        vec![
            item.id.to_string(),
            item.kind.clone(),
            item.title.clone(),
            item.owner.clone(),
            item.size.to_string(),
            item.modified.to_string(),
        ]
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    id: ItemId,
    title: String,
}

pub(crate) async fn run(loaded: &Loaded, command: ItemCommand, output: OutputFormat) -> Result<ExitCode> {
    match command {
        ItemCommand::Add { file, id, title, owner } => {
            let data = read(&file)?;
            let title = title.unwrap_or_else(|| {
                file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
            });
            let house = House::open(&loaded.config).await?;
            let id = add_notebook(&house, id, &title, owner.as_deref(), data).await?;
            output::one(output, &Added { id, title })?;
        }
        ItemCommand::List { owner } => {
            let house = House::open_existing(&loaded.config).await?;
            let page = Page { offset: 0, limit: 10_000 };
            let items = house.store.items(owner.as_deref(), page).await?;
            let rows: Vec<ItemRow> = items.rows.into_iter().map(ItemRow).collect();
            output::list(output, &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let about = || format!("the notebook {}", file.display());
    let size = std::fs::metadata(file).with_context(about)?.len();
    if size > MOST_BYTES {
        bail!("{} has {size} bytes; at most {MOST_BYTES} are allowed", file.display());
    }
    let data = std::fs::read(file).with_context(about)?;
    let notebook = read_notebook(&data).map_err(|why| anyhow!("{} is no notebook: {why}", file.display()))?;
    if !["cells", "worksheets"].iter().any(|cells| notebook[cells].is_array()) {
        eprintln!("isochrone: {} has no cells: its runs will be refused", file.display());
    }
    Ok(data)
}

/// Adds a notebook, or replaces the data of the one with this id. Without an owner it is admin's, and
/// every user's tasks may run it.
pub(crate) async fn add_notebook(
    house: &House,
    id: Option<ItemId>,
    title: &str,
    owner: Option<&str>,
    data: Vec<u8>,
) -> Result<ItemId> {
    let id = id.unwrap_or_else(ItemId::random);
    let now: EpochMillis = house.store.now().await?;
    let known = house.store.item(id).await?;
    let owner = match owner {
        Some(name) => {
            let user = house.store.user(name).await?;
            Some(user.with_context(|| format!("there is no user {name}"))?.name)
        }
        None => None,
    };
    if let (Some(owner), Some(item)) = (&owner, &known)
        && *owner != item.owner
    {
        bail!("item {id} is {}'s; it keeps its owner", item.owner);
    }
    let item = Item {
        id,
        access: match (&owner, &known) {
            (Some(_), _) => Access::Private,
            (None, Some(item)) => item.access,
            (None, None) => Access::Org,
        },
        owner: owner.or_else(|| known.as_ref().map(|item| item.owner.clone())).unwrap_or("admin".to_owned()),
        title: title.to_owned(),
        kind: "Notebook".to_owned(),
        size: 0,
        created: known.as_ref().map_or(now, |item| item.created),
        modified: now,
        content: known.as_ref().map(|item| item.content.clone()).unwrap_or_default(),
        version: known.as_ref().map_or(0, |item| item.version),
        unknown: known.as_ref().map_or(UnknownFields::NONE, |item| item.unknown.clone()),
        details: known.map(|item| item.details).unwrap_or_default(),
    };
    let item = item.with_data(&data, "admin", now);
    let audit = isochrone_domain::AuditEntry {
        item: Some(id),
        ..wiring::audit(Action::AddItem, now, &item.title, &item.owner)
    };
    match house.store.put_item(&item, Some(Arc::new(data)), audit).await? {
        Saved::Done => Ok(id),
        Saved::Stale | Saved::Repeated => {
            bail!("item {id} was changed by somebody else meanwhile; try again")
        }
    }
}
