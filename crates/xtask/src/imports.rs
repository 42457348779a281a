//! Who may import whom: the house's rules, read from `cargo metadata`.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What each crate may import of the house, tests aside. A crate that is not listed may import nothing.
const RULES: &[(&str, &[&str])] = &[
    ("quartz", &[]),
    ("domain", &["quartz"]),
    ("store", &["domain"]),
    ("telemetry", &["domain"]),
    ("queue", &["domain", "telemetry"]),
    ("scheduler", &["quartz", "domain", "store", "queue", "telemetry"]),
    ("worker", &["quartz", "domain", "store", "queue", "telemetry"]),
    ("arcgis", &[]),
    ("sandbox", &[]),
    ("executors", &["worker", "domain", "arcgis"]),
    ("portal", &["quartz", "domain", "store", "queue", "scheduler", "worker", "arcgis", "telemetry"]),
    (
        "isochrone",
        &[
            "quartz",
            "domain",
            "store",
            "queue",
            "scheduler",
            "worker",
            "executors",
            "portal",
            "arcgis",
            "sandbox",
            "telemetry",
        ],
    ),
    ("testkit", &["domain", "store", "sandbox"]),
    ("simulator", &["domain", "store", "queue", "scheduler", "worker", "telemetry"]),
    ("xtask", &["testkit"]),
];

/// Fails with the names of the crates that break the rules.
pub(crate) fn check() -> Result<()> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(crate::root())
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let broken = broken(&serde_json::from_slice(&output.stdout)?)?;
    if !broken.is_empty() {
        bail!("imports that the house does not allow (see ARCHITECTURE.md):\n  {}", broken.join("\n  "));
    }
    Ok(())
}

fn broken(metadata: &Value) -> Result<Vec<String>> {
    let rules: BTreeMap<&str, &[&str]> = RULES.iter().copied().collect();
    let mut broken = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let importer = short(package["name"].as_str().context("a package has a name")?);
        let Some(allowed) = rules.get(importer) else {
            broken.push(format!("{importer}: a crate without a rule"));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("no dependencies")? {
            let for_tests = dependency["kind"] == "dev";
            let Some(name) = dependency["name"].as_str().filter(|_| !dependency["path"].is_null()) else {
                continue;
            };
            let imported = short(name);
            // Tests may use what lies beside their crate, and testkit is theirs alone.
            if !for_tests && !allowed.contains(&imported) {
                broken.push(format!("{importer} imports {imported}"));
            }
        }
    }
    Ok(broken)
}

fn short(name: &str) -> &str {
    name.strip_prefix("isochrone-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_house_holds_its_import_rules() {
        check().expect("every import is allowed");
    }

    #[test]
    fn a_crate_that_breaks_them_is_named() {
        let dependency = |name: &str, kind: Value| json!({"name": name, "kind": kind, "path": "/x"});
        let metadata = json!({"packages": [
            {"name": "isochrone-domain", "dependencies": [
                dependency("isochrone-quartz", Value::Null),
                dependency("isochrone-store", Value::Null),
                dependency("isochrone-testkit", json!("dev")),
                {"name": "serde", "kind": null, "path": null},
            ]},
            {"name": "isochrone-attic", "dependencies": []},
        ]});
        assert_eq!(
            broken(&metadata).expect("it can be read"),
            ["domain imports store", "attic: a crate without a rule"]
        );
    }
}
