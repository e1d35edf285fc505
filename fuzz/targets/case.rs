//! See `cordon_fuzz::case`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| cordon_fuzz::case(data));
