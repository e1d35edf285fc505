"""A guest leaves nothing behind on the machine that runs the tests, with mounts of its own or without."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from . import guest, view
from .harness import until

INSTANCE = "i-0123456789abcdef0"


def left_behind(marker: str) -> list[str]:
    """Processes of a guest, and folders in memory."""
    here = [str(path) for folder in ("/run", "/dev/shm") for path in Path(folder).glob("cordon.*") if (path / marker).exists()]
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and marker.encode() in (entry / "cmdline").read_bytes():
                here.append(entry.name)
        except OSError:
            continue
    return here


@pytest.mark.parametrize("mounts", [True, False])
def test_a_guest_that_is_killed_leaves_nothing_behind(mounts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if mounts and not guest._own_mounts():
        pytest.skip("this kernel gives no process mounts of its own")
    monkeypatch.setattr(guest, "_own_mounts", lambda: mounts)
    marker = f"m{os.getpid()}x{time.time_ns()}"
    script = [
        "d=$(mktemp -d /run/cordon.XXXXXXXX 2>/dev/null || mktemp -d /dev/shm/cordon.XXXXXXXX)", f"touch $d/{marker}",
        f'sh -c "sleep 60; : {marker}" &', f'sh -c "sleep 60; : {marker}" "$d/collector"', "echo not reached",
    ]
    machine = guest.Guest(INSTANCE, 1, locked_down=False)
    running = threading.Thread(target=machine.run, args=("\n".join(script), 60))
    running.start()
    try:
        until(lambda: len(left_behind(marker)) >= 2)
    finally:
        machine.kill()
        running.join(20)
    assert left_behind(marker) == []
    assert machine.code != 0 and b"not reached" not in machine.output
    machine.remove()
    assert not machine.folder.exists()


def test_a_memory_holds_what_was_planted_where_it_was_planted_and_runs_of_zeros(tmp_path: Path) -> None:
    for name, mebibytes in (("one", 1), ("two", 64)):
        view.make(tmp_path / name, INSTANCE, mebibytes, locked_down=False)
        memory = (tmp_path / name / "memory").read_bytes()
        assert len(memory) == mebibytes << 20
        for offset, content in view.planted(INSTANCE, mebibytes).items():
            assert memory[offset : offset + len(content)] == content
    assert memory.count(bytes(1 << 20)) > 20, "blocks of zeros, which an image leaves out"
    view.make(tmp_path / "again", INSTANCE, 64, locked_down=False)
    assert (tmp_path / "again" / "memory").read_bytes() == memory, "the same instance has the same memory"
