//! Messages of the queue: wake-ups, heartbeats, trace headers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| isochrone_queue::fuzzing::message(data));
