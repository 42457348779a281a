//! Users and tokens. Redis itself forgets a token when it has expired.

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, EpochMillis, User, UserChange, keeps_an_administrator};
use serde::{Deserialize, Serialize};

use super::RedisStore;
use super::audit::note_audit;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::{Shard, folded};
use super::records::{from_json, from_record, json, readable, record_json, unreadable};
use crate::accounts::may_get_tokens;
use crate::{AccountStore, Grant, Result, Token, TokenBinding, TokenHash, TokenPurpose, Tries, UserChanged};

const HOME: Shard = Shard::COMMON;

#[derive(Serialize, Deserialize)]
struct StoredToken {
    user: String,
    expires: EpochMillis,
    binding: TokenBinding,
    #[serde(default)]
    purpose: TokenPurpose,
}

impl From<StoredToken> for Token {
    fn from(StoredToken { user, expires, binding, purpose }: StoredToken) -> Token {
        Token { user, expires, binding, purpose }
    }
}

#[async_trait]
impl AccountStore for RedisStore {
    async fn user(&self, name: &str) -> Result<Option<User>> {
        self.user_body(name).await?.map(|body| from_record(&body)).transpose()
    }

    async fn users(&self) -> Result<Vec<User>> {
        Ok(self.user_bodies().await?.into_iter().map(|(user, _)| user).collect())
    }

    async fn add_user(&self, user: &User, audit: AuditEntry) -> Result<bool> {
        let (users, name) = (self.users_key(), folded(&user.name));
        let mut commit = Commit::new(HOME);
        commit.check_absent(&users, &name);
        commit.set(&users, &[(&name, &record_json(user))]);
        note_audit(&mut commit, HOME, &audit);
        let added = self.commit(commit).await?;
        if !added {
            self.confirm_shard(HOME).await?;
        }
        Ok(added)
    }

    async fn change_user(&self, name: &str, change: &UserChange, audit: AuditEntry) -> Result<UserChanged> {
        self.rewrite_user(name, |old| Some(change.applied_to(old, audit.at)), &audit).await
    }

    async fn delete_user(&self, name: &str, audit: AuditEntry) -> Result<UserChanged> {
        self.rewrite_user(name, |_| None, &audit).await
    }

    async fn put_token(
        &self,
        hash: TokenHash,
        token: &Token,
        user: &User,
        audit: AuditEntry,
    ) -> Result<bool> {
        let (users, name, hash, stamp) =
            (self.users_key(), folded(&token.user), hex::encode(hash.0), user.stamp());
        let Token { user, expires, binding, purpose } = token.clone();
        let signs_in = purpose == TokenPurpose::SignIn;
        let stored = StoredToken { user, expires, binding, purpose };
        let tokens_of = self.tokens_of_key(&name);
        let mut tries = Tries::default();
        loop {
            let Some(body) = self.user_body(&name).await? else { return Ok(false) };
            let old: User = from_record(&body)?;
            if !may_get_tokens(&old, &stamp) {
                return Ok(false);
            }
            let now = self.now_at(HOME).await?;
            let mut commit = Commit::new(HOME);
            // Its password was not changed meanwhile, which would have ended this sign-in.
            commit.check_same(&users, &name, Some(&body));
            commit.keep_for(
                &self.token_key(&hash),
                &json(&stored),
                self.followed_clock().until(token.expires),
            );
            commit.take_until(&tokens_of, now.0);
            commit.put(&tokens_of, token.expires.0, &hash);
            if signs_in {
                let user = User { last_login: Some(audit.at), ..old };
                commit.set(&users, &[(&name, &record_json(&user))]);
            }
            note_audit(&mut commit, HOME, &audit);
            if self.commit(commit).await? {
                return Ok(true);
            }
            tries.again().await?;
        }
    }

    async fn token(&self, hash: TokenHash) -> Result<Option<Token>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["GET", &self.token_key(&hex::encode(hash.0))]);
        let Some(body) = self.ask(batch).await?.bytes()? else { return Ok(None) };
        from_json::<StoredToken>(&body).map(|stored| Some(stored.into()))
    }

    async fn tokens_of(&self, user: &str) -> Result<Vec<(TokenHash, Token)>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["ZRANGE", &self.tokens_of_key(&folded(user)), "0", "-1"]);
        let names = self.ask(batch).await?.members()?;
        let mut batch = Batch::default();
        for name in &names {
            batch.add(HOME, ["GET", &self.token_key(&String::from_utf8_lossy(name))]);
        }
        let mut answers = if names.is_empty() { return Ok(Vec::new()) } else { self.ask(batch).await? };
        let mut tokens = Vec::with_capacity(names.len());
        for name in names {
            let mut hash = [0; 32];
            hex::decode_to_slice(&name, &mut hash).map_err(|_| unreadable::<TokenHash>())?;
            // Redis forgets it before its name.
            if let Some(body) = answers.bytes()? {
                tokens.push((TokenHash(hash), from_json::<StoredToken>(&body)?.into()));
            }
        }
        Ok(tokens)
    }

    async fn forget_token(&self, hash: TokenHash, audit: AuditEntry) -> Result<bool> {
        let Some(token) = self.token(hash).await? else {
            self.confirm_shard(HOME).await?;
            return Ok(false);
        };
        let hash = hex::encode(hash.0);
        let mut commit = Commit::new(HOME);
        // Of two that forget it, the second changes nothing.
        commit.delete(&self.token_key(&hash));
        commit.take(&self.tokens_of_key(&folded(&token.user)), &hash);
        note_audit(&mut commit, HOME, &audit);
        self.commit(commit).await
    }

    async fn put_grant(&self, hash: TokenHash, grant: &Grant) -> Result<()> {
        let key = self.grant_key(hash);
        let mut commit = Commit::new(HOME);
        commit.set(&key, &[("b", &record_json(grant))]);
        commit.expire(&key, self.followed_clock().until(grant.expires));
        // Without a check it is done.
        self.commit(commit).await.map(drop)
    }

    async fn grant(&self, hash: TokenHash) -> Result<Option<Grant>> {
        self.grant_body(hash).await?.map(|body| from_record(&body)).transpose()
    }

    async fn take_grant(&self, hash: TokenHash) -> Result<Option<Grant>> {
        let key = self.grant_key(hash);
        let Some(body) = self.grant_body(hash).await? else { return Ok(None) };
        let mut commit = Commit::new(HOME);
        commit.check_same(&key, "b", Some(&body));
        commit.delete(&key);
        Ok(if self.commit(commit).await? { Some(from_record(&body)?) } else { None })
    }
}

impl RedisStore {
    /// Every user with the stored body, by name.
    async fn user_bodies(&self) -> Result<Vec<(User, Vec<u8>)>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HVALS", &self.users_key()]);
        let mut users = Vec::new();
        for body in self.ask(batch).await?.members()? {
            let user = readable(from_record::<User>(&body), "user", &"")?;
            users.extend(user.map(|user| (user, body)));
        }
        users.sort_by_key(|(user, _)| folded(&user.name));
        Ok(users)
    }

    /// The user of this name becomes what `new` says; none: is forgotten.
    async fn rewrite_user(
        &self,
        name: &str,
        new: impl Fn(&User) -> Option<User>,
        audit: &AuditEntry,
    ) -> Result<UserChanged> {
        let (users, name) = (self.users_key(), folded(name));
        let mut tries = Tries::default();
        loop {
            let bodies = self.user_bodies().await?;
            let Some((old, body)) = bodies.iter().find(|(user, _)| folded(&user.name) == name) else {
                self.confirm_shard(HOME).await?;
                return Ok(UserChanged::Missing);
            };
            let new = new(old);
            let all: Vec<User> = bodies.iter().map(|(user, _)| user.clone()).collect();
            if !keeps_an_administrator(&all, &name, new.as_ref()) {
                return Ok(UserChanged::LastAdministrator);
            }
            let mut commit = Commit::new(HOME);
            commit.check_same(&users, &name, Some(body));
            // Who stays an administrator meanwhile: of two who demote each other, the second reads again.
            if let Some((other, body)) =
                bodies.iter().find(|(user, _)| user.administrates() && folded(&user.name) != name)
            {
                commit.check_same(&users, &folded(&other.name), Some(body));
            }
            if new.as_ref().is_none_or(|new| new.stamp() != old.stamp()) {
                self.forget_tokens_of(&mut commit, &name).await?;
            }
            match &new {
                Some(new) => commit.set(&users, &[(&name, &record_json(new))]),
                None => commit.unset(&users, &[&name]),
            }
            note_audit(&mut commit, HOME, audit);
            if self.commit(commit).await? {
                return Ok(UserChanged::Done(new.unwrap_or_else(|| old.clone())));
            }
            tries.again().await?;
        }
    }

    /// Who knows the old password, or was given something before, shall be out.
    async fn forget_tokens_of(&self, commit: &mut Commit, name: &str) -> Result<()> {
        let tokens_of = self.tokens_of_key(name);
        let mut batch = Batch::default();
        batch.add(HOME, ["ZRANGE", &tokens_of, "0", "-1"]);
        let tokens = self.ask(batch).await?.members()?;
        commit.check_size(&tokens_of, tokens.len() as u64);
        for token in tokens {
            commit.delete(&self.token_key(&String::from_utf8_lossy(&token)));
        }
        commit.delete(&tokens_of);
        Ok(())
    }

    async fn user_body(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HGET", &self.users_key(), &folded(name)]);
        self.ask(batch).await?.bytes()
    }

    pub(super) async fn grant_body(&self, hash: TokenHash) -> Result<Option<Vec<u8>>> {
        let mut batch = Batch::default();
        batch.add(HOME, ["HGET", &self.grant_key(hash), "b"]);
        self.ask(batch).await?.bytes()
    }

    pub(super) fn grant_key(&self, hash: TokenHash) -> String {
        self.keys.named(HOME, &format!("grant:{}", hex::encode(hash.0)))
    }

    /// All users by their name.
    fn users_key(&self) -> String {
        self.keys.named(HOME, "users")
    }

    fn token_key(&self, hash: &str) -> String {
        self.keys.named(HOME, &format!("token:{hash}"))
    }

    /// A user's tokens by the moment that they expire.
    fn tokens_of_key(&self, user: &str) -> String {
        self.keys.named(HOME, &format!("tokens-of:{user}"))
    }
}
