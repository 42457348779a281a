//! Foreign clients in Python: each in a virtual environment of its own, which is kept.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// In a finished environment: what it was made with.
const MARKER: &str = "complete";

/// An installed client.
pub struct PythonClient {
    python: PathBuf,
}

impl PythonClient {
    /// The client `name`, installed by these calls of `pip install` where it is not there yet: a minute, and
    /// some hundred megabytes.
    pub fn install(name: &str, calls: &[&[&str]]) -> Result<PythonClient> {
        let dir = crate::cache_dir().join("clients").join(name);
        std::fs::create_dir_all(&dir)?;
        let (env, marker) = (dir.join("env"), dir.join(MARKER));
        let python = env.join("bin/python");
        // Two tests may want it at once.
        let lock = File::create(dir.join("lock"))?;
        lock.lock()?;
        let wanted = calls.iter().map(|call| call.join(" ")).collect::<Vec<_>>().join("\n");
        if std::fs::read_to_string(&marker).is_ok_and(|made| made == wanted) {
            return Ok(PythonClient { python });
        }
        eprintln!("installing {name} for Python (once) ...");
        drop(std::fs::remove_file(&marker));
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&env))?;
        for call in calls {
            let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            run(Command::new(&python).args(install).args(*call))
                .with_context(|| format!("{name}: {call:?}"))?;
        }
        std::fs::write(&marker, wanted)?;
        Ok(PythonClient { python })
    }

    /// Runs a script with these environment variables; gives what it printed. It must end well.
    pub fn run(&self, script: &Path, environment: &[(&str, &str)]) -> Result<String> {
        run(Command::new(&self.python).arg(script).envs(environment.iter().copied()))
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let (told, cause) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?} ended with {}: {told}{cause}", output.status);
    Ok(told.into_owned())
}
