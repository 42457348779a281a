//! `POST oauth2/revokeToken`: a token is of no more use.

use isochrone_domain::{Action, AuditEntry};

use crate::answer::{Answer, Document, Failure};
use crate::request::Call;
use crate::serve::Served;
use crate::signin::hash;

/// Forgets the token or refresh token in `auth_token` (`token` too). One that is not known is of no use
/// already (RFC 7009): who holds a token may end it, whoever that is.
pub(crate) async fn revoke_token(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    call.must_post()?;
    for name in ["auth_token", "token"] {
        if call.in_query.iter().any(|given| given == name) {
            return Err(Failure::parameter(name, "must be in the body: addresses end up in logs"));
        }
    }
    let parameters = &call.parameters;
    let token = parameters.given("auth_token").or_else(|| parameters.given("token"));
    let token = hash(token.ok_or_else(|| Failure::parameter("auth_token", "is required"))?);
    if let Some(known) = portal.store.token(token).await? {
        let title = crate::keys::title(&known).unwrap_or_default();
        let at = portal.store.now().await?;
        let audit = AuditEntry::new(at, &known.user, Action::RevokeToken, &known.user, title);
        let audit = AuditEntry { ip: call.ip.map(|ip| ip.to_string()), ..audit };
        portal.store.forget_token(token, audit).await?;
    }
    portal.store.take_grant(token).await?;
    Ok(Document::new("Token revoked", serde_json::json!({"success": true})).into())
}
