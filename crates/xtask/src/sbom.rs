//! `cargo xtask sbom`: what the binary is made of, as CycloneDX 1.5 (<https://cyclonedx.org/docs/1.5/json/>).
//!
//! It comes from `cargo metadata` and `Cargo.lock` alone and says nothing of when it was made: the same lock file makes
//! the same document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The package that is shipped.
const BINARY: &str = "isochrone";

/// What it is compiled for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where it is written; without it, to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The target whose dependencies are listed.
    #[arg(long, default_value = TARGET)]
    target: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut text = serde_json::to_string_pretty(&document(&args.target)?)?;
    text.push('\n');
    if let Some(file) = &args.output {
        return std::fs::write(file, text).with_context(|| file.display().to_string());
    }
    print!("{text}");
    Ok(())
}

/// A package's id in `cargo metadata`.
type Id<'a> = &'a str;

fn document(target: &str) -> Result<Value> {
    let metadata = metadata(target)?;
    let hashes = hashes(&crate::root().join("Cargo.lock"))?;
    let packages: BTreeMap<Id<'_>, &Value> =
        list(&metadata["packages"]).filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let needs: BTreeMap<Id<'_>, BTreeSet<Id<'_>>> = list(&metadata["resolve"]["nodes"])
        .filter_map(|node| Some((node["id"].as_str()?, linked(node))))
        .collect();
    let root =
        packages.iter().find(|(_, package)| package["name"] == BINARY).context("the binary's package")?;
    let mut parts = BTreeSet::from([*root.0]);
    let mut ahead = vec![*root.0];
    while let Some(id) = ahead.pop() {
        ahead.extend(needs[id].iter().copied().filter(|need| parts.insert(need)));
    }
    let reference = |id: &Id<'_>| purl(packages[id]);
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for id in &parts {
        if id != root.0 {
            components.push(component(packages[id], "library", &hashes));
        }
        let needed: BTreeSet<String> = needs[id].iter().map(reference).collect();
        dependencies.push(json!({"ref": reference(id), "dependsOn": needed}));
    }
    let binary = component(root.1, "application", &hashes);
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": binary},
        "components": components,
        "dependencies": dependencies,
    }))
}

fn metadata(target: &str) -> Result<Value> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", target])
        .current_dir(crate::root())
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a package needs to be compiled or to run; what only its tests need is not shipped.
fn linked(node: &Value) -> BTreeSet<Id<'_>> {
    let is_linked = |need: &&Value| list(&need["dep_kinds"]).any(|kind| kind["kind"] != "dev");
    list(&node["deps"]).filter(is_linked).filter_map(|need| need["pkg"].as_str()).collect()
}

/// <https://github.com/package-url/purl-spec>: crates' names and versions need no escapes but for `+`.
fn purl(package: &Value) -> String {
    let text = |name: &str| package[name].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version").replace('+', "%2B"))
}

fn component(package: &Value, kind: &str, hashes: &BTreeMap<(String, String), String>) -> Value {
    let text = |name: &str| package[name].as_str();
    let (name, version) = (text("name").unwrap_or_default(), text("version").unwrap_or_default());
    let mut component = json!({
        "type": kind,
        "bom-ref": purl(package),
        "purl": purl(package),
        "name": name,
        "version": version,
        "scope": "required",
    });
    if let Some(text) = text("description") {
        component["description"] = text.trim().into();
    }
    component["licenses"] = match text("license") {
        // Cargo once had a slash for OR.
        Some(expression) => json!([{"expression": expression.replace('/', " OR ")}]),
        None => json!([{"license": {"name": "see the crate's license file"}}]),
    };
    if let Some(hash) = hashes.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": hash}]);
    }
    if let Some(repository) = text("repository") {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// The checksums in a lock file, by name and version: of what came from a registry.
fn hashes(lock: &Path) -> Result<BTreeMap<(String, String), String>> {
    let text = std::fs::read_to_string(lock).with_context(|| lock.display().to_string())?;
    let mut hashes = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let value = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(hash)) = (value("name"), value("version"), value("checksum"))
        {
            hashes.insert((name, version), hash);
        }
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_listed_with_its_licence_and_its_hash() {
        let document = document(TARGET).expect("it can be made");
        let components: Vec<&Value> = list(&document["components"]).collect();
        let named = |name: &str| components.iter().find(|component| component["name"] == name).copied();
        for linked in ["tokio", "rustls", "isochrone-portal", "libsqlite3-sys"] {
            assert!(named(linked).is_some(), "{linked}");
        }
        for of_tests in ["proptest", "isochrone-testkit", "xtask"] {
            assert!(named(of_tests).is_none(), "{of_tests}");
        }
        for component in &components {
            let ours = component["name"].as_str().is_some_and(|name| name.starts_with("isochrone"));
            let hash = component["hashes"][0]["content"].as_str().map(str::len);
            assert_eq!(hash, (!ours).then_some(64), "{component}");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        }
        let references: BTreeSet<&str> =
            components.iter().filter_map(|component| component["bom-ref"].as_str()).collect();
        assert_eq!(references.len(), components.len(), "each once");
        for dependency in list(&document["dependencies"]) {
            for needed in list(&dependency["dependsOn"]) {
                assert!(references.contains(needed.as_str().expect("text")), "{needed}");
            }
        }
        assert_eq!(document, super::document(TARGET).expect("again"), "the same each time");
    }
}
