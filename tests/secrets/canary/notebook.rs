//! A notebook that says its secrets wherever it can.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isochrone_testkit::{Server, ServerOptions};
use serde_json::json;

use super::canaries::{ITEM, NOTEBOOK_SECRET};
use super::found::Places;
use super::work::{carried_out, form};

/// What it does; its last cell raises.
const CELLS: &[&str] = &[
    "import base64, json, os, sys, urllib.request\nsecret = os.environ['DB_PASSWORD']\nprint(secret, os.environ['SERVICE_TOKEN'])",
    "print(secret, file=sys.stderr); os.write(2, secret.encode())",
    "print(base64.b64encode(secret.encode()).decode(), json.dumps(secret), secret.encode())",
    "from IPython.display import HTML, display\ndisplay(HTML(secret)); display({'application/json': {secret: [secret]}}, raw=True)",
    "open(secret, 'w').close(); print(os.listdir('.'))",
    // The network's guard tells of the server that it refuses.
    "try:\n    urllib.request.urlopen(f'http://{secret}.localhost:81/', timeout=5)\nexcept Exception as error:\n    print(error)",
    "print(open(os.environ['NB_AUTH_FILE']).read() if 'NB_AUTH_FILE' in os.environ else '')",
    "raise ValueError(f'bad login: {secret}')",
];

/// What base64 makes of its secret.
pub(super) fn in_base64() -> String {
    STANDARD.encode(NOTEBOOK_SECRET).trim_end_matches('=').to_owned()
}

/// Runs it; gives the run as it is shown.
pub(super) async fn run(places: &mut Places, server: &Server, options: &ServerOptions) -> Result<String> {
    let cell = |source: &&str| json!({"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": null});
    let cells: Vec<_> = CELLS.iter().map(cell).collect();
    let kernel = json!({"name": "python3", "display_name": "Python 3", "language": "python"});
    let notebook =
        json!({"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": kernel}, "cells": cells});
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("secrets.ipynb");
    std::fs::write(&file, notebook.to_string())?;
    let file = file.to_string_lossy().into_owned();
    let added = options.cli(&["item", "add", &file, "--id", ITEM], "")?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let (run, log) = carried_out(server, &form("ExecuteNotebook", "{}", "")).await?;
    // It came to its end, and its secret was masked rather than missing.
    ensure!(run["result"].as_str().is_some_and(|result| result.contains("bad login: ***")), "{run} {log}");
    ensure!(log.to_string().contains("*** ***"), "{log}");
    places.add("run logs", log.to_string());
    Ok(run.to_string())
}
