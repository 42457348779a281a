//! Why an installer failed: which package it was, and what to do about it, as far as its last lines tell.

use super::error::EnvironmentError;

/// How many of its lines are shown.
const SHOWN: usize = 12;

/// What an installer has said.
pub(super) struct Said<'a> {
    pub(super) lines: &'a [String],
    pub(super) source_builds: bool,
}

/// The error of a step of the build.
pub(super) fn of(step: &str, origin: &str, said: &Said<'_>) -> EnvironmentError {
    let shown = &said.lines[said.lines.len().saturating_sub(SHOWN)..];
    let last_lines = shown.join("\n");
    match step {
        "venv" => EnvironmentError::VenvMissing {
            detail: shown.last().cloned().unwrap_or_else(|| "it says nothing".to_owned()),
        },
        "packages" | "check" => {
            let advice = if step == "check" {
                "with them nbclient and ipykernel can't be imported".to_owned()
            } else {
                advice(said)
            };
            EnvironmentError::Packages { origin: origin.to_owned(), advice, last_lines }
        }
        _ => EnvironmentError::Install { last_lines },
    }
}

/// pip's and uv's words, and what they mean.
fn advice(said: &Said<'_>) -> String {
    let text = said.lines.join("\n");
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let sources = if said.source_builds {
        "look at its page in the package index"
    } else {
        "if it has sources only, [notebook] allow_source_builds lets them be built"
    };
    if has(&["DO NOT MATCH THE HASHES", "Hash mismatch"]) {
        return "a file of the package index has another hash than the requirement says".to_owned();
    }
    if has(&["--require-hashes mode"]) {
        return "a requirement with --hash needs all that it depends on to be listed with --hash, too"
            .to_owned();
    }
    if has(&["No space left", "Disk quota exceeded"]) {
        return "the disk is full".to_owned();
    }
    if has(&["ResolutionImpossible", "conflicting dependencies"])
        || (has(&["conflict"]) && has(&["because", "Because"]))
    {
        let which = package_after(&text, &["Cannot install ", "Because you require "]);
        return format!(
            "{} contradicts another requirement or the packages that run notebooks (which are pinned); choose other \
             versions",
            which.as_deref().unwrap_or("one of them")
        );
    }
    if has(&[
        "Failed to establish a new connection",
        "Temporary failure in name resolution",
        "ProxyError",
        "ConnectTimeoutError",
        "Read timed out",
        "Connection refused",
        "Could not fetch",
        "tcp connect error",
        "Failed to fetch",
        "SSLError",
        "CERTIFICATE_VERIFY_FAILED",
        "error sending request",
    ]) {
        return "the package index can't be reached; [notebook.environment] may set PIP_INDEX_URL, PIP_CERT and \
                PIP_FIND_LINKS, and the worker's HTTPS_PROXY is used"
            .to_owned();
    }
    let missing = [
        "No matching distribution found for ",
        "satisfies the requirement ",
        "Because there is no version of ",
        "Because there are no versions of ",
        "Because ",
    ];
    if has(&[
        "No matching distribution",
        "Could not find a version",
        "no version",
        "not found in the package registry",
        "no wheels",
        "No solution found",
    ]) {
        let which = package_after(&text, &missing);
        return format!(
            "{} has no version for this Python and machine that can be installed: check its name and version; {sources}",
            which.as_deref().unwrap_or("one of them")
        );
    }
    if has(&["Failed building wheel", "subprocess-exited-with-error", "Failed to build"]) {
        let which = package_after(&text, &["Failed building wheel for ", "Failed to build "]);
        return format!("{} can't be built from its sources here", which.as_deref().unwrap_or("one of them"));
    }
    "the installer says why".to_owned()
}

/// What follows one of these words.
fn package_after(text: &str, words: &[&str]) -> Option<String> {
    let at = words.iter().find_map(|word| text.find(word).map(|at| at + word.len()))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=<>!~*+[],".contains(c);
    let found: String = text[at..].chars().take_while(|c| plain(*c)).collect();
    let found = found.trim_end_matches(['.', ',']);
    (!found.is_empty()).then(|| found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &str, source_builds: bool) -> String {
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        of("packages", "[notebook] packages", &Said { lines: &lines, source_builds }).to_string()
    }

    #[test]
    fn the_package_and_what_to_do_are_named() {
        for (lines, words) in [
            (
                "ERROR: Could not find a version that satisfies the requirement nosuch==9 (from versions: none)\n\
                 ERROR: No matching distribution found for nosuch==9",
                &["nosuch==9 has no version", "allow_source_builds"][..],
            ),
            (
                "  × No solution found when resolving dependencies:\n  ╰─▶ Because nosuch was not found in the package \
                 registry and you require nosuch, we can conclude that your requirements are unsatisfiable.",
                &["nosuch has no version"],
            ),
            (
                "ERROR: Cannot install tornado==5.0 because these package versions have conflicting dependencies.\n\
                 ERROR: ResolutionImpossible: for help visit https://pip.pypa.io",
                &["tornado==5.0 contradicts", "pinned"],
            ),
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", &["another hash"]),
            (
                "WARNING: Retrying after connection broken by 'NewConnectionError(Failed to establish a new connection)'\n\
                 ERROR: No matching distribution found for geopandas",
                &["package index can't be reached", "PIP_INDEX_URL"],
            ),
            ("  ERROR: Failed building wheel for pyproj\n", &["pyproj can't be built"]),
            ("OSError: [Errno 28] No space left on device", &["disk is full"]),
            ("strange", &["the installer says why", "strange"]),
        ] {
            let told = told(lines, false);
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
        }
        assert!(!told("ERROR: No matching distribution found for x", true).contains("allow_source_builds"));
    }
}
