//! `isochrone user`: who may sign in.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use isochrone_domain::{Action, User};
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
    }
    Ok(ExitCode::SUCCESS)
}

fn read_password() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("no password on standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Adds a user, or gives one another role and password.
pub(crate) async fn add(
    house: &House,
    name: &str,
    role: isochrone_domain::Role,
    password: &str,
) -> Result<()> {
    if password.is_empty() || password.len() > isochrone_portal::passwords::LONGEST {
        bail!("a password has 1 to {} bytes", isochrone_portal::passwords::LONGEST);
    }
    if !User::valid_name(name) {
        bail!("'{name}' is no user name: 1 to 128 letters, digits, '.', '_', '-' or '@'");
    }
    let password = password.to_owned();
    let password_hash =
        tokio::task::spawn_blocking(move || isochrone_portal::passwords::hash(&password)).await?;
    let known = house.store.user(name).await?;
    let now = house.store.now().await?;
    let user = User {
        name: known.as_ref().map_or_else(|| name.to_owned(), |user| user.name.clone()),
        role,
        password_hash,
        created: known.as_ref().map_or(now, |user| user.created),
        last_login: known.and_then(|user| user.last_login),
    };
    let audit = wiring::audit(Action::SetUser, now, &user.name, &user.name);
    house.store.put_user(&user, audit).await?;
    Ok(())
}
