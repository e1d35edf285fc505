//! Looks like a miner and does nothing: `xmrig stratum+tcp://…` in the list of processes, and a string on its heap.
//!
//! The string is the argument backwards behind `HEAP!`: nothing but this process's heap has it, so that whoever finds it in
//! an image has found this heap.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// How often the string is there. Each is an allocation of a page: few enough bytes that the allocator takes them from the heap.
const COPIES: usize = 64;
const PAGE_BYTES: usize = 4096;

fn main() -> ExitCode {
    let Some(pool) = env::args().nth(1).filter(|pool| pool.len() < PAGE_BYTES / 2) else {
        eprintln!("usage: miner POOL-URL");
        return ExitCode::FAILURE;
    };
    let planted = (0..COPIES).map(|_| page(&pool)).collect::<Vec<_>>();
    loop {
        // The compiler must not find out that nobody reads them.
        black_box(&planted);
        pause();
    }
}

fn page(pool: &str) -> Box<[u8]> {
    let mut bytes: Vec<u8> = Vec::with_capacity(PAGE_BYTES);
    bytes.extend(b"HEAP!");
    bytes.extend(pool.bytes().rev());
    bytes.resize(PAGE_BYTES, 0);
    bytes.into_boxed_slice()
}

#[expect(clippy::disallowed_methods, reason = "it is no step: it does nothing for as long as the virtual machine runs")]
fn pause() {
    sleep(Duration::from_secs(1));
}
