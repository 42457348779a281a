//! Secrets at rest: what of the records is sealed, with which keys, and the store that does it.
//!
//! [`SealedStore`] stands around every store that a process uses, so that neither the stores nor their
//! callers have to think of it: what is secret is sealed on its way in and opened on its way out.

mod admission;
mod keys;
mod records;
mod rotation;
mod secret_methods;
mod store;
mod text;

pub use admission::Admitted;
pub use keys::{Key, KeyError, KeyId, Keyring, NoKeyId};
pub use rotation::{Rotation, Survey};
pub use store::SealedStore;
pub use text::{SealError, SecretField, sealed_with};
