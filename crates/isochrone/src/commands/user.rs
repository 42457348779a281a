//! `isochrone user`: who may sign in.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use isochrone_domain::{Action, AuditEntry, Item, Role, UnknownFields, User, UserChange};
use isochrone_portal::{keys, passwords};
use isochrone_store::{Page, Saved, Scope, TaskFilter, Token, TokenBinding, TokenPurpose, UserChanged};
use serde::Serialize;

use crate::args::{OutputFormat, UserCommand};
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::wiring::{self, House};

/// The user is gone; what the user owned is somebody else's.
#[derive(Serialize)]
struct UserDeleted {
    deleted: String,
    tasks: u64,
    items: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

#[derive(Serialize)]
struct MadeKey {
    id: String,
    user: String,
    key: String,
    expires: i64,
}

#[derive(Serialize)]
struct Revoked {
    revoked: String,
    user: String,
}

#[derive(Serialize)]
struct KeyRow {
    id: String,
    user: String,
    title: String,
    created: i64,
    expires: i64,
}

impl Row for KeyRow {
    const COLUMNS: &'static [&'static str] = &["id", "title", "created", "expires"];

    fn cells(&self) -> Vec<String> {
        let moment = |ms: i64| isochrone_domain::EpochMillis(ms).to_string();
        vec![self.id.clone(), self.title.clone(), moment(self.created), moment(self.expires)]
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserRow {
    name: String,
    role: &'static str,
    created: i64,
    last_login: Option<i64>,
    /// Since when.
    disabled: Option<i64>,
}

impl From<User> for UserRow {
    fn from(user: User) -> UserRow {
        UserRow {
            name: user.name,
            role: user.role.name(),
            created: user.created.0,
            last_login: user.last_login.map(|at| at.0),
            disabled: user.disabled.map(|at| at.0),
        }
    }
}

impl Row for UserRow {
    const COLUMNS: &'static [&'static str] = &["name", "role", "created", "last sign-in", "disabled"];

    fn cells(&self) -> Vec<String> {
        let moment = |ms: i64| isochrone_domain::EpochMillis(ms).to_string();
        vec![
            self.name.clone(),
            self.role.to_owned(),
            moment(self.created),
            self.last_login.map_or_else(|| "never".to_owned(), moment),
            self.disabled.map_or_else(|| "no".to_owned(), moment),
        ]
    }
}

pub(crate) async fn run(loaded: &Loaded, command: UserCommand, output: OutputFormat) -> Result<ExitCode> {
    let looks = matches!(command, UserCommand::List | UserCommand::Keys { .. } | UserCommand::Revoke { .. });
    if let Some(url) = loaded.config.portal.url.as_ref().filter(|_| !looks) {
        bail!("users and their keys are those of the portal at {url} (portal.url)");
    }
    match command {
        UserCommand::Add { name, role, password_stdin: _ } => {
            let password = read_password()?;
            let house = House::open(&loaded.config).await?;
            output::one(output, &add(&house, &name, role, &password).await?)?;
        }
        UserCommand::List => {
            let house = House::open_existing(&loaded.config).await?;
            let users = house.store.users().await?;
            let rows: Vec<UserRow> = users.into_iter().map(UserRow::from).collect();
            output::list(output, &rows)?;
        }
        UserCommand::Role { name, role } => {
            let house = House::open_existing(&loaded.config).await?;
            let to = UserChange { role: Some(role), ..UserChange::default() };
            output::one(output, &change(&house, &name, role.name(), to).await?)?;
        }
        UserCommand::Password { name, password_stdin: _ } => {
            let password = read_password()?;
            let house = House::open_existing(&loaded.config).await?;
            let name = found(&house, &name).await?.name;
            passwords::check(&name, &password)?;
            let password_hash = Some(house.passwords.hash(&password).await);
            let to = UserChange { password_hash, ..UserChange::default() };
            output::one(output, &change(&house, &name, "another password", to).await?)?;
        }
        UserCommand::Disable { name } => {
            let house = House::open_existing(&loaded.config).await?;
            output::one(output, &disable(&house, &name).await?)?;
        }
        UserCommand::Enable { name } => {
            let house = House::open_existing(&loaded.config).await?;
            let to = UserChange { disabled: Some(false), ..UserChange::default() };
            output::one(output, &change(&house, &name, "enabled", to).await?)?;
        }
        UserCommand::Delete { name, tasks_to } => {
            let house = House::open_existing(&loaded.config).await?;
            output::one(output, &delete(&house, &name, tasks_to.as_deref()).await?)?;
        }
        UserCommand::Key { name, title, days } => {
            let house = House::open_existing(&loaded.config).await?;
            output::one(output, &make_key(&house, &name, title, days).await?)?;
        }
        UserCommand::Keys { name } => {
            let house = House::open_existing(&loaded.config).await?;
            output::list(output, &keys_of(&house, &found(&house, &name).await?.name).await?)?;
        }
        UserCommand::Revoke { key } => {
            let house = House::open_existing(&loaded.config).await?;
            output::one(output, &revoke_key(&house, &key).await?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn found(house: &House, name: &str) -> Result<User> {
    if let Some(user) = house.store.user(name).await? {
        return Ok(user);
    }
    // An earlier command may have deleted it.
    house.store.confirm(Scope::Common).await?;
    bail!("there is no user '{name}'")
}

async fn make_key(house: &House, name: &str, title: String, days: u16) -> Result<MadeKey> {
    let owner = found(house, name).await?;
    let user = owner.name.clone();
    let now = house.store.now().await?;
    let (key, hash) = keys::draw();
    let expires = now + Duration::from_hours(24 * u64::from(days));
    let audit = wiring::audit(Action::CreateKey, now, &title, &user);
    let purpose = TokenPurpose::Key { title, created: now };
    let token = Token { user: user.clone(), expires, binding: TokenBinding::None, purpose };
    if !house.store.put_token(hash, &token, &owner, audit).await? {
        bail!("'{user}' is disabled, or was changed meanwhile");
    }
    Ok(MadeKey { id: keys::id(hash), user, key, expires: expires.0 })
}

async fn keys_of(house: &House, user: &str) -> Result<Vec<KeyRow>> {
    let now = house.store.now().await?;
    let tokens = house.store.tokens_of(user).await?;
    let rows = tokens.into_iter().filter_map(|(hash, token)| match token.purpose {
        TokenPurpose::Key { title, created } if token.expires > now => Some(KeyRow {
            id: keys::id(hash),
            user: token.user,
            title,
            created: created.0,
            expires: token.expires.0,
        }),
        _ => None,
    });
    Ok(rows.collect())
}

async fn revoke_key(house: &House, id: &str) -> Result<Revoked> {
    for user in house.store.users().await? {
        for (hash, token) in house.store.tokens_of(&user.name).await? {
            let Some(title) = keys::title(&token).filter(|_| keys::id(hash) == id) else { continue };
            let audit = wiring::audit(Action::RevokeToken, house.store.now().await?, title, &user.name);
            if house.store.forget_token(hash, audit).await? {
                return Ok(Revoked { revoked: id.to_owned(), user: user.name });
            }
        }
    }
    house.store.confirm(Scope::Common).await?;
    bail!("there is no API key '{id}'; `isochrone user keys NAME` lists a user's")
}

/// A secret's line on standard input.
pub(crate) fn read_password() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("no password on standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A user who is not there yet, with this role and password.
pub(crate) async fn new_user(house: &House, name: &str, role: Role, password: &str) -> Result<User> {
    if !User::valid_name(name) {
        bail!("'{name}' is no user name: 1 to 128 letters, digits, '.', '_', '-' or '@'");
    }
    passwords::check(name, password)?;
    Ok(User {
        name: name.to_owned(),
        role,
        password_hash: house.passwords.hash(password).await,
        created: house.store.now().await?,
        last_login: None,
        disabled: None,
        epoch: 0,
        unknown: UnknownFields::NONE,
    })
}

async fn add(house: &House, name: &str, role: Role, password: &str) -> Result<UserRow> {
    let there = |user: User| {
        let name = user.name;
        anyhow::anyhow!(
            "there is a user '{name}' already: `isochrone user role` and `user password` change one"
        )
    };
    if let Some(user) = house.store.user(name).await? {
        house.store.confirm(Scope::Common).await?;
        return Err(there(user));
    }
    let user = new_user(house, name, role, password).await?;
    let audit = wiring::audit(Action::SetUser, user.created, &user.name, &user.name);
    if house.store.add_user(&user, audit).await? { Ok(user.into()) } else { Err(there(user)) }
}

async fn change(house: &House, name: &str, what: &str, change: UserChange) -> Result<UserRow> {
    let name = found(house, name).await?.name;
    let audit = wiring::audit(Action::SetUser, house.store.now().await?, &format!("{name}: {what}"), &name);
    changed(&name, house.store.change_user(&name, &change, audit).await?)
}

/// From here on nobody acts as this user; what still runs for the user is told to end.
async fn disable(house: &House, name: &str) -> Result<UserRow> {
    let to = UserChange { disabled: Some(true), ..UserChange::default() };
    let row = change(house, name, "disabled", to).await?;
    let told = house.submissions.cancel_runs_of(&House::operator(), &row.name).await?;
    if told > 0 {
        eprintln!("{told} runs of tasks of '{}' end with owner_disabled", row.name);
    }
    Ok(row)
}

fn changed(name: &str, changed: UserChanged) -> Result<UserRow> {
    match changed {
        UserChanged::Done(user) => Ok(user.into()),
        UserChanged::Missing => bail!("there is no user '{name}'"),
        UserChanged::LastAdministrator => {
            bail!("'{name}' is the last administrator who can sign in: nobody would be left to administer")
        }
    }
}

/// Deletes a user; tasks and items go to `heir`, or there must be none.
async fn delete(house: &House, name: &str, heir: Option<&str>) -> Result<UserDeleted> {
    let name = found(house, name).await?.name;
    let heir = if let Some(heir) = heir {
        let heir = found(house, heir).await?;
        if heir.name == name || heir.disabled.is_some() {
            bail!("--tasks-to: '{}' is disabled, or the user to be deleted", heir.name);
        }
        Some(heir.name)
    } else {
        let (tasks, items) = owned(house, &name).await?;
        if (tasks, items) != (0, 0) {
            bail!(
                "'{name}' owns {tasks} tasks and {items} items: `--tasks-to NAME` hands them over, \
                 `isochrone user disable` stops them"
            );
        }
        None
    };
    // From here on nobody makes tasks or items in this name.
    disable(house, &name).await?;
    let (mut tasks, mut items) = (0, 0);
    if let Some(heir) = &heir {
        tasks = hand_over_tasks(house, &name, heir).await?;
        items = hand_over_items(house, &name, heir).await?;
    }
    let left = owned(house, &name).await?;
    if left != (0, 0) {
        bail!("'{name}' got {} tasks and {} items meanwhile and is disabled now; try again", left.0, left.1);
    }
    let audit = wiring::audit(Action::DeleteUser, house.store.now().await?, &name, &name);
    changed(&name, house.store.delete_user(&name, audit).await?)?;
    Ok(UserDeleted { deleted: name, tasks, items, to: heir })
}

/// How many tasks and items a user owns.
async fn owned(house: &House, name: &str) -> Result<(u64, u64)> {
    let none = Page { offset: 0, limit: 1 };
    let filter = TaskFilter { owner: Some(name.to_owned()), ..TaskFilter::default() };
    Ok((house.store.tasks(&filter, none).await?.total, house.store.items(Some(name), none).await?.total))
}

async fn hand_over_tasks(house: &House, name: &str, heir: &str) -> Result<u64> {
    let filter = TaskFilter { owner: Some(name.to_owned()), ..TaskFilter::default() };
    let mut handed = 0;
    loop {
        let tasks = house.store.tasks(&filter, Page { offset: 0, limit: 100 }).await?.rows;
        if tasks.is_empty() {
            return Ok(handed);
        }
        for task in tasks {
            house.submissions.hand_over(&House::operator(), task.id, heir).await?;
            handed += 1;
        }
    }
}

async fn hand_over_items(house: &House, name: &str, heir: &str) -> Result<u64> {
    let mut handed = 0;
    loop {
        let items = house.store.items(Some(name), Page { offset: 0, limit: 100 }).await?.rows;
        if items.is_empty() {
            return Ok(handed);
        }
        for item in items {
            let item = Item { owner: heir.to_owned(), ..item };
            let now = house.store.now().await?;
            let audit = wiring::audit(Action::AddItem, now, &item.title, heir);
            let audit = AuditEntry { item: Some(item.id), ..audit };
            // Changed or deleted meanwhile: the next list shows it as it is.
            if house.store.put_item(&item, None, audit).await? == Saved::Done {
                handed += 1;
            }
        }
    }
}
