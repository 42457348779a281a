//! Queries for items, and the `oauth_state` of sign-in pages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_portal::fuzzing::search(data));
