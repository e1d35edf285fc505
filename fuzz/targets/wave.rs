//! See `cordon_fuzz::wave`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cordon_fuzz::wave(data));
