//! See `cordon_fuzz::plan`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cordon_fuzz::plan(data));
