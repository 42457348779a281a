//! Passwords, tokens, codes and keys, right ones and wrong ones.

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Server, ServerOptions};
use serde_json::Value;

use super::canaries::{ADMIN_TOKEN, PASSWORD, WRONG_PASSWORD};
use super::found::Places;
use crate::oauth;

const GENERATE_TOKEN: &str = "/sharing/rest/generateToken";
const SELF: &str = "/sharing/rest/community/self";

/// Makes a user, and uses all that a user can be given; gives the secrets that the server made.
pub(super) async fn use_them(
    places: &mut Places,
    server: &Server,
    options: &ServerOptions,
) -> Result<Vec<(&'static str, String)>> {
    let added = options
        .cli(&["user", "add", "ann", "--role", "publisher", "--password-stdin"], &format!("{PASSWORD}\n"))?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    places.said("commands", &added);
    let form = [("username", "ann"), ("password", PASSWORD), ("expiration", "60")];
    let answer = server.post(GENERATE_TOKEN, &form).await?;
    let token = answer["token"].as_str().with_context(|| answer.to_string())?.to_owned();
    let key: Value = options.cli_json(&["user", "key", "ann", "--title", "a program"])?;
    let key = key["key"].as_str().context("a key")?.to_owned();

    let granted = oauth::granted(server, "ann", PASSWORD).await?;
    let refreshed = oauth::refreshed(server, &granted.refresh_token).await?;
    let refreshed_token =
        refreshed["access_token"].as_str().with_context(|| refreshed.to_string())?.to_owned();
    for secret in [&token, &key, &granted.access_token, &refreshed_token] {
        for name in ["token", "nonsense"] {
            server.get(SELF, &[(name, secret)]).await?;
        }
    }
    let unused = oauth::code(server, "ann", PASSWORD).await?;

    // What is wrong: passwords, a code that was turned in, one without its verifier, a token where none belongs.
    for user in ["ann", "nobody"] {
        let form = [("username", user), ("password", WRONG_PASSWORD)];
        places.add("refusals", server.post(GENERATE_TOKEN, &form).await?.to_string());
    }
    let code = ("grant_type", "authorization_code");
    let refresh = ("grant_type", "refresh_token");
    for form in [
        [code, ("client_id", "desk"), ("code", granted.code.as_str())],
        [code, ("client_id", "desk"), ("code", unused.as_str())],
        [code, ("client_id", granted.refresh_token.as_str()), ("code", "x")],
        [refresh, ("client_id", "other"), ("refresh_token", granted.refresh_token.as_str())],
        [refresh, ("client_id", "desk"), ("refresh_token", granted.access_token.as_str())],
        [(token.as_str(), "1"), ("client_id", "desk"), ("refresh_token", "x")],
    ] {
        let answer = oauth::token(server, &form).await?;
        ensure!(answer["access_token"].is_null(), "{answer}");
        // The name of a parameter is told, and so is a client's id: whoever sends a secret there is told of it.
        if form[0].0 == "grant_type" && form[1].1.len() < 10 {
            places.add("refusals", answer.to_string());
        }
    }
    Ok(vec![
        ("token", token),
        ("API key", key),
        ("code", granted.code),
        ("unused code", unused),
        ("access token", granted.access_token),
        ("refresh token", granted.refresh_token),
        ("refreshed token", refreshed_token),
    ])
}

/// Changes what is logged, with and without the token that it takes.
pub(super) async fn change_log(places: &mut Places, admin: std::net::SocketAddr) -> Result<()> {
    for (token, right) in [(ADMIN_TOKEN, true), (&ADMIN_TOKEN[1..], false)] {
        let request = reqwest::Client::new().put(format!("http://{admin}/log-filter"));
        let answer = request.bearer_auth(token).body("trace").send().await?;
        ensure!(answer.status().is_success() == right, "{}", answer.status());
        places.add("log-filter", answer.bytes().await?);
    }
    Ok(())
}
