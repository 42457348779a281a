//! Wrong passwords.

use std::sync::Arc;

use anyhow::{Result, ensure};
use futures::StreamExt;

use crate::Target;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_sign_ins_leave_no_memory_behind() -> Result<()> {
    let target = Arc::new(Target::start().await?);
    let client = reqwest::Client::new();
    // No name is tried twice, and all doors are: the form, the API, OAuth's page and its token endpoint.
    let tries = futures::stream::iter(0..200).map(|number| {
        let (client, url) = (client.clone(), target.server.url.clone());
        async move {
            let name = format!("stranger{number}");
            let root = format!("{url}/sharing/rest");
            let request = match number % 4 {
                0 => client
                    .post(format!("{root}/generateToken"))
                    .form(&[("username", &*name), ("password", "guess")]),
                1 => {
                    let state = client
                        .get(format!("{root}/oauth2/authorize"))
                        .query(&[
                            ("client_id", "x"),
                            ("response_type", "code"),
                            ("redirect_uri", "urn:ietf:wg:oauth:2.0:oob"),
                        ])
                        .send()
                        .await?
                        .text()
                        .await?;
                    let state = state.split("name=\"oauth_state\" value=\"").nth(1).unwrap_or_default();
                    let state = state.split('"').next().unwrap_or_default().to_owned();
                    ensure!(!state.is_empty(), "the page has a form");
                    let form = [("username", name), ("password", "guess".to_owned()), ("oauth_state", state)];
                    client.post(format!("{root}/oauth2/signin")).form(&form)
                }
                2 => client.post(format!("{root}/oauth2/token")).form(&[
                    ("grant_type", "client_credentials"),
                    ("client_id", &*name),
                    ("client_secret", "isokey-guess"),
                ]),
                _ => client.post(format!("{root}/generateToken")).form(&[
                    ("username", &*name),
                    ("password", "guess"),
                    ("f", "json"),
                ]),
            };
            let answer = request.send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            ensure!(status == 200 || status == 400 || status == 503, "{status}: {text}");
            ensure!(!text.contains("\"access_token\"") && !text.contains("\"expires\""), "{text}");
            Ok::<_, anyhow::Error>(())
        }
    });
    let mut tries = tries.buffer_unordered(16);
    let mut done = 0;
    while let Some(tried) = tries.next().await {
        tried?;
        done += 1;
        if done % 50 == 0 {
            target.check().await?;
        }
    }
    target.check().await
}
