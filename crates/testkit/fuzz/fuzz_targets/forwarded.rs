//! `X-Forwarded-For` and `Forwarded` as a client sends them through a proxy.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_portal::fuzzing::forwarded(data));
