//! Users and tokens.

use async_trait::async_trait;
use isochrone_domain::unknown::to_json;
use isochrone_domain::{AuditEntry, User, UserChange, keeps_an_administrator};
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, audit, rows};
use crate::accounts::may_get_tokens;
use crate::{AccountStore, Grant, Result, Token, TokenHash, TokenPurpose, UserChanged};

#[async_trait]
impl AccountStore for SqliteStore {
    async fn user(&self, name: &str) -> Result<Option<User>> {
        let name = name.to_owned();
        self.read(move |db| find(db, &name)).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        self.read(all).await
    }

    async fn add_user(&self, user: &User, audit: AuditEntry) -> Result<bool> {
        let user = user.clone();
        self.write(move |db| {
            if find(db, &user.name)?.is_some() {
                return Ok(false);
            }
            put(db, &user)?;
            audit::insert(db, &audit)?;
            Ok(true)
        })
        .await
    }

    async fn change_user(&self, name: &str, change: &UserChange, audit: AuditEntry) -> Result<UserChanged> {
        let (name, change) = (name.to_owned(), change.clone());
        self.write(move |db| {
            let Some(old) = find(db, &name)? else { return Ok(UserChanged::Missing) };
            let new = change.applied_to(&old, audit.at);
            if !keeps_an_administrator(&all(db)?, &name, Some(&new)) {
                return Ok(UserChanged::LastAdministrator);
            }
            if old.stamp() != new.stamp() {
                forget_tokens_of(db, &name)?;
            }
            put(db, &new)?;
            audit::insert(db, &audit)?;
            Ok(UserChanged::Done(new))
        })
        .await
    }

    async fn delete_user(&self, name: &str, audit: AuditEntry) -> Result<UserChanged> {
        let name = name.to_owned();
        self.write(move |db| {
            let Some(old) = find(db, &name)? else { return Ok(UserChanged::Missing) };
            if !keeps_an_administrator(&all(db)?, &name, None) {
                return Ok(UserChanged::LastAdministrator);
            }
            forget_tokens_of(db, &name)?;
            rows::execute(db, "DELETE FROM users WHERE name = ?1", [&name])?;
            audit::insert(db, &audit)?;
            Ok(UserChanged::Done(old))
        })
        .await
    }

    async fn put_token(
        &self,
        hash: TokenHash,
        token: &Token,
        user: &User,
        audit: AuditEntry,
    ) -> Result<bool> {
        let (token, clock, stamp) = (token.clone(), self.clock, user.stamp());
        self.write(move |db| {
            let Some(mut user) = find(db, &token.user)?.filter(|user| may_get_tokens(user, &stamp)) else {
                return Ok(false);
            };
            rows::execute(db, "DELETE FROM tokens WHERE expires <= ?1", [clock.now().0])?;
            put_token(db, hash, &token)?;
            if token.purpose == TokenPurpose::SignIn {
                user.last_login = Some(audit.at);
                put(db, &user)?;
            }
            audit::insert(db, &audit)?;
            Ok(true)
        })
        .await
    }

    async fn token(&self, hash: TokenHash) -> Result<Option<Token>> {
        self.read(move |db| find_token(db, hash)).await
    }

    async fn bearer(&self, hash: TokenHash) -> Result<Option<(Token, User)>> {
        self.read(move |db| {
            let Some(token) = find_token(db, hash)? else { return Ok(None) };
            Ok(find(db, &token.user)?.map(|user| (token, user)))
        })
        .await
    }

    async fn tokens_of(&self, user: &str) -> Result<Vec<(TokenHash, Token)>> {
        let user = user.to_owned();
        self.read(move |db| {
            let sql = "SELECT binding, user, expires, purpose, hash FROM tokens
                WHERE user = ?1 COLLATE NOCASE ORDER BY expires, hash";
            rows::many(db, sql, [&user], |row| Ok((TokenHash(row.get(4)?), token(row)?)))
        })
        .await
    }

    async fn forget_token(&self, hash: TokenHash, audit: AuditEntry) -> Result<bool> {
        self.write(move |db| {
            let gone = rows::execute(db, "DELETE FROM tokens WHERE hash = ?1", [&hash.0])? > 0;
            if gone {
                audit::insert(db, &audit)?;
            }
            Ok(gone)
        })
        .await
    }

    async fn put_grant(&self, hash: TokenHash, grant: &Grant) -> Result<()> {
        let (grant, clock) = (grant.clone(), self.clock);
        self.write(move |db| {
            rows::execute(db, "DELETE FROM grants WHERE expires <= ?1", [clock.now().0])?;
            let sql = "INSERT OR REPLACE INTO grants (hash, expires, body) VALUES (?1, ?2, ?3)";
            rows::execute(db, sql, params![hash.0, grant.expires.0, to_json(&grant)]).map(drop)
        })
        .await
    }

    async fn grant(&self, hash: TokenHash) -> Result<Option<Grant>> {
        self.read(move |db| find_grant(db, hash)).await
    }

    async fn take_grant(&self, hash: TokenHash) -> Result<Option<Grant>> {
        self.write(move |db| {
            let found = find_grant(db, hash)?;
            rows::execute(db, "DELETE FROM grants WHERE hash = ?1", [&hash.0])?;
            Ok(found)
        })
        .await
    }
}

pub(super) fn find_grant(db: &Connection, hash: TokenHash) -> Result<Option<Grant>> {
    rows::one(db, "SELECT body FROM grants WHERE hash = ?1", [&hash.0], rows::record)
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    Ok(Token {
        binding: rows::body(row)?,
        user: row.get(1)?,
        expires: rows::moment(row, 2)?,
        purpose: rows::from_json(row, 3)?,
    })
}

fn find_token(db: &Connection, hash: TokenHash) -> Result<Option<Token>> {
    let sql = "SELECT binding, user, expires, purpose FROM tokens WHERE hash = ?1";
    rows::one(db, sql, [&hash.0], token)
}

fn find(db: &Connection, name: &str) -> Result<Option<User>> {
    rows::one(db, "SELECT body FROM users WHERE name = ?1", [name], rows::record)
}

fn all(db: &Connection) -> Result<Vec<User>> {
    let sql = "SELECT body FROM users ORDER BY name";
    let users = rows::many(db, sql, [], |row| rows::readable(rows::record(row), "users"))?;
    Ok(users.into_iter().flatten().collect())
}

/// Who knows the old password, or was given something before, shall be out.
fn forget_tokens_of(db: &Connection, name: &str) -> Result<()> {
    rows::execute(db, "DELETE FROM tokens WHERE user = ?1 COLLATE NOCASE", [name]).map(drop)
}

fn put(db: &Connection, user: &User) -> Result<()> {
    // Replaced as a whole: the new name may have other capitals.
    let sql = "INSERT OR REPLACE INTO users (name, body) VALUES (?1, ?2)";
    rows::execute(db, sql, params![user.name, to_json(user)]).map(drop)
}

fn put_token(db: &Connection, hash: TokenHash, token: &Token) -> Result<()> {
    let sql =
        "INSERT OR REPLACE INTO tokens (hash, user, expires, binding, purpose) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (binding, purpose) = (rows::json(&token.binding), rows::json(&token.purpose));
    rows::execute(db, sql, params![hash.0, token.user, token.expires.0, binding, purpose]).map(drop)
}
