#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tagus_fuzz::manifest(data));
