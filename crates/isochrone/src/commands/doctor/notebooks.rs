//! Whether notebooks can be executed here, and how they are isolated.

use std::path::Path;

use isochrone_executors::notebook::{Isolation, Isolator, Network, NetworkTier, PythonEnvironment, Tier};

use super::{Check, Verdict};
use crate::config::Config;

const SANDBOX: &str = "sandbox";
const NETWORK: &str = "network";

pub(super) async fn python(config: &Config) -> Check {
    const WHAT: &str = "notebooks";
    let environment = PythonEnvironment::new(config.data_dir.join("python"), &config.notebook);
    if config.notebook.python.is_some() || environment.is_made().await {
        return match environment.ready().await {
            Ok(python) => Check::good(WHAT, format!("Jupyter with {}", python.display())),
            Err(error) => Check::other(
                WHAT,
                Verdict::Bad,
                error.to_string(),
                "install nbclient and ipykernel there, or unset notebook.python",
            ),
        };
    }
    let venv = tokio::process::Command::new("python3").args(["-c", "import venv, ensurepip"]).output().await;
    match venv {
        Ok(output) if output.status.success() => {
            Check::good(WHAT, "Python 3 with venv; the environment is made on first use")
        }
        Ok(_) => Check::other(
            WHAT,
            Verdict::Bad,
            "Python 3 lacks its venv module",
            "install it (Debian, Ubuntu: apt-get install python3-venv)",
        ),
        Err(_) => Check::other(
            WHAT,
            Verdict::Bad,
            "no Python 3",
            "install it (Debian, Ubuntu: apt-get install python3 python3-venv), or set notebook.python",
        ),
    }
}

/// What isolates notebooks, and what network they get.
pub(super) async fn isolation(config: &Config) -> [Check; 2] {
    let environment = PythonEnvironment::new(config.data_dir.join("python"), &config.notebook);
    let Ok(python) = environment.at_hand().await else {
        let untried = |what| {
            Check::other(what, Verdict::Warning, "without a Python it can't be tried", "see notebooks")
        };
        return [untried(SANDBOX), untried(NETWORK)];
    };
    // Where notebooks have their folders, if any ran already.
    let folders = Some(config.data_dir.join("tmp")).filter(|folder| folder.is_dir());
    let isolator = Isolator::new(folders.unwrap_or_else(std::env::temp_dir), &config.notebook);
    [sandbox(config, &isolator, &python).await, network(config, &isolator, &python).await]
}

async fn network(config: &Config, isolator: &Isolator, python: &Path) -> Check {
    let found = match isolator.network(python).await {
        Ok(found) => found,
        Err(error) => return Check::other(NETWORK, Verdict::Bad, error.to_string(), "see sandbox"),
    };
    let tier = found.tier.to_string();
    let lacks = found.lacks.join("; ");
    match found.tier {
        NetworkTier::Guarded | NetworkTier::None if found.lacks.is_empty() => Check::good(NETWORK, tier),
        NetworkTier::Guarded | NetworkTier::None => {
            let advice = "clients that know no proxy may not get out; those that do, do";
            Check::other(NETWORK, Verdict::Warning, format!("{tier} (missing: {lacks})"), advice)
        }
        NetworkTier::Open if config.notebook.network == Network::Open => {
            let advice = "let only people whom you trust with this network make tasks, or set notebook.network to auto";
            Check::other(NETWORK, Verdict::Warning, tier, advice)
        }
        NetworkTier::Ports | NetworkTier::Open => {
            let why =
                if lacks.is_empty() { "without bubblewrap there is no namespace for it" } else { &lacks };
            let advice = "let bubblewrap make network namespaces: notebooks reach this machine's servers and private \
                          networks otherwise";
            Check::other(NETWORK, Verdict::Warning, format!("{tier} ({why})"), advice)
        }
    }
}

async fn sandbox(config: &Config, isolator: &Isolator, python: &Path) -> Check {
    const WHAT: &str = SANDBOX;
    let trust = "let only people whom you trust with this account make tasks";
    match isolator.tier(python).await {
        Ok(Tier::Bwrap) => {
            Check::good(WHAT, "bwrap: notebooks have namespaces of their own; a probe could not get out")
        }
        Ok(Tier::Landlock) if config.notebook.isolation == Isolation::Landlock => {
            Check::good(WHAT, "landlock: a probe could not get out")
        }
        Ok(Tier::Landlock) => Check::other(
            WHAT,
            Verdict::Warning,
            "landlock: a probe could not get out, but notebooks see the machine's processes",
            "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap): it holds more",
        ),
        Ok(Tier::None) => Check::other(
            WHAT,
            Verdict::Warning,
            "none: notebooks run as this user, with limits on memory, processes, files, output and time",
            format!("{trust}, or set notebook.isolation to auto"),
        ),
        Err(error) => Check::other(
            WHAT,
            Verdict::Bad,
            error.to_string(),
            "notebooks are refused: install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap)",
        ),
    }
}
