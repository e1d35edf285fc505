"""What the kernel says of a process."""

from __future__ import annotations

import time
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, also of those that have ended. /proc has it in steps of 10 ms only; this clock is
    the one that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~pid << 3) | 2)


def peak_mib(pid: int) -> float:
    """The most memory that was resident at once, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024


def functions(endpoint: str, bucket: str) -> dict[str, list[int]]:
    """The processes of the local cloud's functions by function name: those whose environment names its endpoint and the
    account's evidence bucket. A function that ran twice at once has two."""
    found: dict[str, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            variables = dict(item.split("=", 1) for item in (folder / "environ").read_text(errors="replace").split("\0") if "=" in item)
        except OSError:  # it has ended, or is not ours
            continue
        name = variables.get("AWS_LAMBDA_FUNCTION_NAME")
        if name and variables.get("AWS_ENDPOINT_URL") == endpoint and variables.get("EVIDENCE_BUCKET") == bucket:
            found.setdefault(name, []).append(int(folder.name))
    return found
