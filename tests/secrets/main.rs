//! Secrets at rest: what is sealed, with which keys, and that nothing else tells of it.

mod audit;
mod canary;
mod keys;
mod oauth;
mod places;
mod rotation;
mod sealed;

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");

/// Keys as `isochrone keys generate` makes them.
const KEY: &str = "5eed000000000000000000000000000000000000000000000000000000000001";
const NEXT_KEY: &str = "5eed000000000000000000000000000000000000000000000000000000000002";
