//! What can go wrong with the queue.

use std::fmt;

/// The queue could not do a step. No message holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// It is closed or can't be reached. A publish may have been done: publish again, the claim makes
    /// the double harmless.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),

    /// The line of its type does not exist in the broker. It is made again.
    #[error("the queue {0} does not exist")]
    Returned(String),

    /// Nobody who speaks AMQP answers at the broker's address. It may be starting.
    #[error("no broker answers at {address}: {cause}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        cause: String,
    },

    /// The broker is there, or could be, and a setting keeps us out. Waiting does not help.
    #[error("the broker's {setting} is wrong: {cause}")]
    Setting {
        /// Which one.
        setting: Setting,
        /// What is wrong with it.
        cause: String,
    },
}

/// A setting of the connection to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The URL as a whole.
    Url,
    /// The user's name or password.
    Credentials,
    /// The virtual host, or the user's right to it.
    VirtualHost,
    /// The file of trusted certificates, or the broker's certificate, which it does not cover.
    Certificate,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Setting::Url => "URL",
            Setting::Credentials => "user name or password",
            Setting::VirtualHost => "virtual host",
            Setting::Certificate => "certificate authority",
        })
    }
}
