//! JSON bodies of the native API.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_portal::fuzzing::native_task(data));
