//! See `cordon_fuzz::record`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cordon_fuzz::record(data));
