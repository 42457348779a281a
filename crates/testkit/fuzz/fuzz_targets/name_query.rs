//! DNS queries of a guarded notebook.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_executors::fuzzing::name_query(data));
