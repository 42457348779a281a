//! The program that builds an environment: what it is told, and what it says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use isochrone_domain::redact;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdout};

use super::super::limits::Excess;
use super::super::lines::LineReader;
use super::super::scratch::{NotebookPath, Scratch};
use super::build::Plan;
use super::requirement::Requirement;
use super::{PINS, uv};

/// The program, and what it has in common with the notebooks' driver; by names in a build's `input`.
const FILES: [(&str, &str); 2] = [
    ("build.py", include_str!("build.py")),
    ("isochrone_processes.py", include_str!("../driver/notebook_driver/processes.py")),
];

/// The environment's folder in that of its build.
pub(super) const TARGET: &str = "env";

const LONGEST_EVENT: usize = 1 << 20;
/// What a build that failed before it could say so has written.
const LONGEST_ERRORS: u64 = 4_000;

/// What the program is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    python: PathBuf,
    uv: Option<PathBuf>,
    source_builds: bool,
    folder: NotebookPath,
    target: NotebookPath,
    /// Where the environment will be.
    r#final: PathBuf,
    /// One after the other.
    installs: Vec<Install>,
}

/// What is installed at once.
#[derive(Serialize)]
struct Install {
    requirements: Vec<PathBuf>,
    constraints: Vec<PathBuf>,
    /// Whether each has hashes. pip wants such of all that they depend on, but of what is there already; uv wants
    /// them of that, too, or of nothing.
    hashed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Line(String),
    Failed(String),
    Done(Vec<(String, String)>),
}

#[derive(Deserialize)]
struct Written {
    #[serde(flatten)]
    event: Event,
    #[serde(default)]
    lines: Vec<String>,
}

/// Why there is nothing.
pub(super) enum Failed {
    Step { step: String, lines: Vec<String> },
    Excess(Excess),
    Late,
}

/// What is installed, by name and version.
pub(super) type Outcome = Result<Vec<(String, String)>, Failed>;

/// Writes the program into the build's `input`; says where it is.
pub(super) fn write(scratch: &Scratch) -> io::Result<PathBuf> {
    for (name, content) in FILES {
        fs::write(scratch.input().join(name), content)?;
    }
    Ok(scratch.input().join(FILES[0].0))
}

impl Job {
    /// Writes what the build reads.
    pub(super) fn new(
        plan: &Plan<'_>,
        scratch: &Scratch,
        uv: Option<&Path>,
        source_builds: bool,
    ) -> io::Result<Job> {
        let write = |name: &str, lines: &[String]| -> io::Result<PathBuf> {
            let path = scratch.input().join(name);
            fs::write(&path, lines.join("\n") + "\n")?;
            Ok(path)
        };
        let pins = write("pins.txt", &[PINS.to_owned()])?;
        let lines = |some: &[&Requirement]| -> Vec<String> { some.iter().map(ToString::to_string).collect() };
        // pip takes hashes for all that it installs at once or for none, and what it installs next must not change them.
        let (hashed, other): (Vec<_>, Vec<_>) = plan.requirements.iter().partition(|one| one.has_hashes());
        let mut installs = Vec::new();
        let (mut together, mut constraints) = (vec![pins.clone()], Vec::new());
        if !hashed.is_empty() {
            let requirements = std::mem::take(&mut together);
            installs.push(Install { requirements, constraints: Vec::new(), hashed: false });
            let file = write("hashed.txt", &lines(&hashed))?;
            installs.push(Install {
                requirements: vec![file],
                constraints: vec![pins.clone()],
                hashed: true,
            });
            let names: Vec<String> = hashed.iter().map(|one| one.without_hashes()).collect();
            constraints.push(write("constraints.txt", &names)?);
        }
        if !other.is_empty() {
            together.push(write("packages.txt", &lines(&other))?);
            constraints.push(pins);
        }
        if !together.is_empty() {
            installs.push(Install { requirements: together, constraints, hashed: false });
        }
        Ok(Job {
            python: plan.base.executable.clone(),
            uv: uv.and_then(|uv| uv::copy_into(uv, &scratch.input())),
            source_builds,
            folder: scratch.work(),
            target: scratch.own().join(TARGET),
            r#final: plan.folder.env(),
            installs,
        })
    }
}

/// Passes on what it says, until it says how it went.
pub(super) async fn follow(
    events: ChildStdout,
    errors: ChildStderr,
    say: &(dyn Fn(String) + Send + Sync),
) -> Outcome {
    let mut words = Vec::new();
    let mut reader = LineReader::new(events, LONGEST_EVENT);
    let listening = async {
        while let Some(line) = reader.next().await {
            match serde_json::from_slice::<Written>(&line) {
                Ok(Written { event: Event::Line(line), .. }) if !of_no_news(&line) => {
                    say(redact::urls(&line).into_owned());
                }
                Ok(Written { event: Event::Line(_), .. }) | Err(_) => {}
                Ok(Written { event: Event::Failed(step), lines }) => {
                    return Some(Err(Failed::Step { step, lines }));
                }
                Ok(Written { event: Event::Done(packages), .. }) => return Some(Ok(packages)),
            }
        }
        None
    };
    let mut errors = errors.take(LONGEST_ERRORS);
    let reading = async {
        drop(errors.read_to_end(&mut words).await);
        // The rest is nobody's, and must not block it.
        drop(tokio::io::copy(errors.get_mut(), &mut tokio::io::sink()).await);
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = listening => outcome,
        () = reading => None,
    };
    outcome.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&words);
        Err(Failed::Step { step: "venv".to_owned(), lines: text.lines().map(str::to_owned).collect() })
    })
}

/// pip tells of each requirement that is for another Python, and of where it looks.
fn of_no_news(line: &str) -> bool {
    const HEADS: [&str; 8] = [
        "Ignoring ",
        "Looking in ",
        "Looking up ",
        "Processing ",
        "Requirement already satisfied",
        "  Downloading ",
        "  Using cached ",
        "[notice]",
    ];
    HEADS.iter().any(|head| line.starts_with(head))
}
