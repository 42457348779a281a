//! Why there is no Python environment.

use super::requirement::BadRequirement;

/// Why there is no Python to execute notebooks with, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// No `python3` on the search path.
    #[error(
        "python3 was not found; install it (Debian, Ubuntu: apt-get install python3 python3-venv) or set [notebook] python"
    )]
    PythonMissing,
    /// It is too old.
    #[error(
        "python3 is {found}, and notebooks need 3.9 or later; set [notebook] python to a newer one that has nbclient and ipykernel"
    )]
    PythonTooOld {
        /// Its version.
        found: String,
    },
    /// It can't make virtual environments.
    #[error(
        "python3 can't make virtual environments ({detail}); install its venv module (Debian, Ubuntu: apt-get install python3-venv)"
    )]
    VenvMissing {
        /// What Python says.
        detail: String,
    },
    /// The packages that every environment has could not be installed.
    #[error(
        "pip could not install the notebook packages; if the Python package index can't be reached from here, set [notebook] python to a Python that has nbclient and ipykernel. pip's last words:\n{last_lines}"
    )]
    Install {
        /// The end of what pip wrote.
        last_lines: String,
    },
    /// The packages that the operator or a notebook wants besides could not be installed.
    #[error(
        "the packages of {origin} can't be installed: {advice}. The installer's last lines:\n{last_lines}"
    )]
    Packages {
        /// The settings or fields that name them.
        origin: String,
        /// Which package it was and what to do, as far as that can be told.
        advice: String,
        /// The end of what the installer wrote.
        last_lines: String,
    },
    /// A build was over one of its limits.
    #[error("the Python environment with the packages of {origin} can't be built: {excess}")]
    Excess {
        /// The settings or fields that name the packages.
        origin: String,
        /// What it was over, and the setting that moves it.
        excess: String,
    },
    /// The file of `[notebook] requirements` can't be read.
    #[error("notebook.requirements: {file} can't be read: {detail}")]
    RequirementsFile {
        /// Its path.
        file: String,
        /// Why not.
        detail: String,
    },
    /// What is asked for can't be used.
    #[error("{0}")]
    Requirement(#[from] BadRequirement),
    /// A notebook asks for packages, and may not.
    #[error(
        "the notebook asks for packages ({missing}; {field}) that [notebook] packages does not have, and [notebook] \
         item_requirements does not allow it packages of its own"
    )]
    NotAllowed {
        /// Where it asks.
        field: String,
        /// What is missing.
        missing: String,
    },
    /// All environments that there may be are in use.
    #[error(
        "there are {most} Python environments, all in use, and no more may be there at once ([notebook] environments_max)"
    )]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// Environments are built in a notebook's sandbox, and there is none.
    #[error("the Python environment can't be built in the notebooks' sandbox: {0}")]
    NoSandbox(String),
    /// The Python that the operator named can't be used.
    #[error(
        "[notebook] python = {python}: {detail}; it needs nbclient and ipykernel (pip install nbclient ipykernel, or Debian, Ubuntu: apt-get install python3-nbclient python3-ipykernel)"
    )]
    Configured {
        /// Its path.
        python: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The machine refused something.
    #[error("the Python environment can't be made in {folder}: {detail}")]
    Io {
        /// Where.
        folder: String,
        /// What.
        detail: String,
    },
}
