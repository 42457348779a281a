//! Lists of items: a user's, and what a search finds.

use isochrone_domain::{Item, User};
use isochrone_store::Page;
use serde::Serialize;

use super::Of;
use super::query::Query;
use super::wire::ItemDocument;
use crate::answer::{Answer, Document, Failure};
use crate::request::Call;
use crate::serve::Served;

/// Items that are read together.
const STEP: u64 = 500;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    username: String,
    total: u64,
    start: u64,
    num: u64,
    next_start: i64,
    current_folder: Option<String>,
    items: Vec<ItemDocument>,
    folders: [&'static str; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    query: String,
    total: u64,
    start: u64,
    num: u64,
    next_start: i64,
    results: Vec<ItemDocument>,
}

/// `GET content/users/<user>`
pub(crate) async fn list(of: Of<'_>) -> Result<Answer, Failure> {
    let (_, owner) = of.reader().await?;
    let paging = of.call.parameters.paging(10, 100)?;
    let found = of.portal.store.items(Some(&owner), paging.page()).await?;
    let next_start = paging.next_start(found.rows.len(), found.total);
    let items: Vec<_> = found.rows.into_iter().map(ItemDocument::from).collect();
    let links: Vec<_> = items.iter().map(ItemDocument::link).collect();
    let content = Content {
        total: found.total,
        start: paging.start,
        num: paging.num,
        next_start,
        current_folder: None,
        items,
        folders: [],
        username: owner.clone(),
    };
    Ok(linked(Document::new(format!("Items of {owner}"), content), links))
}

/// `search`: the newest first, of the items that the caller may read.
pub(crate) async fn search(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    let caller = portal.sign_in.caller(call).await?;
    let text = call.parameters.given("q").or_else(|| call.parameters.given("filter")).unwrap_or_default();
    let query = Query::parse(text).map_err(|problem| Failure::parameter("q", problem))?;
    let paging = call.parameters.paging(10, 100)?;
    let all = matching(portal, &caller.user, &query).await?;
    let total = all.len() as u64;
    let first = usize::try_from(paging.start - 1).unwrap_or(usize::MAX);
    let num = usize::try_from(paging.num).unwrap_or(usize::MAX);
    let results: Vec<_> = all.into_iter().skip(first).take(num).map(ItemDocument::from).collect();
    let links: Vec<_> = results.iter().map(ItemDocument::link).collect();
    let found = Found {
        query: text.to_owned(),
        total,
        start: paging.start,
        num: paging.num,
        next_start: paging.next_start(results.len(), total),
        results,
    };
    Ok(linked(Document::new("Search", found), links))
}

async fn matching(portal: &Served, user: &User, query: &Query) -> Result<Vec<Item>, Failure> {
    let (mut matching, mut page) = (Vec::new(), Page { offset: 0, limit: STEP });
    loop {
        let rows = portal.store.items(None, page).await?.rows;
        let read = rows.len() as u64;
        matching.extend(rows.into_iter().filter(|item| item.readable_by(user) && query.finds(item)));
        if read < STEP {
            return Ok(matching);
        }
        page.offset += STEP;
    }
}

fn linked(page: Document, links: Vec<(String, String)>) -> Answer {
    links.into_iter().fold(page, |page, (label, path)| page.link(label, path)).into()
}
