//! The canaries, and where each may be.

use isochrone_testkit::ADMIN_PASSWORD;

use crate::KEY;

/// Nothing listens there.
pub(super) const NOWHERE: &str = "127.0.0.1:9";
pub(super) const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
pub(super) const PARAMETER: &str = "canary-parameter-9f31";
pub(super) const BAD_PARAMETER: &str = "canary-bad-parameter-9f31";
pub(super) const QUERY: &str = "canary-query-9f31";
pub(super) const USERINFO: &str = "canary-userinfo-9f31";
pub(super) const UNLISTED: &str = "canary-unlisted-9f31";
pub(super) const JOBS_TOKEN: &str = "canary-jobs-token-9f31";
pub(super) const HANDLE: &str = "canary-handle-9f31";
pub(super) const PASSWORD: &str = "canary-password-9f31";
pub(super) const WRONG_PASSWORD: &str = "canary-wrong-password-9f31";
pub(super) const PORTAL_PASSWORD: &str = "canary-portal-password-9f31";
pub(super) const CLIENT_SECRET: &str = "canary-client-secret-9f31";
pub(super) const API_KEY: &str = "canary-portal-key-9f31";
pub(super) const NOTEBOOK_SECRET: &str = "canary-notebook-9f31";
pub(super) const SERVICE_TOKEN: &str = "canary-service-9f31";
pub(super) const ADMIN_TOKEN: &str = "canary-admin-token-9f31";
pub(super) const URL_PASSWORD: &str = "canary-url-password-9f31";
pub(super) const REDIS_PASSWORD: &str = "canary-redis-9f31";
pub(super) const AMQP_PASSWORD: &str = "canary-amqp-9f31";

/// Where a canary may be, by a part of the place's name.
pub(super) const ALLOWED: &[(&str, &str)] = &[
    // The operator wrote it there.
    ("token of [http_jobs]", "isochrone.toml"),
    ("notebook's secret", "isochrone.toml"),
    ("notebooks' environment", "isochrone.toml"),
    ("password in a setting's URL", "isochrone.toml"),
    // Shown to the task's owner, over the API.
    ("parameter", "runs shown"),
];

/// The fixed canaries, and those that a server made.
pub(super) fn canaries(made: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let fixed = [
        ("parameter", PARAMETER),
        ("bad parameter", BAD_PARAMETER),
        ("URL's query", QUERY),
        ("URL's user", USERINFO),
        ("unlisted URL", UNLISTED),
        ("token of [http_jobs]", JOBS_TOKEN),
        ("job's handle", HANDLE),
        ("password", PASSWORD),
        ("wrong password", WRONG_PASSWORD),
        ("admin's password", ADMIN_PASSWORD),
        ("portal's password", PORTAL_PASSWORD),
        ("client secret", CLIENT_SECRET),
        ("portal's key", API_KEY),
        ("notebook's secret", NOTEBOOK_SECRET),
        ("notebooks' environment", SERVICE_TOKEN),
        ("admin listener's token", ADMIN_TOKEN),
        ("password in a setting's URL", URL_PASSWORD),
        ("Redis's password", REDIS_PASSWORD),
        ("RabbitMQ's password", AMQP_PASSWORD),
        ("seal key", KEY),
    ];
    fixed.iter().map(|(name, canary)| (*name, (*canary).to_owned())).chain(made.to_vec()).collect()
}

/// A configuration file with secrets in it.
pub(super) fn configuration(jobs: &str) -> String {
    format!(
        "[http_jobs.UpdateInsightsWorkbook]\nurl = \"{jobs}\"\ntoken = \"{JOBS_TOKEN}\"\n\
         [http_jobs.ExecuteSceneCook]\nurl = \"http://{NOWHERE}/jobs?sig={URL_PASSWORD}\"\n\
         [notebook.secrets.admin]\nDB_PASSWORD = \"{NOTEBOOK_SECRET}\"\n\
         [notebook.environment]\nSERVICE_TOKEN = \"{SERVICE_TOKEN}\"\n"
    )
}
