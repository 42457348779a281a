//! What a notebook says that it needs: in its metadata (`isochrone.requirements`), or in its first code cell, as scripts
//! say it (PEP 723, <https://packaging.python.org/en/latest/specifications/inline-script-metadata/>), which `juv` and
//! `uv` write.

use std::str::FromStr;

use isochrone_domain::read_notebook_as;
use pep508_rs::pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;
use serde_json::Value;

use super::requirement::{BadRequirement, Requirement, parse_list, parse_text};

const METADATA: &str = "metadata.isochrone.requirements";
const SCRIPT: &str = "the first code cell's `# /// script`";

/// Keys of `[tool.uv]` that would change which packages are meant.
const OTHER_SOURCES: [&str; 8] = [
    "sources",
    "index",
    "index-url",
    "extra-index-url",
    "find-links",
    "constraint-dependencies",
    "override-dependencies",
    "default-index",
];

/// A notebook's own requirements.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct ItemRequirements {
    /// Where they stand, for people.
    pub(in super::super) fields: Vec<&'static str>,
    pub(in super::super) packages: Vec<Requirement>,
    /// As it is written.
    python: Option<(String, VersionSpecifiers)>,
}

impl ItemRequirements {
    /// Those of a notebook. What is no notebook has none.
    pub(in super::super) fn of(notebook: &[u8]) -> Result<ItemRequirements, BadRequirement> {
        let Ok(notebook) = read_notebook_as::<Notebook>(notebook) else { return Ok(Self::default()) };
        let mut found = Self::default();
        if let Some(list) =
            notebook.metadata.pointer("/isochrone/requirements").filter(|list| !list.is_null())
        {
            found.fields.push(METADATA);
            found.packages = in_metadata(list)?;
        }
        let first = notebook.cells.iter().find(|cell| cell.cell_type == "code");
        if let Some(text) = first.map(Cell::source)
            && let Some(block) = script_block(&text)?
        {
            let script = Script::read(&block)?;
            found.fields.push(SCRIPT);
            found.packages.extend(parse_list(&format!("{SCRIPT}: dependencies"), &script.dependencies)?);
            found.python = script.requires_python()?;
        }
        Ok(found)
    }

    /// Whether it says nothing that has to be looked at.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.python.is_none()
    }

    /// Refuses a Python that it can't have.
    pub(super) fn check_python(&self, version: &Version) -> Result<(), BadRequirement> {
        match &self.python {
            Some((text, wanted)) if !wanted.contains(version) => {
                let problem = format!("is not met: notebooks have Python {version} here");
                Err(BadRequirement::new(format!("{SCRIPT}: requires-python"), text, &problem))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Notebook {
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    #[serde(default)]
    cell_type: String,
    #[serde(default)]
    source: Value,
}

impl Cell {
    /// A text, or its lines.
    fn source(&self) -> String {
        match &self.source {
            Value::String(text) => text.clone(),
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
            _ => String::new(),
        }
    }
}

fn in_metadata(list: &Value) -> Result<Vec<Requirement>, BadRequirement> {
    match list {
        Value::String(text) => parse_text(METADATA, text),
        Value::Array(list) => {
            let text = |entry: &Value| entry.as_str().unwrap_or_default().to_owned();
            if let Some(at) = list.iter().position(|entry| !entry.is_string()) {
                let field = format!("{METADATA}[{at}]");
                return Err(BadRequirement::new(field, &list[at].to_string(), "is no text"));
            }
            parse_list(METADATA, &list.iter().map(text).collect::<Vec<_>>())
        }
        other => {
            let problem = "is neither a list of requirements nor the text of a requirements file";
            Err(BadRequirement::new(METADATA.to_owned(), &other.to_string(), problem))
        }
    }
}

/// The TOML between `# /// script` and `# ///`.
fn script_block(cell: &str) -> Result<Option<String>, BadRequirement> {
    let mut found = None;
    let mut lines = cell.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        if line != "# /// script" {
            continue;
        }
        // The last `# ///` of the comment ends it.
        let comment: Vec<&str> = lines.by_ref().take_while(|line| line.starts_with('#')).collect();
        let Some(end) = comment.iter().rposition(|line| *line == "# ///") else { continue };
        let content =
            |line: &&str| line.strip_prefix("# ").or_else(|| line.strip_prefix('#')).map(str::to_owned);
        let block: Vec<String> = comment[..end].iter().filter_map(content).collect();
        if found.replace(block.join("\n")).is_some() {
            return Err(BadRequirement::new(SCRIPT.to_owned(), line, "stands there twice"));
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Script {
    #[serde(default)]
    dependencies: Vec<String>,
    requires_python: Option<String>,
    tool: Option<toml::Table>,
}

impl Script {
    fn read(block: &str) -> Result<Script, BadRequirement> {
        let script: Script = toml::from_str(block).map_err(|error| {
            let problem = format!("is no TOML with `dependencies`: {}", error.message());
            BadRequirement::new(SCRIPT.to_owned(), block.lines().next().unwrap_or_default(), &problem)
        })?;
        let uv = script.tool.as_ref().and_then(|tool| tool.get("uv")).and_then(toml::Value::as_table);
        match uv.and_then(|uv| OTHER_SOURCES.iter().find(|key| uv.contains_key(**key))) {
            Some(key) => {
                let problem = "is set: where packages come from is the operator's to set \
                               (PIP_INDEX_URL in [notebook.environment])";
                Err(BadRequirement::new(format!("{SCRIPT}: [tool.uv]"), key, problem))
            }
            None => Ok(script),
        }
    }

    fn requires_python(&self) -> Result<Option<(String, VersionSpecifiers)>, BadRequirement> {
        let Some(text) = &self.requires_python else { return Ok(None) };
        let wanted = VersionSpecifiers::from_str(text).map_err(|error| {
            let problem = format!("is no range of versions: {error}").replace('\n', " ");
            BadRequirement::new(format!("{SCRIPT}: requires-python"), text, &problem)
        })?;
        Ok(Some((text.clone(), wanted)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(metadata: &Value, cell: &str) -> Result<Vec<String>, String> {
        let cells = json!([{"cell_type": "markdown", "source": "# /// script"}, {"cell_type": "code", "source": cell}]);
        let notebook = json!({"nbformat": 4, "metadata": metadata, "cells": cells}).to_string();
        let found = ItemRequirements::of(notebook.as_bytes()).map_err(|error| error.to_string())?;
        Ok(found.packages.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_metadata_has_a_list_or_a_text() {
        let with = |requirements: Value| of(&json!({"isochrone": {"requirements": requirements}}), "1");
        assert_eq!(with(json!(["a==1", "B"])), Ok(vec!["a==1".to_owned(), "b".to_owned()]));
        assert_eq!(with(json!("# these\na==1\nb\n")), Ok(vec!["a==1".to_owned(), "b".to_owned()]));
        assert_eq!(with(json!(null)), Ok(vec![]));
        let pythons = br#"{"metadata": {"isochrone": {"requirements": ["a"]}, "x": NaN}, "cells": []}"#;
        assert_eq!(ItemRequirements::of(pythons).unwrap().packages.len(), 1);
        for (wrong, field) in [
            (json!(["a", "--pre"]), "metadata.isochrone.requirements[1]: "),
            (json!("a\n-r x"), "metadata.isochrone.requirements, line 2: "),
            (json!(["a", 7]), "metadata.isochrone.requirements[1]: "),
            (json!({"a": "1"}), "metadata.isochrone.requirements: "),
            (json!(7), "metadata.isochrone.requirements: "),
        ] {
            let told = with(wrong).unwrap_err();
            assert!(told.starts_with(field), "{told}");
        }
    }

    #[test]
    fn the_first_code_cell_has_a_scripts_block() {
        let block = "# /// script\n# requires-python = \">=3.9\"\n# dependencies = [\n#   \"requests<3\",\n#   \"rich\",\n\
                     # ]\n#\n# [tool.uv]\n# exclude-newer = \"2026-01-01T00:00:00Z\"\n# ///\nimport requests";
        assert_eq!(of(&json!({}), block), Ok(vec!["requests<3".to_owned(), "rich".to_owned()]));
        assert_eq!(of(&json!({}), "# /// script\n# nothing ends it"), Ok(vec![]));
        assert_eq!(of(&json!({}), "# /// other\n# dependencies = [\"a\"]\n# ///"), Ok(vec![]));
        for (wrong, what) in [
            ("# /// script\n# dependencies = [\"a\", \"b @ https://x\"]\n# ///", "dependencies[1]: "),
            ("# /// script\n# dependencies = \"a\"\n# ///", "is no TOML"),
            ("# /// script\n# dependencies = [\n# ///", "is no TOML"),
            ("# /// script\n# requires-python = \"new\"\n# ///", "requires-python: "),
            (
                "# /// script\n# [tool.uv.sources]\n# a = {git = \"https://x\"}\n# ///",
                "[tool.uv]: \"sources\"",
            ),
            ("# /// script\n# [[tool.uv.index]]\n# url = \"https://x\"\n# ///", "[tool.uv]: \"index\""),
            ("# /// script\n# ///\n\n# /// script\n# ///", "twice"),
        ] {
            let told = of(&json!({}), wrong).unwrap_err();
            assert!(told.starts_with(SCRIPT) && told.contains(what), "{told}");
        }
    }

    #[test]
    fn a_python_that_does_not_do_is_refused() {
        let cell = "# /// script\n# requires-python = \">=3.12\"\n# ///";
        let notebook = json!({"cells": [{"cell_type": "code", "source": [cell]}]}).to_string();
        let found = ItemRequirements::of(notebook.as_bytes()).unwrap();
        found.check_python(&Version::from_str("3.13.1").unwrap()).unwrap();
        let told = found.check_python(&Version::from_str("3.11.7").unwrap()).unwrap_err().to_string();
        assert!(told.contains(">=3.12") && told.contains("3.11.7"), "{told}");
    }

    #[test]
    fn what_is_no_notebook_needs_nothing() {
        for bytes in [&b"print(1)"[..], b"[1]", b"\xff", b"{}"] {
            assert!(ItemRequirements::of(bytes).unwrap().is_empty());
        }
    }
}
