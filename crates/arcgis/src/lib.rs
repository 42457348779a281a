//! The client's side of ArcGIS: tokens, error shapes, what a portal knows.
//!
//! [`Portal`] asks a portal with a token that somebody has ([`Bearer`]); [`SignedIn`] asks it as a user or an
//! app, and gets a new token when the old one ends; [`Relay`] passes others' requests on. Servers that tasks name are
//! asked through [`Outbound`], which [`Egress`] guards, with tokens of their own where they are federated. ArcGIS's HTTP status proves nothing: each
//! answer is read for what it says ([`Error`]).

pub mod addresses;
mod answer;
mod documents;
mod egress;
mod error;
mod federated;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gp;
mod http;
pub mod http_job;
pub mod jobs;
pub mod notebook_server;
mod observed;
pub mod ogc;
mod outbound;
pub mod path;
mod portal;
mod relay;
pub mod reports;
mod signed_in;
mod tokens;
pub mod workflow;

pub use documents::{Item, TaskPage, User};
pub use egress::Egress;
pub use error::{Error, Refusal};
pub use http::{Connection, Trust, choose_cryptography};
pub use observed::{KINDS, observe_requests};
pub use outbound::Outbound;
pub use portal::{Bearer, Issued, Portal};
pub use relay::Relay;
pub use signed_in::{Credentials, SignedIn};

/// The result of a request to a portal.
pub type Result<T> = std::result::Result<T, Error>;
