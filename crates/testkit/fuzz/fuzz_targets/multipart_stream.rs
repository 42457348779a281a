//! Bodies as `multipart/form-data` that are read while they come: two bytes that say how they are cut, then the body.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_portal::fuzzing::multipart_stream(data));
