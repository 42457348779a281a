//! Paths of URLs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_arcgis::fuzzing::path(data));
