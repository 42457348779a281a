//! What clients ask before they ask for tasks: the portal's description and the signed-in user.

mod portal;
mod user;

pub(crate) use portal::{PORTAL_ID, admin, info, portal_self, root};
pub(crate) use user::{community_self, roles, user, user_counts, users};
