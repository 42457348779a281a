//! The real portal's users, as far as tasks need them here.

use isochrone_arcgis::User as Told;
use isochrone_domain::{Action, AuditEntry, EpochMillis, Role, UnknownFields, User, UserChange};
use isochrone_store::{Result, Store, UserChanged};

/// The user of a portal as this house's own: kept, or changed where the portal says something else by now.
/// Nobody can sign in here as a user that was kept so.
pub async fn keep_user(store: &dyn Store, told: &Told) -> Result<User> {
    let role = role(told);
    let known = store.user(&told.username).await?;
    if let Some(known) = known.as_ref().filter(|known| known.role == role) {
        return Ok(known.clone());
    }
    let now = store.now().await?;
    let new = User {
        name: known.map_or_else(|| told.username.clone(), |known| known.name),
        role,
        password_hash: String::new(),
        created: told.created.map_or(now, EpochMillis),
        last_login: None,
        disabled: None,
        epoch: 0,
        unknown: UnknownFields::NONE,
    };
    let audit = AuditEntry::new(now, &new.name, Action::SetUser, &new.name, &new.name);
    let user = if store.add_user(&new, audit.clone()).await? {
        new
    } else {
        let change = UserChange { role: Some(role), ..UserChange::default() };
        match store.change_user(&new.name, &change, audit).await? {
            UserChanged::Done(user) => user,
            // Who could sign in here as the last administrator stays one.
            UserChanged::LastAdministrator | UserChanged::Missing => new,
        }
    };
    tracing::info!(user = %user.name, %role, "the portal's user is known here");
    Ok(user)
}

/// What a user of the portal may do with tasks. A role of the organization's own goes by its privileges.
fn role(told: &Told) -> Role {
    let may = |privilege: &str| told.privileges.iter().any(|held| held == privilege);
    match told.role.as_deref() {
        Some("org_admin") => Role::Admin,
        _ if may("portal:admin:scheduleTasks") => Role::Admin,
        Some("org_publisher") => Role::Publisher,
        _ if may("premium:publisher:scheduleNotebooks") || may("premium:publisher:createNotebooks") => {
            Role::Publisher
        }
        _ => Role::Viewer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_of_the_organization_s_own_goes_by_its_privileges() {
        let of = |name: &str, privileges: &[&str]| {
            let told = serde_json::json!({"username": "ann", "role": name, "privileges": privileges});
            role(&serde_json::from_value(told).expect("it is a user"))
        };
        assert_eq!(of("org_admin", &[]), Role::Admin);
        assert_eq!(of("org_publisher", &[]), Role::Publisher);
        assert_eq!(of("org_user", &["portal:user:createItem"]), Role::Viewer);
        assert_eq!(of("Zx81", &["premium:publisher:scheduleNotebooks"]), Role::Publisher);
        assert_eq!(of("Zx81", &["portal:admin:viewUsers"]), Role::Viewer);
        assert_eq!(of("org_user", &["portal:admin:scheduleTasks"]), Role::Admin);
    }
}
