//! What is to be installed, as people write it: names of packages with versions, and nothing else.
//!
//! pip reads much more in such a place: options (`--index-url`), files (`-r`), paths, URLs, variables. None of that
//! gets through: each requirement is parsed here, and what pip reads is written anew from what was understood.

use std::str::FromStr;

use isochrone_domain::redact;
use pep508_rs::pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, VersionOrUrl};

/// Longer ones are nobody's.
const LONGEST: usize = 400;

/// More of them are nobody's, either.
const MOST: usize = 1_000;

/// All that a name, extras, versions and markers are written with.
const OTHER_CHARACTERS: &str = " \t._-[],<>=!~();'\"*+";

/// What stands before a hash.
const HASH: &str = "--hash=";

/// Hashes that pip takes, and their lengths in hexadecimal digits.
const HASHES: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Requirement {
    parsed: pep508_rs::Requirement,
    /// `sha256:...`, sorted.
    hashes: Vec<String>,
}

/// Why a requirement can't be used; names the setting or field, and what is written there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text:?} {problem}")]
pub struct BadRequirement {
    field: String,
    text: String,
    problem: String,
}

impl BadRequirement {
    pub(super) fn new(field: String, text: &str, problem: &str) -> BadRequirement {
        let text = redact::urls(text).chars().take(LONGEST).collect();
        BadRequirement { field, text, problem: problem.to_owned() }
    }
}

impl Requirement {
    /// Reads one, as `geopandas[all]>=1,<2 ; python_version >= "3.10" --hash=sha256:...`. `field`: where it stands.
    pub(in super::super) fn parse(field: &str, text: &str) -> Result<Requirement, BadRequirement> {
        understand(text.trim()).map_err(|problem| BadRequirement::new(field.to_owned(), text, &problem))
    }

    /// The distribution's name, in lower case and with hyphens.
    pub(super) fn name(&self) -> &str {
        self.parsed.name.as_ref()
    }

    /// Whether what is installed is enough. What can't be known from names and versions is not.
    pub(super) fn is_met_by(&self, installed: &[(String, String)], markers: &MarkerEnvironment) -> bool {
        if !self.parsed.evaluate_markers(markers, &[]) {
            return true;
        }
        if !self.hashes.is_empty() || !self.parsed.extras.is_empty() {
            return false;
        }
        let same =
            |name: &str| pep508_rs::PackageName::from_str(name).is_ok_and(|name| name == self.parsed.name);
        installed.iter().filter(|(name, _)| same(name)).any(|(_, version)| {
            match &self.parsed.version_or_url {
                None => true,
                Some(VersionOrUrl::VersionSpecifier(wanted)) => {
                    Version::from_str(version).is_ok_and(|version| wanted.contains(&version))
                }
                Some(VersionOrUrl::Url(_)) => false,
            }
        })
    }

    /// As a constraint on what is installed later.
    pub(super) fn without_hashes(&self) -> String {
        self.parsed.to_string()
    }

    /// Whether it says which files it may be.
    pub(super) fn has_hashes(&self) -> bool {
        !self.hashes.is_empty()
    }
}

/// In one line, as pip and uv read it; the same for all spellings of the same.
impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.parsed)?;
        self.hashes.iter().try_for_each(|hash| write!(f, " {HASH}{hash}"))
    }
}

/// Reads a list of them.
pub(in super::super) fn parse_list<T: AsRef<str>>(
    field: &str,
    list: &[T],
) -> Result<Vec<Requirement>, BadRequirement> {
    if list.len() > MOST {
        let problem = format!("are more than {MOST} requirements");
        return Err(BadRequirement::new(field.to_owned(), "", &problem));
    }
    let each = list.iter().enumerate();
    each.map(|(at, text)| Requirement::parse(&format!("{field}[{at}]"), text.as_ref())).collect()
}

/// Reads the text of a requirements file: comments and continued lines are its own.
pub(in super::super) fn parse_text(field: &str, text: &str) -> Result<Vec<Requirement>, BadRequirement> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut whole = without_comment(line).to_owned();
        while let Some(begun) = whole.strip_suffix('\\') {
            let rest = lines.next().map_or("", |(_, line)| without_comment(line));
            whole = format!("{begun} {rest}");
        }
        if whole.trim().is_empty() {
            continue;
        }
        found.push(Requirement::parse(&format!("{field}, line {}", at + 1), &whole)?);
        if found.len() > MOST {
            let problem = format!("is one of more than {MOST} requirements");
            return Err(BadRequirement::new(field.to_owned(), &whole, &problem));
        }
    }
    Ok(found)
}

fn without_comment(line: &str) -> &str {
    let line = line.trim_end();
    let begins = |(at, _): &(usize, &str)| *at == 0 || line[..*at].ends_with([' ', '\t']);
    line.match_indices('#').find(begins).map_or(line, |(at, _)| line[..at].trim_end())
}

/// The error says what is wrong and what to do about it.
fn understand(text: &str) -> Result<Requirement, String> {
    if text.len() > LONGEST {
        return Err(format!("is longer than {LONGEST} characters"));
    }
    let (plain, hashes) = split_hashes(text)?;
    if plain.starts_with('-') {
        return Err(
            "is an option of pip: only packages can stand here. Which index they come from is set by \
                    PIP_INDEX_URL in [notebook.environment], by the operator"
                .to_owned(),
        );
    }
    if plain.contains(['/', '\\', '@', ':', '$', '%']) || plain.starts_with('.') {
        return Err("names a URL, a path or a variable: only names of packages with versions can stand here, and the \
                    package index has their files"
            .to_owned());
    }
    if let Some(other) = plain.chars().find(|c| !c.is_ascii_alphanumeric() && !OTHER_CHARACTERS.contains(*c))
    {
        return Err(format!("has the character {other:?}, which no requirement has"));
    }
    let parsed = pep508_rs::Requirement::from_str(plain)
        .map_err(|error| format!("is no requirement as NAME==VERSION: {}", error.message))?;
    match parsed.version_or_url {
        Some(VersionOrUrl::Url(_)) => Err("names a URL".to_owned()),
        _ => Ok(Requirement { parsed, hashes }),
    }
}

/// Hashes stand at the end, each after a space.
fn split_hashes(text: &str) -> Result<(&str, Vec<String>), String> {
    let (plain, rest) = match text.find(" --").or_else(|| text.find("\t--")) {
        Some(at) => (text[..at].trim_end(), &text[at..]),
        None => (text, ""),
    };
    let mut hashes = Vec::new();
    for word in rest.split_whitespace() {
        let hash = word.strip_prefix(HASH).ok_or_else(|| {
            format!(
                "has the option {:?}: beside a requirement only {HASH}sha256:... can stand",
                redact::urls(word)
            )
        })?;
        let (kind, digits) = hash.split_once(':').unwrap_or((hash, ""));
        let length = HASHES.iter().find(|(known, _)| *known == kind).map(|(_, length)| *length);
        if length != Some(digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!(
                "has a hash that is none: {hash:?}; expected sha256: and 64 hexadecimal digits"
            ));
        }
        hashes.push(hash.to_ascii_lowercase());
    }
    hashes.sort();
    hashes.dedup();
    Ok((plain, hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        Requirement::parse("packages[0]", text).unwrap().to_string()
    }

    #[test]
    fn spellings_of_the_same_are_the_same() {
        for (text, expected) in [
            ("geopandas==1.0.1", "geopandas==1.0.1"),
            ("  GeoPandas == 1.0.1 ", "geopandas==1.0.1"),
            ("zope.interface>=5,<7", "zope-interface>=5,<7"),
            ("Foo_Bar[B,a] ~= 1.0", "foo-bar[b,a]~=1.0"),
            ("numpy", "numpy"),
            ("numpy==1.*", "numpy==1.*"),
            ("torch==2.1+cpu", "torch==2.1+cpu"),
            ("tz==1!2.0", "tz==1!2.0"),
            ("importlib-metadata; python_version<'3.9'", "importlib-metadata ; python_full_version < '3.9'"),
        ] {
            assert_eq!(written(text), expected);
            // What is written is read as the same.
            assert_eq!(written(&written(text)), expected);
        }
        let hash = "ab".repeat(32);
        assert_eq!(
            written(&format!("a==1 --hash=sha256:{} --hash=sha256:{hash}", hash.to_uppercase())),
            format!("a==1 --hash=sha256:{hash}")
        );
    }

    #[test]
    fn nothing_but_names_and_versions_gets_through() {
        for trick in [
            "-r other.txt",
            "--requirement=other.txt",
            "-c constraints.txt",
            "-e .",
            "--index-url https://evil.example.com/simple",
            "-i https://evil.example.com/simple",
            "--extra-index-url=https://evil.example.com",
            "--find-links /tmp",
            "--no-binary :all:",
            "--pre",
            "numpy --index-url https://evil.example.com",
            "numpy\t--index-url=https://evil.example.com",
            "numpy --config-settings=x=y",
            "numpy --global-option=x",
            "numpy --hash=md5:0123",
            "numpy --hash=sha256:abc",
            "numpy --hash=sha256:../../../../x",
            "numpy==1.0 -r other.txt",
            "numpy==1.0 -e .",
            "pkg @ https://evil.example.com/pkg.whl",
            "pkg@https://evil.example.com/pkg.whl",
            "pkg @ file:///etc/passwd",
            "pkg @ git+https://github.com/a/b",
            "git+ssh://git@example.com/a",
            "https://evil.example.com/pkg.whl",
            "file:///etc/passwd",
            "file:pkg",
            "./pkg",
            ".",
            "..",
            "../pkg",
            "/tmp/pkg",
            "~/pkg",
            "pkg/",
            "pkg.whl/../x",
            "C:\\pkg",
            "${HOME}",
            "pkg==${VERSION}",
            "$HOME",
            "%HOME%",
            "pkg\\",
            "pkg \\\n--index-url https://evil.example.com",
            "pkg\n--index-url https://evil.example.com",
            "pkg\r-r other.txt",
            "pkg\u{2028}-r other.txt",
            "pkg\u{85}--pre",
            "pkg\u{c}--pre",
            "pkg\0",
            "numpy # a comment",
            "#",
            "",
            "nump\u{443}",
            "ｎｕｍｐｙ",
            "num\u{200b}py",
            "pkg\u{a0}==1",
            "pkg =\u{200b}= 1",
            "\u{2013}r other.txt",
            "pkg==",
            "pkg===",
            "pkg=1",
            "pkg 1.0",
            "pkg==1.0 other==2.0",
            "pkg, other",
            "[extra]",
            "-",
            "_",
            "pkg[",
            "pkg[../x]",
            "pkg ; python_version < ",
            "pkg ; os_name == '/etc'",
            "pkg;__import__('os').system('id')",
        ] {
            let refused = Requirement::parse("metadata.isochrone.requirements[3]", trick);
            let told = match refused {
                Err(error) => error.to_string(),
                Ok(taken) => panic!("{trick:?} is taken for {taken}"),
            };
            assert!(told.starts_with("metadata.isochrone.requirements[3]: "), "{told}");
            assert!(!told.contains('\n'), "{told}");
        }
        assert!(Requirement::parse("f", &"a".repeat(LONGEST + 1)).is_err());
    }

    #[test]
    fn what_a_refusal_shows_has_no_value_of_a_variable() {
        let told = Requirement::parse("f", "pkg @ https://${PATH}/x").unwrap_err().to_string();
        assert!(told.contains("${PATH}") && !told.contains("/usr/bin"), "{told}");
        for text in ["--index-url https://me:word@example.com/x", "pkg @ https://me:word@example.com/x"] {
            let told = Requirement::parse("f", text).unwrap_err().to_string();
            assert!(told.contains("example.com") && !told.contains("word"), "{told}");
        }
    }

    #[test]
    fn a_file_has_comments_and_continued_lines() {
        let hash = "0f".repeat(32);
        let text = format!(
            "\u{feff}# pinned\n\ngeopandas==1.0.1   # maps\n   \nshapely==2.0 \\\n    --hash=sha256:{hash} \\\n    \
             --hash=sha256:{hash}\r\nnumpy\n"
        );
        let found = parse_text("notebook.requirements", &text).unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["geopandas==1.0.1", &format!("shapely==2.0 --hash=sha256:{hash}"), "numpy"]);
        for (text, line) in [("a\nb\n-r x\n", 3), ("a\n--index-url \\\nhttps://x\n", 2), ("x \\\n-e .\n", 1)]
        {
            let told = parse_text("notebook.requirements", text).unwrap_err().to_string();
            assert!(told.starts_with(&format!("notebook.requirements, line {line}: ")), "{told}");
        }
        assert!(parse_text("f", &"a\n".repeat(MOST + 1)).is_err());
    }
}
