//! What an isolated notebook can see beside its own folder.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::super::config::Config;
use super::super::network;

/// Programs and libraries, and what tells how many processors there are.
const SYSTEM: [&str; 8] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/sys/devices/system"];

/// What programs look up, and no more: other parts of /etc hold passwords and private keys.
const SETTINGS: [&str; 36] = [
    "ImageMagick-6",
    "OpenCL",
    "R",
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "ipython",
    "jupyter",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "lsb-release",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "odbcinst.ini",
    "os-release",
    "passwd",
    "pip.conf",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "protocols",
    "resolv.conf",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
];

/// Where Python's own files are, and what they are found by.
const PREFIXES: &str = "import os, sys\n\
    found = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, *sys.path]\n\
    sys.stdout.buffer.write(b'\\0'.join(os.fsencode(path) for path in found if os.path.isabs(path)))";

/// A chain of links is no longer.
const LINKS: usize = 16;

/// Paths outside of the attempt's folder; only those that are there.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
}

impl View {
    /// The system, the environment of `python`, and what the operator adds.
    pub(super) async fn of(python: &Path, config: &Config) -> Result<View, String> {
        let system = SYSTEM.iter().map(PathBuf::from);
        let settings = SETTINGS.iter().map(|name| Path::new("/etc").join(name));
        let own = prefixes(python).await?.into_iter().chain(links(python));
        let all = system
            .chain(settings)
            .chain(own)
            .chain(network::files(&config.environment))
            .chain(config.readable.iter().cloned());
        let writable = outermost(config.writable.iter().cloned());
        let mut readable = outermost(all);
        // There notebooks decide where a path leads; they see what is there by the folder above.
        readable.retain(|path| !writable.iter().any(|outer| path.starts_with(outer)));
        Ok(View { readable, writable })
    }
}

async fn prefixes(python: &Path) -> Result<Vec<PathBuf>, String> {
    let mut command = Command::new(python);
    let command = command.args(["-I", "-c", PREFIXES]).stdin(Stdio::null());
    let answer = command.output().await.map_err(|error| format!("{}: {error}", python.display()))?;
    if !answer.status.success() {
        return Err(format!("{} can't tell where its files are", python.display()));
    }
    let paths = answer.stdout.split(|byte| *byte == 0);
    Ok(paths.map(|path| OsString::from_vec(path.to_vec()).into()).collect())
}

/// A virtual environment's Python is a link, often to another link.
fn links(python: &Path) -> Vec<PathBuf> {
    let mut chain = vec![python.to_path_buf()];
    while let Some(last) = chain.last()
        && let Ok(target) = last.read_link()
        && chain.len() < LINKS
    {
        let next = last.parent().unwrap_or(last).join(target);
        chain.push(next);
    }
    chain
}

/// Those that exist and are not below another one.
fn outermost(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.is_absolute() && path.exists()).collect();
    paths.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept
}
