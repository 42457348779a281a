//! Everything that the APIs' description allows, and much that it does not, is sent to a real server: it never
//! fails, and no answer is other than described.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{PythonClient, Server, ServerOptions};

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Cases that are drawn for each operation; as many again come from the description's corners.
    pub draws: u32,
    /// Fewer cases in all are too few.
    pub least: u64,
}

impl Plan {
    /// What the tests do.
    pub const SMOKE: Plan = Plan { draws: 4, least: 1_000 };
    /// The whole.
    pub const FULL: Plan = Plan { draws: 200, least: 20_000 };
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    cases: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cases sent, 0 failures of the server, 0 answers outside of their schema", self.cases)
    }
}

/// What is asked of each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

const REPORT: &str = r#"{"reportType":"org","reportSubType":"users","title":"U"}"#;

/// Sends it all: first to things that are there, then to any, deletions included.
pub async fn run(binary: &Path, plan: Plan) -> Result<Seen> {
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/schemathesis.txt");
    let client = PythonClient::install("schemathesis", &[&["-r", requirements]])?;
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(binary, dir.path().join("data"));
    let server = Server::start(&options).await?.sign_in().await?;
    let known = dir.path().join("schemathesis.toml");
    std::fs::write(&known, known_things(&server).await?)?;
    let made = options.cli_json(&["user", "key", "admin", "--title", "every case"])?;
    let header = format!("Authorization: Bearer {}", made["key"].as_str().context("a key")?);
    let (described, draws) = (format!("{}/openapi.json", server.url), plan.draws.to_string());
    let known = known.to_str().context("a path of text")?;
    let common = ["run", &described, "-H", &header, "-c", CHECKS, "-n", &draws, "--phases"];
    let common = [&common[..], &["examples,coverage,fuzzing", "--warnings", "off", "--no-color"]].concat();
    let there = ["--exclude-method", "DELETE", "--exclude-path-regex", "/(delete|revokeToken)$"];
    let mut cases = 0;
    for more in [&[&["--config-file", known][..], &common, &there].concat(), &common] {
        let told = client.run_program("st", dir.path(), more)?;
        cases += count(&told).with_context(|| format!("no count of cases in: {told}"))?;
    }
    ensure!(cases >= plan.least, "only {cases} cases were sent");
    ensure!(server.get("/sharing/rest/community/self", &[]).await?["username"] == "admin", "it serves on");
    Ok(Seen { cases })
}

/// A task, its ended run and an item, for the places in paths.
async fn known_things(server: &Server) -> Result<String> {
    let every_hour =
        [("minute", "0"), ("hour", "*"), ("dayOfMonth", "*"), ("month", "*"), ("dayOfWeek", "?")];
    let form = [&[("type", "ExecuteReport"), ("parameters", REPORT)][..], &every_hour].concat();
    let task = server.create_task(&form).await?;
    let run = server.post(&format!("/sharing/rest/community/users/admin/tasks/{task}/run"), &[]).await?;
    let notebook = [("type", "Notebook"), ("title", "Empty"), ("text", r#"{"cells":[]}"#)];
    let item = server.post("/sharing/rest/content/users/admin/addItem", &notebook).await?;
    let id = |answer: &Value, name: &str| {
        answer[name].as_str().map(str::to_owned).with_context(|| format!("no id: {answer}"))
    };
    let (run, item) = (id(&run, "runId")?, id(&item, "id")?);
    Ok(format!(
        "[parameters]\n\"path.user\" = \"admin\"\n\"path.task\" = \"{task}\"\n\"path.run\" = \"{run}\"\n\
         \"path.item\" = \"{item}\"\n"
    ))
}

/// The number before ` generated`.
fn count(told: &str) -> Option<u64> {
    let (before, _) = told.split_once(" generated")?;
    before.rsplit(char::is_whitespace).next()?.parse().ok()
}
