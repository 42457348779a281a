//! createTask and update of the sharing API, with the JSON in `parameters`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_portal::fuzzing::sharing_task(data));
