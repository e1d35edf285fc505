//! See `cordon_fuzz::collected`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cordon_fuzz::collected(data));
