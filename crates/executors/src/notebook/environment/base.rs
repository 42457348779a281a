//! The Python that environments are made from: `python3` on the search path, or the one that the operator names.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use pep508_rs::MarkerEnvironment;
use serde::Deserialize;
use tokio::process::Command;

use super::error::EnvironmentError;

/// The oldest Python that the pinned packages have versions for.
const OLDEST: (u32, u32) = (3, 9);

/// The names of its markers are those of PEP 508.
const SCRIPT: &str = "import json, os, platform, sys, sysconfig\n\
    version = lambda found: '.'.join(map(str, found[:3]))\n\
    print(json.dumps({\n\
    'version': list(sys.version_info[:2]), 'executable': sys.executable, 'platform': sysconfig.get_platform(),\n\
    'markers': {'implementation_name': sys.implementation.name,\n\
    'implementation_version': version(sys.implementation.version), 'os_name': os.name,\n\
    'platform_machine': platform.machine(),\n\
    'platform_python_implementation': platform.python_implementation(),\n\
    'platform_release': platform.release(), 'platform_system': platform.system(),\n\
    'platform_version': platform.version(), 'python_full_version': version(sys.version_info),\n\
    'python_version': '.'.join(platform.python_version_tuple()[:2]), 'sys_platform': sys.platform}}))";

/// What is known of it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Base {
    version: (u32, u32),
    /// Its path.
    pub(super) executable: PathBuf,
    platform: String,
    pub(super) markers: MarkerEnvironment,
}

impl Base {
    /// Asks `python`, which runs with all that the worker may do: it is the operator's.
    pub(super) async fn of(python: &Path) -> Result<Base, EnvironmentError> {
        let answer = Command::new(python).args(["-I", "-c", SCRIPT]).stdin(Stdio::null()).output().await;
        let answer = answer.map_err(|_| EnvironmentError::PythonMissing)?;
        let base: Base =
            serde_json::from_slice(&answer.stdout).map_err(|_| EnvironmentError::PythonMissing)?;
        if base.version < OLDEST {
            return Err(EnvironmentError::PythonTooOld { found: base.version() });
        }
        Ok(base)
    }

    /// As `3.11`.
    pub(super) fn version(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// What makes packages for it different from those for another: part of an environment's key.
    pub(super) fn key(&self) -> String {
        let full = &self.markers.python_full_version().string;
        let name = self.markers.implementation_name();
        format!("{name} {full} {} {}", self.platform, self.executable.display())
    }
}

/// Whether a Python that the operator names can execute notebooks.
pub(super) async fn check(python: &Path) -> Result<(), EnvironmentError> {
    let wrong = |detail| EnvironmentError::Configured { python: python.display().to_string(), detail };
    let mut command = Command::new(python);
    let command = command.args(["-I", "-c", "import nbclient, ipykernel"]).stdin(Stdio::null());
    match command.output().await {
        Err(error) => Err(wrong(error.to_string())),
        Ok(answer) if !answer.status.success() => {
            let text = String::from_utf8_lossy(&answer.stderr);
            Err(wrong(text.trim_end().lines().next_back().unwrap_or("it says nothing").to_owned()))
        }
        Ok(_) => Ok(()),
    }
}
