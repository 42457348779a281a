//! The pipe of a notebook's driver: a byte that says how it is cut, then events and documents.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_executors::fuzzing::driver_events(data));
