//! The collector's own process.

use std::fs::{self, File};
use std::io::Read as _;

use incident::text::hex;
use sha2::{Digest as _, Sha256};

/// Tells the kernel to end the collector first when memory runs out, so that it never ends a process of the suspect for it.
pub fn offer_to_the_kernel() -> Result<(), String> {
    fs::write("/proc/self/oom_score_adj", "1000")
        .map_err(|error| format!("the collector could not offer itself to the kernel for when memory runs out: {error}"))
}

/// The most memory that the collector took so far, in KiB; 0 where the kernel does not say.
pub fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The SHA-256 of the collector's binary, in hexadecimal; empty where it cannot be read.
pub fn sha256() -> String {
    let mut digest = Sha256::new();
    let mut block = vec![0; 64 << 10];
    let Ok(mut file) = File::open("/proc/self/exe") else { return String::new() };
    loop {
        match file.read(&mut block) {
            Ok(0) => return hex(&digest.finalize()),
            Ok(count) => digest.update(block.get(..count).unwrap_or_default()),
            Err(_) => return String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collector_knows_its_own_digest_and_peak() {
        let binary = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(sha256(), incident::text::sha256(&binary));
        assert!(peak_kib() > 1_000, "the kernel says {} KiB", peak_kib());
    }
}
