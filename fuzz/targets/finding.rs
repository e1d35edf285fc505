//! See `cordon_fuzz::finding`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cordon_fuzz::finding(data));
