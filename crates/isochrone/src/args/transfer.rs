//! What `export` and `import` are told.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Where to write; without it: standard output.
    pub(crate) file: Option<PathBuf>,
    /// Of this owner only.
    #[arg(long)]
    pub(crate) owner: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// What to read; without it: standard input.
    pub(crate) file: Option<PathBuf>,
    /// Where a task of the same id is here that is another one: put the imported one in its place. Without
    /// this it stays, and the imported one is refused.
    #[arg(long)]
    pub(crate) replace: bool,
}
