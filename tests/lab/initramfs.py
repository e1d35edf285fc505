"""The virtual machine's file system: an archive that the kernel unpacks into memory (cpio, `newc`), made without tools."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

FOLDERS = ("bin", "dev", "etc", "modules", "proc", "run", "sys", "tmp", "usr", "usr/bin")
# What the guest's `init` loads.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "failover", "net_failover", "virtio_net")
_CONSOLE = (5, 1)


def make(archive: Path, kernel: Path, programs: dict[str, Path]) -> None:
    """Writes the archive. `kernel` is where the packages of the kernel and of busybox are unpacked; `programs` go to `/bin`."""
    here = Path(__file__).parent
    files = {"init": here / "init", "agent.sh": here / "agent.sh", "usr/bin/curl": here / "curl", "bin/busybox": kernel / "bin/busybox"}
    files |= {f"bin/{name}": path for name, path in programs.items()}
    for name in MODULES:
        found = sorted(kernel.rglob(f"{name}.ko"))
        if not found:
            raise FileNotFoundError(f"the kernel's package has no module {name}")
        files[f"modules/{name}.ko"] = found[0]
    entries = [_entry(name, stat.S_IFDIR | 0o755) for name in FOLDERS]
    entries.append(_entry("dev/console", stat.S_IFCHR | 0o600, device=_CONSOLE))
    entries += [_entry(name, stat.S_IFREG | 0o755, path.read_bytes()) for name, path in files.items()]
    entries.append(_entry("TRAILER!!!", 0))
    archive.write_bytes(gzip.compress(b"".join(entries), 1, mtime=0))


def _entry(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One file. The header is a magic and thirteen numbers of eight hexadecimal digits; the name and the content are filled up to words."""
    path = name.encode() + b"\0"
    numbers = [0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0]
    header = b"070701" + b"".join(b"%08x" % number for number in numbers)
    return _filled(header + path) + _filled(content)


def _filled(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)
