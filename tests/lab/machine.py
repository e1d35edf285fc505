"""The virtual machine: qemu without hardware's help, with a console in a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

MEMORY_MIB = 256


class Machine:
    """A machine that boots at once and is gone with `stop`."""

    def __init__(self, packages: Path, archive: Path, console: Path, words: dict[str, str]) -> None:
        self.console = console
        kernel = sorted((packages / "kernel/boot").glob("vmlinuz-*"))[0]
        binary, environment, data = _qemu(packages / "qemu")
        # Without la57: the analysis of five-level page tables finds nothing and says nothing.
        command = [
            binary, *data, "-accel", "tcg,thread=multi", "-machine", "pc", "-cpu", "max,la57=off", "-smp", "2", "-m", str(MEMORY_MIB), "-kernel", str(kernel), "-initrd", str(archive),
            "-append", " ".join(["console=ttyS0 quiet panic=-1", *(f"{name}={value}" for name, value in words.items())]), "-display", "none", "-monitor", "none",
            "-serial", f"file:{console}", "-no-reboot", "-nic", "user,model=virtio-net-pci",
        ]
        with console.with_suffix(".qemu").open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def until(self, text: str, seconds: float) -> None:
        """Waits until the console has said something."""
        begun = time.monotonic()
        while text not in self.said():
            if self._process.poll() is not None or time.monotonic() - begun > seconds:
                raise RuntimeError(f"the virtual machine did not say {text!r} within {seconds} s:\n{self.said()[-2000:]}\n{self.console.with_suffix('.qemu').read_text()[-2000:]}")
            time.sleep(0.1)

    def said(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def _qemu(unpacked: Path) -> tuple[str, dict[str, str], list[str]]:
    """The installed qemu, else the unpacked one with what it needs beside it."""
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    if installed := shutil.which("qemu-system-x86_64"):
        return installed, environment, []
    environment["LD_LIBRARY_PATH"] = ":".join(str(unpacked / folder) for folder in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    data = [word for folder in ("share/qemu", "share/seabios", "lib/ipxe/qemu") for word in ("-L", str(unpacked / "usr" / folder))]
    return str(unpacked / "usr/bin/qemu-system-x86_64"), environment, data
