//! Tokens with which runs act for their tasks' owners.

use std::time::Duration;

use isochrone_domain::{Action, AuditEntry, EpochMillis, RunId};
use isochrone_store::{Result, Store, Token, TokenBinding, TokenPurpose};

use crate::signin::{hash, random_token};

/// A token of this user's, good for so long where requests have this `Referer`, and when it ends.
pub async fn issue(
    store: &dyn Store,
    user: &str,
    run: RunId,
    referer: &str,
    length: Duration,
) -> Result<(String, EpochMillis)> {
    let (token, now) = (random_token(), store.now().await?);
    let kept = Token {
        user: user.to_owned(),
        expires: now + length,
        binding: TokenBinding::Referer(referer.to_owned()),
        purpose: TokenPurpose::SignIn,
    };
    let audit = AuditEntry::new(now, user, Action::SignIn, user, &format!("run {run}"));
    store.put_token(hash(&token), &kept, audit).await?;
    Ok((token, kept.expires))
}

/// Makes the token void.
pub async fn revoke(store: &dyn Store, user: &str, token: &str) -> Result<()> {
    let audit = AuditEntry::new(store.now().await?, user, Action::RevokeToken, user, "the run is over");
    store.forget_token(hash(token), audit).await.map(drop)
}
