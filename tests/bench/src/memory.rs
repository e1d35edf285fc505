//! The file that stands for memory.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Runs of random bytes and of zeros take turns in these steps, so that no block of memory is all zero and left out: what
/// is read, hashed and sent is the whole of it.
const STEP: usize = 64 << 10;

/// Makes a file of `mib` MiB, half of it random: in memory where there is room, else in the temporary folder.
pub(crate) fn make(mib: u64) -> Result<(TempDir, PathBuf), String> {
    let in_memory = tempfile::tempdir_in("/dev/shm").and_then(|folder| write(folder.path(), mib).map(|path| (folder, path)));
    let anywhere = || tempfile::tempdir().and_then(|folder| write(folder.path(), mib).map(|path| (folder, path)));
    in_memory.or_else(|_| anywhere()).map_err(|error| format!("there is no room for a file of {mib} MiB: {error}"))
}

fn write(folder: &Path, mib: u64) -> std::io::Result<PathBuf> {
    let path = folder.join("memory");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let zeros = vec![0; STEP];
    for _ in 0..mib * (1 << 20) / (2 * STEP as u64) {
        for _ in 0..STEP / 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            file.write_all(&state.to_le_bytes())?;
        }
        file.write_all(&zeros)?;
    }
    file.flush()?;
    Ok(path)
}
