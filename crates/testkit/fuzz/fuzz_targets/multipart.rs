//! Bodies as `multipart/form-data`: a line with the content type, then the body.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_portal::fuzzing::multipart(data));
