//! Foreign clients, in Python and in JavaScript: each is installed into a folder of its own, which is kept.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// In a finished folder: what it was made with.
const MARKER: &str = "complete";

/// A client in a virtual environment of Python.
#[derive(Clone)]
pub struct PythonClient {
    python: PathBuf,
}

impl PythonClient {
    /// The client `name`, installed by these calls of `pip install` where it is not there yet: a minute, and
    /// some hundred megabytes.
    pub fn install(name: &str, calls: &[&[&str]]) -> Result<PythonClient> {
        let wanted = calls.iter().map(|call| remembered(call)).collect::<Result<Vec<_>>>()?.join("\n");
        let dir = installed(name, &wanted, |dir| {
            let env = dir.join("env");
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&env))?;
            for call in calls {
                let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
                run(Command::new(env.join("bin/python")).args(install).args(*call))?;
            }
            Ok(())
        })?;
        Ok(PythonClient { python: dir.join("env/bin/python") })
    }

    /// Runs a script with these environment variables; gives what it printed. It must end well.
    pub fn run(&self, script: &Path, environment: &[(&str, &str)]) -> Result<String> {
        run(Command::new(&self.python).arg(script).envs(environment.iter().copied()))
    }

    /// Runs a program that was installed with it, in this folder; gives what it printed. It must end well.
    pub fn run_program(&self, name: &str, dir: &Path, args: &[&str]) -> Result<String> {
        run(Command::new(self.program(name)).args(args).current_dir(dir))
    }

    /// Where a program is that was installed with it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.python.with_file_name(name)
    }
}

/// A client that Node.js runs.
pub struct NodeClient {
    dir: PathBuf,
}

impl NodeClient {
    /// These packages, as `npm install` takes them, installed where they are not there yet.
    pub fn install(name: &str, packages: &[&str]) -> Result<NodeClient> {
        let dir = installed(name, &packages.join(" "), |dir| {
            let quiet = ["install", "--silent", "--no-audit", "--no-fund", "--prefix"];
            run(Command::new("npm").args(quiet).arg(dir).args(packages)).map(drop)
        })?;
        Ok(NodeClient { dir })
    }

    /// What a folder's package.json wants, in the versions of its package-lock.json.
    pub fn install_locked(name: &str, folder: &Path) -> Result<NodeClient> {
        let files = ["package.json", "package-lock.json"].map(|file| folder.join(file));
        let read = |file: &PathBuf| std::fs::read_to_string(file).with_context(|| file.display().to_string());
        let wanted = files.iter().map(read).collect::<Result<Vec<_>>>()?.join("\n");
        let dir = installed(name, &wanted, |dir| {
            for file in &files {
                std::fs::copy(file, dir.join(file.file_name().expect("a file has a name")))?;
            }
            let quiet = ["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
            run(Command::new("npm").args(quiet).arg(dir)).map(drop)
        })?;
        Ok(NodeClient { dir })
    }

    /// Where the packages are.
    pub fn packages(&self) -> PathBuf {
        self.dir.join("node_modules")
    }

    /// Runs a module with these environment variables; gives what it printed. It must end well.
    pub fn run(&self, module: &Path, environment: &[(&str, &str)]) -> Result<String> {
        // A module finds packages beside itself alone.
        let copy = tempfile::Builder::new().suffix(".mjs").tempfile_in(&self.dir)?;
        std::fs::copy(module, copy.path())?;
        run(Command::new("node").arg(copy.path()).envs(environment.iter().copied()))
    }
}

/// A call as it is remembered: with what a requirements file says, not with where it lies. Checkouts share a client,
/// and a file that was changed makes a new one.
fn remembered(call: &[&str]) -> Result<String> {
    let mut words = Vec::new();
    let mut is_file = false;
    for word in call {
        words.push(if is_file {
            std::fs::read_to_string(word).with_context(|| (*word).to_owned())?
        } else {
            (*word).to_owned()
        });
        is_file = *word == "-r";
    }
    Ok(words.join(" "))
}

/// The folder of a client, made by `make` where it is not there as wanted.
fn installed(name: &str, wanted: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let dir = crate::cache_dir().join("clients").join(name);
    std::fs::create_dir_all(&dir)?;
    // Two tests may want it at once.
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    let marker = dir.join(MARKER);
    if std::fs::read_to_string(&marker).is_ok_and(|made| made == wanted) {
        return Ok(dir);
    }
    eprintln!("installing {name} (once) ...");
    drop(std::fs::remove_file(&marker));
    make(&dir).with_context(|| format!("{name} can't be installed"))?;
    std::fs::write(&marker, wanted)?;
    Ok(dir)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let (told, cause) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?} ended with {}: {told}{cause}", output.status);
    Ok(told.into_owned())
}
