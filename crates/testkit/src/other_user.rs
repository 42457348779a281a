//! A program that another user starts, from files that this user alone can reach.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Nobody's, and not one that another test plays.
const USER: u32 = 65_531;

/// Makes a view of the files in a mount namespace: `folder PATH` a new one, `show PATH AT` a file or folder in it,
/// `move FROM TO` puts it in the place of the closed one. What follows `--` is started there, in the same process.
const VIEW: &str = r#"
set -e; umask 022
while [ "$1" != -- ]; do
  case "$1" in
    folder) mount -t tmpfs -o mode=0755 tmpfs "$2"; shift 2;;
    show) if [ -d "$2" ]; then mkdir -p "$3"; else mkdir -p "$(dirname "$3")"; : > "$3"; fi
      mount --bind "$2" "$3"; shift 3;;
    move) mount --move "$2" "$3"; shift 3;;
  esac
done
shift
exec "$@"
"#;

/// A user who is neither root nor the one that runs the tests, with a folder of its own.
#[derive(Debug)]
pub struct OtherUser {
    folder: tempfile::TempDir,
    program: Vec<String>,
}

impl OtherUser {
    /// None where only root can be another user, and this process is not.
    ///
    /// # Errors
    /// Where its folder can't be made, or what it is to see can't be found.
    pub fn new(to_see: &[&Path]) -> Result<Option<OtherUser>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        std::os::unix::fs::chown(folder.path(), Some(USER), Some(USER))?;
        let view = folder.path().join("view");
        let mut program: Vec<String> =
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", VIEW, "sh"]
                .map(str::to_owned)
                .to_vec();
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path of text");
        for (number, (closed, shown)) in closed_folders(to_see)?.into_iter().enumerate() {
            let at = view.join(number.to_string());
            fs::create_dir_all(&at)?;
            program.extend(["folder".to_owned(), text(&at)?]);
            for path in shown {
                let inner = at.join(path.strip_prefix(&closed)?);
                program.extend(["show".to_owned(), text(&path)?, text(&inner)?]);
            }
            program.extend(["move".to_owned(), text(&at)?, text(&closed)?]);
        }
        program.push("--".to_owned());
        program.extend(["setpriv", "--reuid"].map(str::to_owned));
        program.extend([
            USER.to_string(),
            "--regid".to_owned(),
            USER.to_string(),
            "--clear-groups".to_owned(),
        ]);
        program.extend(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"].map(str::to_owned));
        Ok(Some(OtherUser { folder, program }))
    }

    /// Its folder, removed with this.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What is to be started in the place of a program, which follows as an argument with its own.
    pub(crate) fn program(&self) -> &[String] {
        &self.program
    }

    /// Gives it a file or folder that was made for it, with what is in it.
    ///
    /// # Errors
    /// As `chown`.
    pub fn own(&self, path: &Path) -> Result<()> {
        let status = Command::new("chown")
            .args(["-Rh", &format!("{USER}:{USER}")])
            .arg(path)
            .status()
            .context("chown")?;
        ensure!(status.success(), "chown: {status}");
        Ok(())
    }

    /// Whether a process runs as this user, and as nobody else.
    ///
    /// # Errors
    /// Where there is no such process.
    pub fn runs(&self, pid: u32) -> Result<bool> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).context("no users")?;
        Ok(users.split_whitespace().all(|user| user == USER.to_string()))
    }
}

/// Where the Python is that environments are made from: another user must see it, too.
///
/// # Errors
/// Where there is none.
pub fn base_of_python() -> Result<PathBuf> {
    let code = "import sys; print(sys.base_prefix)";
    let output = std::process::Command::new("python3").args(["-c", code]).output()?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// Folders on the way to these paths that others may not enter, each with what is to be seen of it.
fn closed_folders(paths: &[&Path]) -> Result<Vec<(PathBuf, Vec<PathBuf>)>> {
    let mut found: Vec<(PathBuf, Vec<PathBuf>)> = Vec::new();
    for path in paths {
        let mut ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
        ancestors.reverse();
        for folder in ancestors {
            if fs::metadata(folder)?.permissions().mode() & 0o001 == 0 {
                match found.iter_mut().find(|(closed, _)| closed == folder) {
                    Some((_, shown)) => shown.push(path.to_path_buf()),
                    None => found.push((folder.to_path_buf(), vec![path.to_path_buf()])),
                }
                break;
            }
        }
    }
    Ok(found)
}
