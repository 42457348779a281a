//! Users as ArcGIS's clients see them.

use std::collections::BTreeMap;

use isochrone_domain::{Role, User};
use serde::Serialize;
use serde_json::{Value, json};

use super::PORTAL_ID;
use crate::answer::{Answer, Document, Failure, missing};
use crate::items::quota::Storage;
use crate::request::Call;
use crate::serve::Served;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserDocument {
    username: String,
    id: String,
    full_name: String,
    first_name: String,
    last_name: String,
    email: Option<String>,
    description: Option<&'static str>,
    preferred_view: Option<&'static str>,
    thumbnail: Option<&'static str>,
    org_id: &'static str,
    role: &'static str,
    role_id: &'static str,
    level: &'static str,
    user_license_type_id: &'static str,
    privileges: &'static [&'static str],
    user_type: &'static str,
    access: &'static str,
    created: i64,
    modified: i64,
    last_login: i64,
    groups: [&'static str; 0],
    tags: [&'static str; 0],
    disabled: bool,
    provider: &'static str,
    storage_usage: u64,
    storage_quota: u64,
    culture: &'static str,
    region: &'static str,
    units: &'static str,
}

impl UserDocument {
    /// With what is in use of the room for the user's items.
    pub(super) async fn of(portal: &Served, user: User) -> Result<UserDocument, Failure> {
        let storage = portal.items.storage_of(&*portal.store, &user.name).await?;
        Ok(UserDocument::new(user, storage))
    }

    fn new(user: User, storage: Storage) -> UserDocument {
        UserDocument {
            id: user.name.to_ascii_lowercase(),
            full_name: user.name.clone(),
            first_name: user.name.clone(),
            last_name: String::new(),
            email: None,
            // Clients expect these names, as an ArcGIS portal has them for users who never set them.
            description: None,
            preferred_view: None,
            thumbnail: None,
            org_id: PORTAL_ID,
            role: user.role.arcgis(),
            role_id: user.role.arcgis(),
            level: "2",
            user_license_type_id: "creatorUT",
            privileges: privileges(user.role),
            user_type: "arcgisonly",
            access: "org",
            created: user.created.0,
            modified: user.created.0,
            last_login: user.last_login.map_or(-1, |at| at.0),
            groups: [],
            tags: [],
            disabled: user.disabled.is_some(),
            provider: "arcgis",
            storage_usage: storage.usage,
            storage_quota: storage.quota,
            culture: "en",
            region: "WO",
            units: "metric",
            username: user.name,
        }
    }
}

/// What ArcGIS's clients decide by what they offer: an administrator is who has a `portal:admin` one.
fn privileges(role: Role) -> &'static [&'static str] {
    const ALL: &[&str] = &[
        "portal:user:viewOrgItems",
        "portal:user:createItem",
        "premium:publisher:createNotebooks",
        "premium:publisher:scheduleNotebooks",
        "portal:admin:viewUsers",
        "portal:admin:scheduleTasks",
    ];
    match role {
        Role::Viewer => const { ALL.split_at(1).0 },
        Role::Publisher => const { ALL.split_at(4).0 },
        Role::Admin => ALL,
    }
}

/// `GET community/self`
pub(crate) async fn community_self(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    document(portal, portal.sign_in.caller(call).await?.user).await
}

/// `GET community/users/<name>`
pub(crate) async fn user(portal: &Served, call: &Call, name: &str) -> Result<Answer, Failure> {
    let caller = portal.sign_in.caller(call).await?;
    if !caller.user.may_read(name) {
        return Err(Failure::forbidden());
    }
    document(portal, portal.store.user(name).await?.ok_or_else(|| missing("user"))?).await
}

/// `portals/self/roles`: there are none of an organization's own.
pub(crate) async fn roles(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    portal.sign_in.caller(call).await?;
    let paging = call.parameters.paging(100, 100)?;
    let none: [&str; 0] = [];
    let list = json!({"total": 0, "start": paging.start, "num": paging.num, "nextStart": -1, "roles": none});
    Ok(Document::new("Roles", list).into())
}

/// `portals/self/users`
pub(crate) async fn users(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    if portal.sign_in.caller(call).await?.user.role != Role::Admin {
        return Err(Failure::forbidden());
    }
    let paging = call.parameters.paging(10, 100)?;
    let all = portal.store.users().await?;
    let total = all.len() as u64;
    let first = usize::try_from(paging.start - 1).unwrap_or(usize::MAX);
    let num = usize::try_from(paging.num).unwrap_or(usize::MAX);
    let mut shown = Vec::new();
    for user in all.into_iter().skip(first).take(num) {
        shown.push(UserDocument::of(portal, user).await?);
    }
    let links: Vec<_> = shown.iter().map(|user| user.username.clone()).collect();
    let list = json!({
        "total": total,
        "start": paging.start,
        "num": paging.num,
        "nextStart": paging.next_start(shown.len(), total),
        "users": shown,
    });
    let page = Document::new("Users", list);
    Ok(links
        .into_iter()
        .fold(page, |page, name| page.link(name.clone(), format!("/community/users/{name}")))
        .into())
}

/// `portals/self/users/counts`: how many users there are of each role or user type. There are no apps and no bundles.
pub(crate) async fn user_counts(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    if portal.sign_in.caller(call).await?.user.role != Role::Admin {
        return Err(Failure::forbidden());
    }
    let paging = call.parameters.paging(100, 100)?;
    let key: fn(&UserDocument) -> &'static str = match call.parameters.given("type").unwrap_or("role") {
        "role" => |user| user.role,
        "userLicenseType" => |user| user.user_license_type_id,
        "app" | "appBundle" => |_| "",
        other => {
            let words = format!("type: {other:?} is none of role, userLicenseType, app and appBundle.");
            return Err(Failure::new(400, words));
        }
    };
    let mut counts = BTreeMap::<&str, u64>::new();
    for user in portal.store.users().await? {
        *counts.entry(key(&UserDocument::new(user, Storage::default()))).or_default() += 1;
    }
    counts.remove("");
    let total = counts.len() as u64;
    let first = usize::try_from(paging.start - 1).unwrap_or(usize::MAX);
    let num = usize::try_from(paging.num).unwrap_or(usize::MAX);
    let shown = counts.iter().skip(first).take(num).map(|(key, count)| json!({"key": key, "count": count}));
    let shown: Vec<Value> = shown.collect();
    let list = json!({
        "total": total,
        "start": paging.start,
        "num": paging.num,
        "nextStart": paging.next_start(shown.len(), total),
        "results": shown,
    });
    Ok(Document::new("User counts", list).into())
}

async fn document(portal: &Served, user: User) -> Result<Answer, Failure> {
    let tasks = format!("/community/users/{}/tasks", user.name);
    let name = user.name.clone();
    Ok(Document::new(name, UserDocument::of(portal, user).await?).link("Tasks", tasks).into())
}
