//! Tokens with which runs act for their tasks' owners.

use std::time::Duration;

use isochrone_domain::{Action, AuditEntry, EpochMillis, RunId};
use isochrone_store::{Result, Store, Token, TokenBinding, TokenPurpose};

use crate::signin::{hash, random_token};

/// A token of this user's, good for so long, and when it ends; none for a user who is gone or disabled. It is bound to nothing: the ArcGIS API for Python sends
/// no `Referer` with the token of `NB_AUTH_FILE`.
pub async fn issue(
    store: &dyn Store,
    user: &str,
    run: RunId,
    length: Duration,
) -> Result<Option<(String, EpochMillis)>> {
    let Some(user) = store.user(user).await? else { return Ok(None) };
    let (token, now) = (random_token(), store.now().await?);
    let kept = Token {
        user: user.name.clone(),
        expires: now + length,
        binding: TokenBinding::None,
        purpose: TokenPurpose::SignIn,
    };
    let audit = AuditEntry::new(now, &user.name, Action::SignIn, &user.name, &format!("run {run}"));
    let given = store.put_token(hash(&token), &kept, &user, audit).await?;
    Ok(given.then_some((token, kept.expires)))
}

/// Makes the token void.
pub async fn revoke(store: &dyn Store, user: &str, token: &str) -> Result<()> {
    let audit = AuditEntry::new(store.now().await?, user, Action::RevokeToken, user, "the run is over");
    store.forget_token(hash(token), audit).await.map(drop)
}
