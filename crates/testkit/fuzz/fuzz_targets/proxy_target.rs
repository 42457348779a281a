//! Targets of requests to a guarded notebook's proxy.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_executors::fuzzing::proxy_target(data));
