//! OAuth's way to tokens that last, as a program goes it with a browser.

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{Server, ServerOptions};
use serde_json::Value;

use crate::BINARY;

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1:9999/back";

/// What a user's program was given.
pub(crate) struct Granted {
    pub(crate) code: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?)
}

/// A code for whoever has this password.
pub(crate) async fn code(server: &Server, user: &str, password: &str) -> Result<String> {
    let (client, root) = (client()?, format!("{}/sharing", server.url));
    let query = [
        ("response_type", "code"),
        ("client_id", "desk"),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("expiration", "-1"),
    ];
    let page = client.get(format!("{root}/rest/oauth2/authorize")).query(&query).send().await?.text().await?;
    let info = page.split_once("var oAuthInfo = ").context("the info")?.1;
    let info: Value = serde_json::from_str(info.split_once(";\n").context("its end")?.0)?;
    let form = [
        ("oauth_state", info["oauth_state"].as_str().context("the state")?),
        ("username", user),
        ("password", password),
    ];
    let answer = client.post(format!("{root}/oauth2/signin")).form(&form).send().await?;
    let to = answer.headers().get("location").context("a redirect")?.to_str()?;
    let code = to.split_once("code=").context("a code")?.1;
    Ok(code.split('&').next().unwrap_or_default().to_owned())
}

/// What the token endpoint answers.
pub(crate) async fn token(server: &Server, form: &[(&str, &str)]) -> Result<Value> {
    let request = client()?.post(format!("{}/sharing/rest/oauth2/token", server.url)).form(form);
    Ok(serde_json::from_str(&request.send().await?.text().await?)?)
}

/// What is given for a code.
pub(crate) async fn redeemed(server: &Server, code: &str) -> Result<Value> {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "desk"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("code", code),
    ];
    token(server, &form).await
}

/// Signs in, and turns the code in.
pub(crate) async fn granted(server: &Server, user: &str, password: &str) -> Result<Granted> {
    let code = code(server, user, password).await?;
    let answer = redeemed(server, &code).await?;
    let text = |name: &str| {
        Ok::<_, anyhow::Error>(answer[name].as_str().with_context(|| answer.to_string())?.to_owned())
    };
    Ok(Granted { access_token: text("access_token")?, refresh_token: text("refresh_token")?, code })
}

/// An access token for a refresh token; the answer.
pub(crate) async fn refreshed(server: &Server, refresh_token: &str) -> Result<Value> {
    let form = [("grant_type", "refresh_token"), ("client_id", "desk"), ("refresh_token", refresh_token)];
    token(server, &form).await
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_and_refresh_tokens_end_with_their_user() -> Result<()> {
    const PASSWORD: &str = "rain on a tin roof";
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"));
    let user = |args: &[&str]| -> Result<()> {
        let done = options.cli(&[&["user"], args].concat(), &format!("{PASSWORD}\n"))?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    };
    let add = ["add", "ann", "--role", "publisher", "--password-stdin"];
    user(&add)?;
    let server = Server::start(&options).await?;
    let is_void = async |granted: &Granted, code: &str| -> Result<()> {
        for answer in [refreshed(&server, &granted.refresh_token).await?, redeemed(&server, code).await?] {
            ensure!(answer["access_token"].is_null() && answer["error"].is_object(), "{answer}");
        }
        let url = format!("{}/sharing/rest/community/self?f=json", server.url);
        let answer = client()?.get(url).bearer_auth(&granted.access_token).send().await?.text().await?;
        ensure!(answer.contains("498"), "{answer}");
        Ok(())
    };
    let both = async || -> Result<(Granted, String)> {
        Ok((granted(&server, "ann", PASSWORD).await?, code(&server, "ann", PASSWORD).await?))
    };
    let (first, unused) = both().await?;
    user(&["disable", "ann"])?;
    is_void(&first, &unused).await?;
    user(&["enable", "ann"])?;
    is_void(&first, &unused).await?;
    let (second, unused) = both().await?;
    user(&["delete", "ann"])?;
    is_void(&second, &unused).await?;
    // Who comes later is somebody else.
    user(&add)?;
    is_void(&second, &unused).await?;
    Ok(())
}
