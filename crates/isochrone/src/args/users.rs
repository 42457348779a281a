//! What is done to users and their items.

use std::path::PathBuf;

use clap::Subcommand;
use isochrone_domain::{ItemId, Role};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user. One that is there is changed by `user role` and `user password`.
    Add {
        name: String,
        /// admin, publisher or viewer.
        #[arg(long)]
        role: Role,
        /// Read the password from the first line of standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List users.
    List,
    /// Give a user another role.
    Role {
        name: String,
        /// admin, publisher or viewer.
        role: Role,
    },
    /// Give a user another password. All that was given for the old one is void: tokens, API keys, OAuth's grants.
    Password {
        name: String,
        /// Read the password from the first line of standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Let nobody sign in as a user any more. All that was given to the user is void, and no task of the user runs:
    /// its runs end with `owner_disabled`.
    Disable { name: String },
    /// Let a user sign in again, and the user's tasks run. What was void stays void.
    Enable { name: String },
    /// Delete a user. One who owns tasks or items stays, unless somebody gets them.
    Delete {
        name: String,
        /// Who gets the user's tasks and items.
        #[arg(long, value_name = "NAME")]
        tasks_to: Option<String>,
    },
    /// Make an API key: a token for a program that acts for the user. It is printed once.
    Key {
        name: String,
        /// What the key is for.
        #[arg(long)]
        title: String,
        /// How many days it is good for. A new password of its user voids it before.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3_650))]
        days: u16,
    },
    /// List a user's API keys.
    Keys { name: String },
    /// Make an API key void.
    Revoke {
        /// As `user keys` lists it.
        key: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ItemCommand {
    /// Add a notebook, or replace the data of the one with this id.
    Add {
        file: PathBuf,
        /// 32 hex digits; without it a new one.
        #[arg(long)]
        id: Option<ItemId>,
        /// Without it the file's name.
        #[arg(long)]
        title: Option<String>,
        /// Whose private item it is. Without it the item is admin's, and every user's tasks may run it.
        #[arg(long)]
        owner: Option<String>,
    },
    /// List items.
    List {
        /// Of this owner only.
        #[arg(long)]
        owner: Option<String>,
    },
}
