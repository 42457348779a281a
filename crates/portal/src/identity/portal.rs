//! The portal's description of itself.

use serde::Serialize;
use serde_json::{Value, json};

use super::user::UserDocument;
use crate::answer::{Answer, Document, Failure};
use crate::request::Call;
use crate::serve::Served;

/// ArcGIS Enterprise's portals all have this id.
pub(crate) const PORTAL_ID: &str = "0123456789ABCDEF";

/// The version of ArcGIS Enterprise whose API this is.
const ENTERPRISE_VERSION: &str = "11.3.0";
const CURRENT_VERSION: &str = "2024.1";

/// `GET /`
pub(crate) fn root() -> Answer {
    let versions = json!({"currentVersion": CURRENT_VERSION, "enterpriseVersion": ENTERPRISE_VERSION});
    Document::new("Isochrone", versions)
        .link("This portal", "/portals/self")
        .link("Me", "/community/self")
        .into()
}

/// `GET info`: where tokens come from.
pub(crate) fn info(call: &Call) -> Answer {
    let info = json!({
        "owningSystemUrl": call.place.base,
        "authInfo": {"tokenServicesUrl": call.url("/generateToken"), "isTokenBasedSecurity": true},
    });
    Document::new("Info", info).into()
}

/// `GET <context>/portaladmin`: the Python client looks here before it shows its `gis.admin`.
pub(crate) fn admin() -> Answer {
    Document::new("Administration", json!({"version": ENTERPRISE_VERSION, "resources": []})).into()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PortalDocument {
    id: &'static str,
    name: String,
    portal_name: String,
    portal_mode: &'static str,
    is_portal: bool,
    current_version: &'static str,
    enterprise_version: &'static str,
    portal_hostname: String,
    #[serde(rename = "allSSL")]
    all_ssl: bool,
    #[serde(rename = "supportsOAuth")]
    supports_oauth: bool,
    access: &'static str,
    culture: &'static str,
    units: &'static str,
    helper_services: Value,
    portal_properties: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserDocument>,
}

/// `GET portals/self`
pub(crate) async fn portal_self(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    let caller = portal.sign_in.caller_if_any(call).await?;
    let user = match caller {
        Some(caller) => Some(UserDocument::of(portal, caller.user).await?),
        None => None,
    };
    let name = portal.config.name.clone();
    let base = &call.place.base;
    let description = PortalDocument {
        id: PORTAL_ID,
        portal_name: name.clone(),
        portal_mode: "singletenant",
        is_portal: true,
        current_version: CURRENT_VERSION,
        enterprise_version: ENTERPRISE_VERSION,
        portal_hostname: base.split_once("://").map_or(base.as_str(), |(_, host)| host).to_owned(),
        all_ssl: base.starts_with("https:"),
        supports_oauth: true,
        access: "private",
        culture: "en",
        units: "metric",
        helper_services: json!({}),
        portal_properties: json!({}),
        user,
        name: name.clone(),
    };
    Ok(Document::new(name, description).into())
}
