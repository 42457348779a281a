//! Files of users: large ones take disk, not memory.

use anyhow::{Context, Result, ensure};
use isochrone_testkit::ADMIN_PASSWORD;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use crate::Target;

const PART: usize = 40 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn large_parts_of_files_take_no_memory() -> Result<()> {
    let target = Target::start().await?;
    let root = format!("{}/sharing/rest", target.server.url);
    let form = [("username", "admin"), ("password", ADMIN_PASSWORD), ("f", "json")];
    let answer: Value =
        reqwest::Client::new().post(format!("{root}/generateToken")).form(&form).send().await?.json().await?;
    let token = answer["token"].as_str().context("a token")?.to_owned();
    let form = [("type", "Notebook"), ("title", "big"), ("multipart", "true"), ("f", "json")];
    let add = reqwest::Client::new().post(format!("{root}/content/users/admin/addItem")).bearer_auth(&token);
    let added: Value = add.form(&form).send().await?.json().await?;
    let id = added["id"].as_str().with_context(|| format!("an id: {added}"))?.to_owned();

    let file = vec![b'x'; PART];
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (file, token) = (file.clone(), token.clone());
        // The same part each time: an item has 64 MiB at most.
        let url = format!("{root}/content/users/admin/items/{id}/addPart?partNum=1&f=json");
        uploads.spawn(async move {
            let file = Part::bytes(file).file_name("big");
            let request = reqwest::Client::new().post(url).bearer_auth(token);
            let answer: Value =
                request.multipart(Form::new().part("file", file)).send().await?.json().await?;
            Ok::<_, anyhow::Error>(answer)
        });
    }
    while let Some(answer) = uploads.join_next().await {
        let answer = answer??;
        ensure!(answer["success"] == true, "{answer}");
        target.check_memory()?;
    }
    target.check().await
}
