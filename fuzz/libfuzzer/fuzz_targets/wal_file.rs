#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tagus_fuzz::wal_file(data));
