"""A guest leaves nothing behind on the machine that runs the tests, with mounts of its own or without."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from . import guest, view
from .harness import until

INSTANCE = "i-0123456789abcdef0"
DOCUMENT = Path(__file__).parents[2] / "crates/memory-capture/src/document.sh"


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


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("fetcher", ["curl", "wget"])
def test_a_hostile_environment_and_its_startup_files_change_nothing_of_the_documents_run(fetcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which(fetcher):
        pytest.skip(f"there is no {fetcher} here")
    home, bin_, served = tmp_path / "home", tmp_path / "bin", tmp_path / "served"
    for folder in (home, bin_, served):
        folder.mkdir()
    for name in ("curl", "wget", "sha256sum", "env"):
        (bin_ / name).write_text(f"#!/bin/sh\necho the fake {name} ran >&2\nexit 1\n")
        (bin_ / name).chmod(0o755)
    # Nobody listens on port 1: with any of these in force nothing can be fetched.
    proxy = "http://127.0.0.1:1"
    (home / ".curlrc").write_text(f'proxy = "{proxy}"\n')
    (home / ".wgetrc").write_text(f"use_proxy = on\nhttp_proxy = {proxy}\n")
    proxies = {name: proxy for base in ("http_proxy", "https_proxy", "all_proxy") for name in (base, base.upper())}
    files = {"HOME": str(home), "CURL_HOME": str(home), "WGETRC": str(home / ".wgetrc"), "SYSTEM_WGETRC": str(home / ".wgetrc")}
    hostile = {**proxies, **files, "PATH": f"{bin_}:{guest.ENVIRONMENT['PATH']}", "HOSTALIASES": str(home / ".curlrc"), "IFS": "/"}
    monkeypatch.setattr(guest, "ENVIRONMENT", hostile)

    program = b'#!/bin/sh\necho "ran with: $*"\nenv\n'
    (served / "collector").write_bytes(program)
    server = HTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (served / "plan").write_text(f"http://127.0.0.1:{server.server_port}/collector\n{{}}\n")
    script = DOCUMENT.read_text().replace("{{ PlanUrl }}", f"http://127.0.0.1:{server.server_port}/plan").replace("${CollectorArguments}", "--file memory")
    for name in ("CollectorSha256X86", "CollectorSha256Arm64"):
        script = script.replace(f"${{{name}}}", hashlib.sha256(program).hexdigest())
    if fetcher == "wget":
        script = script.replace("command -v curl", "command -v no-curl-here")
    machine = guest.Guest(INSTANCE, 1, locked_down=False)
    try:
        assert machine.run(script, 60)
        said, told = machine.output.decode(), machine.errors.decode()
        assert machine.code == 0, f"the run must end well, whatever the target's users have set: {told}"
        assert "ran with: capture --plan /" in said and "--file memory" in said, said
        assert "fake" not in told, told
        found = {line.partition("=")[0] for line in said.splitlines()[1:]}
        assert not found & (set(hostile) - {"PATH"}), f"the collector must get none of it: {found}"
        assert str(bin_) not in said, said
    finally:
        server.shutdown()
        machine.remove()
