//! What `export` and `import` are told.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Where to write; without it: standard output.
    pub(crate) file: Option<PathBuf>,
    /// Of this owner only.
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Write parameters and URLs in the clear. Without it they are sealed, if there is a key (`isochrone keys`); an
    /// import opens them with the same key.
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// What to read; without it: standard input.
    #[arg(conflicts_with = "from_portal")]
    pub(crate) file: Option<PathBuf>,
    /// Where a task of the same id is here that is another one: put the imported one in its place. Without
    /// this it stays, and the imported one is refused.
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) from: FromPortal,
}

/// A portal that has tasks.
#[derive(Debug, clap::Args)]
pub(crate) struct FromPortal {
    /// Take over the tasks of this ArcGIS portal, https://host[:port][/context]. Sign-in: as --user with the
    /// password on standard input, or without --user with a token there.
    #[arg(id = "from_portal", long = "from-portal", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Who signs in there. An administrator's sign-in reads everybody's tasks.
    #[arg(long, requires = "from_portal")]
    pub(crate) user: Option<String>,
    /// Only the tasks of this owner; the owner may sign in too.
    #[arg(long, requires = "from_portal")]
    pub(crate) owner: Option<String>,
    /// Add owners who are not known here, with the role that they have there and without a password.
    #[arg(long, requires = "from_portal")]
    pub(crate) add_owners: bool,
    /// Disable each task there as soon as it is here: it must not run twice.
    #[arg(long, requires = "from_portal")]
    pub(crate) disable_source: bool,
    /// The authorities that TLS trusts (PEM) beside the system's.
    #[arg(long, requires = "from_portal", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Believe any certificate: whoever sits on the way reads the password.
    #[arg(long, requires = "from_portal")]
    pub(crate) insecure_tls: bool,
}
