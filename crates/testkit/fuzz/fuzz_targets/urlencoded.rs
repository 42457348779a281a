//! Queries and bodies as `application/x-www-form-urlencoded`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_portal::fuzzing::urlencoded(data));
