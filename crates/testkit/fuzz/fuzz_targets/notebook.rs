//! The check that an item is a notebook.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_executors::fuzzing::notebook(data));
