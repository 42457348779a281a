//! `isochrone user`: who may sign in.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use isochrone_domain::{Action, Role, User};
use isochrone_portal::{keys, passwords};
use isochrone_store::{Token, TokenBinding, TokenPurpose};
use serde::Serialize;

use crate::args::{OutputFormat, UserCommand};
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::wiring::{self, House};

#[derive(Serialize)]
struct Added {
    name: String,
    role: &'static str,
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
}

impl Row for UserRow {
    const COLUMNS: &'static [&'static str] = &["name", "role", "created", "last sign-in"];

    fn cells(&self) -> Vec<String> {
        let moment = |ms: i64| isochrone_domain::EpochMillis(ms).to_string();
        vec![
            self.name.clone(),
            self.role.to_owned(),
            moment(self.created),
            self.last_login.map_or_else(|| "never".to_owned(), moment),
        ]
    }
}

pub(crate) async fn run(loaded: &Loaded, command: UserCommand, output: OutputFormat) -> Result<ExitCode> {
    if let (Some(url), UserCommand::Add { .. } | UserCommand::Key { .. }) =
        (&loaded.config.portal.url, &command)
    {
        bail!("users and their keys are those of the portal at {url} (portal.url)");
    }
    match command {
        UserCommand::Add { name, role, password_stdin: _ } => {
            let password = read_password()?;
            let house = House::open(&loaded.config).await?;
            add(&house, &name, role, &password).await?;
            output::one(output, &Added { name, role: role.name() })?;
        }
        UserCommand::List => {
            let house = House::open_existing(&loaded.config).await?;
            let users = house.store.users().await?;
            let rows: Vec<UserRow> = users
                .into_iter()
                .map(|user| UserRow {
                    name: user.name,
                    role: user.role.name(),
                    created: user.created.0,
                    last_login: user.last_login.map(|at| at.0),
                })
                .collect();
            output::list(output, &rows)?;
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
    house.store.user(name).await?.with_context(|| format!("there is no user '{name}'"))
}

async fn make_key(house: &House, name: &str, title: String, days: u16) -> Result<MadeKey> {
    let user = found(house, name).await?.name;
    let now = house.store.now().await?;
    let (key, hash) = keys::draw();
    let expires = now + Duration::from_hours(24 * u64::from(days));
    let audit = wiring::audit(Action::CreateKey, now, &title, &user);
    let purpose = TokenPurpose::Key { title, created: now };
    let token = Token { user: user.clone(), expires, binding: TokenBinding::None, purpose };
    house.store.put_token(hash, &token, audit).await?;
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
    bail!("there is no API key '{id}'; `isochrone user keys NAME` lists a user's")
}

/// A secret's line on standard input.
pub(crate) fn read_password() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("no password on standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Adds a user, or gives one another role and password.
async fn add(house: &House, name: &str, role: Role, password: &str) -> Result<()> {
    let user = described(house, name, role, password).await?;
    let audit = wiring::audit(Action::SetUser, house.store.now().await?, &user.name, &user.name);
    house.store.put_user(&user, audit).await?;
    Ok(())
}

/// The user with this role and password: a new one, or what becomes of the one of this name.
pub(crate) async fn described(house: &House, name: &str, role: Role, password: &str) -> Result<User> {
    if password.is_empty() || password.len() > passwords::LONGEST {
        bail!("a password has 1 to {} bytes", passwords::LONGEST);
    }
    if !User::valid_name(name) {
        bail!("'{name}' is no user name: 1 to 128 letters, digits, '.', '_', '-' or '@'");
    }
    let password_hash = house.passwords.hash(password).await;
    let known = house.store.user(name).await?;
    Ok(User {
        name: known.as_ref().map_or_else(|| name.to_owned(), |user| user.name.clone()),
        role,
        password_hash,
        created: match &known {
            Some(user) => user.created,
            None => house.store.now().await?,
        },
        last_login: known.and_then(|user| user.last_login),
    })
}
