#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| autoscaler_guard_fuzzing::reading(input));
