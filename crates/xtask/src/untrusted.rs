//! What a notebook can write is looked at by `executors/src/untrusted` alone: the files of `executors/src/notebook` that
//! open anything by its path are listed here, each with what it opens.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const FOLDER: &str = "crates/executors/src/notebook";

/// Files that open paths, none of which a notebook can write to while they do.
const OPENERS: &[(&str, &str)] = &[
    ("document.rs", "a file without a name, in the worker's part of a run's folder"),
    ("driver.rs", "the driver's program and its input, in a run's `input`"),
    ("environment/folder.rs", "an environment's folder, the worker's part of it"),
    ("environment/making.rs", "the folder of environments"),
    ("environment/mod.rs", "the operator's Python"),
    ("environment/program.rs", "the build's program and its input, in a build's `input`"),
    ("environment/uv.rs", "the worker's search path, and uv in a build's `input`"),
    ("environment/wanted.rs", "the folder of environments; the operator's Python and file of requirements"),
    ("files.rs", "handles"),
    ("home.rs", "NB_AUTH_FILE, in a run's `input`"),
    ("isolation/bwrap.rs", "the system's folders and programs"),
    ("isolation/landlock.rs", "/proc"),
    ("isolation/mod.rs", "handles; the folder of environments"),
    ("isolation/probe.rs", "the probe's program and its canary, in a run's `input`"),
    ("isolation/syscalls.rs", "memory"),
    ("isolation/view.rs", "the system's folders"),
    ("limits/cgroup/group.rs", "control groups"),
    ("limits/cgroup/mod.rs", "control groups"),
    ("limits/cgroup/scope.rs", "control groups"),
    ("limits/folder_size.rs", "/proc"),
    ("limits/rlimits.rs", "/proc"),
    ("limits/users.rs", "a run's folder, before there is a notebook"),
    ("network/passed_on.rs", "pip's settings and certificates, the worker's own"),
    ("owners_folder.rs", "the folder of the owners' folders, and these themselves by handles"),
    ("processes.rs", "/proc"),
    ("scratch.rs", "a run's folder, before there is a notebook"),
    ("secrets/mod.rs", "files in which the operator keeps secrets"),
    ("sweep.rs", "handles"),
];

/// What opens a path, or asks for what is there, following links.
const OPENING: &[&str] = &[
    "fs::",
    "File::",
    "OpenOptions",
    "DirBuilder",
    "UnixListener::bind",
    ".exists()",
    ".try_exists()",
    ".is_file()",
    ".is_dir()",
    ".metadata()",
    ".symlink_metadata()",
    ".read_dir()",
    ".read_link()",
    ".canonicalize()",
];

/// The part of a run's folder that the notebook can write to, as only `scratch.rs` names it.
const OWN: &str = "\"own";

/// Fails with the places that open a path and are not listed.
pub(crate) fn check() -> Result<()> {
    let folder = crate::root().join(FOLDER);
    let mut broken = Vec::new();
    for file in files(&folder)? {
        let name = file.strip_prefix(&folder)?.to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        broken.extend(breaks(&name, &text));
    }
    if !broken.is_empty() {
        bail!(
            "{FOLDER}: what a notebook can write to is opened by executors/src/untrusted only; where this opens \
             something else, list the file in crates/xtask/src/untrusted.rs:\n  {}",
            broken.join("\n  ")
        );
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn breaks(name: &str, text: &str) -> Vec<String> {
    let listed = OPENERS.iter().any(|(file, _)| *file == name);
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut broken = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        let opens = !listed && OPENING.iter().any(|call| line.contains(call));
        let names = name != "scratch.rs" && line.contains(OWN);
        if opens || names {
            broken.push(format!("{name}:{}: {line}", number + 1));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_opens_what_a_notebook_can_write_to() {
        check().expect("every place is listed");
    }

    #[test]
    fn a_place_that_does_is_named() {
        let text = "//! fs::read is fine in words.\nlet data = tokio::fs::read(&path).await?;\nif path.exists() {}\n\
                    #[cfg(test)]\nmod tests { fn x() { std::fs::read(\"x\"); } }";
        assert_eq!(
            breaks("ending.rs", text),
            ["ending.rs:2: let data = tokio::fs::read(&path).await?;", "ending.rs:3: if path.exists() {}"]
        );
        assert_eq!(breaks("document.rs", text), Vec::<String>::new());
        let own = "let path = scratch.outer().join(\"own\");";
        assert_eq!(breaks("driver.rs", own), [format!("driver.rs:1: {own}")]);
        assert_eq!(breaks("scratch.rs", own), Vec::<String>::new());
    }
}
