"""The machine inside an instance, as far as a command sees it: a real process with a folder, memory and mounts of its own.

INVARIANT: it gets no key and no token: its environment is written here, word for word, and its folder holds only its view.
INVARIANT: nothing of it outlives the server: neither a process nor a folder in `/run` or `/dev/shm`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from . import view

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C"}
# What is kept of an output: more than Systems Manager gives, so that a test can look for what must not be there.
KEPT = 1 << 20
TEXT_LIMIT = 64 << 10
# Mounts and processes of its own, where the kernel lets us; it ends with all its processes, and when this server dies.
_APART = ["setpriv", "--pdeathsig", "KILL", "unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
_PRIVATE = 'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm && exec /bin/sh "$0"'
_OWN_FOLDER = re.compile(rb"(?:/run|/dev/shm)/cordon\.[A-Za-z0-9]{8}(?=/)")
_running: set[Guest] = set()


class Guest:
    """One command on an instance. `run` may be called once; `kill` at any time, from any thread."""

    def __init__(self, instance: str, mebibytes: int, locked_down: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"guest-{instance}-"))
        self.environment: dict[str, str] = {}
        self.output = self.errors = b""
        self.code: int | None = None
        self._killed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._root = self.folder / "root"
        self._root.mkdir()
        view.make(self._root, instance, mebibytes, locked_down)

    def run(self, script: str, seconds: float, junk: int = 0) -> bool:
        """Runs the script to its end; false where it had to be killed since it took longer. `junk` bytes precede its output."""
        file = self.folder / "_script.sh"
        file.write_text(script)
        private = _own_mounts()
        command = [*_APART, "sh", "-c", _PRIVATE, str(file)] if private else ["/bin/sh", str(file)]
        if self._killed.is_set():
            return True
        with (self.folder / "stdout").open("wb") as output, (self.folder / "stderr").open("wb") as errors:
            while junk > 0:
                junk -= output.write((b"\x00\xff{\"junk\":" * 8192)[:junk])
            output.flush()
            self._process = subprocess.Popen(command, cwd=self._root, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True)
            _running.add(self)
            # Killed between the check and the start.
            if self._killed.is_set():
                self._end()
        self.environment = _environment_of(self._process)
        try:
            self.code = self._process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        finally:
            self.code = self._process.wait()
            self._end()
            _running.discard(self)
            self.output, self.errors = _first_and_last(self.folder / "stdout"), _first_and_last(self.folder / "stderr")

    def kill(self) -> None:
        """Ends every process of it, at once."""
        self._killed.set()
        if self._process:
            self._end()

    @property
    def killed(self) -> bool:
        return self._killed.is_set()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def files(self) -> dict[str, Any]:
        """Every file of it: its text where it is small, else its size."""
        found: dict[str, Any] = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_symlink():
                found[str(path.relative_to(self.folder))] = f"-> {os.readlink(path)}"
            elif path.is_file():
                size = path.stat().st_size
                found[str(path.relative_to(self.folder))] = path.read_bytes().decode("utf-8", "replace") if size <= TEXT_LIMIT else {"bytes": size}
        return found

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        # Without mounts of its own its folder in memory stays behind when it is killed, so look for it first.
        folders = set() if _own_mounts() else _folders_of(process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _own_mounts() -> bool:
    """Whether a process can have mounts of its own here. Where it cannot, a guest is a plain process."""
    if not all(shutil.which(name) for name in ("setpriv", "unshare")):
        return False
    return subprocess.run([*_APART, "sh", "-c", _PRIVATE, "/dev/null"], env=ENVIRONMENT, check=False, capture_output=True).returncode == 0


def _environment_of(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """What the process really has; nothing where it has ended already."""
    while process.poll() is None:
        try:
            content = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            break
        # It reads as empty for the moment in which one program becomes the next.
        if content:
            pairs = content.decode("utf-8", "replace").split("\0")
            return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return {}


def _folders_of(group: int) -> set[str]:
    """The folders in memory that the document's script has made, by the command lines of its process group."""
    found: set[str] = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(entry.name)) == group:
                found |= {match.decode() for match in _OWN_FOLDER.findall((entry / "cmdline").read_bytes())}
    return found


def _first_and_last(path: Path) -> bytes:
    """A file that is kept whole if it is small, else its first and its last part."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= 2 * KEPT:
            return file.read()
        first = file.read(KEPT)
        file.seek(-KEPT, os.SEEK_END)
        return first + b"\n[...]\n" + file.read()


@atexit.register
def _end_all() -> None:
    for guest in list(_running):
        guest.kill()
