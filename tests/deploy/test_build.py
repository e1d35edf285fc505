"""What the build asks of the machine, and what it asks of cargo. Cargo, rustc, rustup and SAM are scripts here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import settings

from .conftest import SCRIPTS

# Writes what it was asked, and what the real one would build.
CARGO = r"""#!/bin/sh
echo "$* RUSTFLAGS=$RUSTFLAGS" >> "$LOG"
case "$1 $2" in
  "--version ") echo "cargo 1.95.0" ;;
  "lambda --version") echo "cargo-lambda 1.9.2" ;;
  "lambda build")
    [ -z "$BROKEN" ] || exit 101
    into=; last=
    for word in "$@"; do
      [ "$last" != --lambda-dir ] || into=$word
      if [ "$last" = --package ] && [ "$word" != "$FORGOTTEN" ]; then mkdir -p "$into/$word"; echo new > "$into/$word/bootstrap"; fi
      last=$word
    done ;;
  *)
    last=
    for word in "$@"; do
      if [ "$last" = --target ]; then mkdir -p "$CARGO_TARGET_DIR/$word/release"; echo "$word" > "$CARGO_TARGET_DIR/$word/release/collector"; fi
      last=$word
    done ;;
esac
"""


class Machine:
    """A machine with just these tools, and Rust's standard library for just these targets."""

    def __init__(self, folder: Path, *targets: str, rustup: bool = True) -> None:
        self.folder, self.bin, self.log, self.out = folder, folder / "bin", folder / "log", folder / "out"
        self.bin.mkdir()
        for target in targets:
            (folder / "sysroot" / "lib" / "rustlib" / target / "lib").mkdir(parents=True)
        tools = {"cargo": CARGO, "rustc": f"#!/bin/sh\necho {folder}/sysroot\n", "sam": "#!/bin/sh\necho SAM CLI, version 1\n", "cargo-lambda": "", "cargo-zigbuild": ""}
        for name, text in {**tools, **({"rustup": ""} if rustup else {})}.items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        for name in ("mkdir", "sh"):
            (self.bin / name).symlink_to(Path("/bin") / name)

    def build(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "LOG": str(self.log), "BINARIES": str(self.out), "CARGO_TARGET_DIR": str(self.folder / "target"), "PYTHONDONTWRITEBYTECODE": "1", **settings}
        return subprocess.run([sys.executable, str(SCRIPTS / "build.py"), *arguments], env=environment, capture_output=True, text=True, timeout=60)

    def asked(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if "build" in line]


ALL = ("aarch64-unknown-linux-gnu", "aarch64-unknown-linux-musl", "x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl")
HOST = os.uname().machine
AWAY = {"x86_64": "aarch64", "aarch64": "x86_64"}[HOST]


def test_functions_are_built_for_arm64_and_collectors_for_both_processors(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *ALL)
    stale = machine.out / "triage" / "bootstrap"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    answer = machine.build()
    assert answer.returncode == 0, answer.stderr
    functions, *collectors = machine.asked()
    assert functions.startswith("lambda build --release --locked --disable-optimizations --arm64 ")
    assert all(f"--package {name}" in functions for name in settings.functions())
    assert [line.split(" RUSTFLAGS")[0] for line in collectors] == [f"zigbuild --release --locked --target {target}-unknown-linux-musl --package collector" for target in ("aarch64", "x86_64")]
    assert stale.read_text() == "new\n", "nothing of an earlier build is deployed"
    assert (machine.out / "collectors" / "collector-arm64").read_text().startswith("aarch64") and (machine.out / "collectors" / "collector-x86_64").read_text().startswith("x86_64")


def test_arch_selects_the_other_processor(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl")
    assert machine.build(ARCH="x86_64").returncode == 0
    assert " --x86-64 " in machine.asked()[0]


@pytest.mark.parametrize(("rustup", "said"), [(True, "Run: rustup target add aarch64-unknown-linux-gnu"), (False, "does not come from rustup")])
def test_a_target_that_is_missing_stops_it_before_anything_is_built(tmp_path: Path, rustup: bool, said: str) -> None:
    machine = Machine(tmp_path, "x86_64-unknown-linux-gnu", rustup=rustup)
    answer = machine.build("--only-check")
    assert answer.returncode == 1 and said in answer.stderr and "Traceback" not in answer.stderr
    assert machine.asked() == []


def test_a_collector_that_cannot_be_built_is_said_loudly_and_left_out(tmp_path: Path) -> None:
    machine = Machine(tmp_path, f"{HOST}-unknown-linux-gnu", f"{HOST}-unknown-linux-musl")
    away, ours = {"aarch64": ("arm64", "x86_64"), "x86_64": ("x86_64", "arm64")}[AWAY]
    answer = machine.build(ARCH=ours)
    assert answer.returncode == 0, answer.stderr
    assert f"!! Memory of {away} instances CANNOT be captured by this deployment. Run: rustup target add {AWAY}-unknown-linux-musl" in answer.stdout
    assert [path.name for path in (machine.out / "collectors").iterdir()] == [f"collector-{ours}"]


def test_without_musl_this_machines_own_collector_is_linked_with_its_own_libc(tmp_path: Path) -> None:
    machine = Machine(tmp_path, f"{HOST}-unknown-linux-gnu")
    assert machine.build(ARCH={"aarch64": "arm64"}.get(HOST, HOST), RUSTFLAGS="-g").returncode == 0
    assert machine.asked()[1:] == [f"build --release --locked --target {HOST}-unknown-linux-gnu --package collector RUSTFLAGS=-g -C target-feature=+crt-static"]


@pytest.mark.parametrize(("tool", "said"), [("cargo", "rustup.rs"), ("cargo-lambda", "pip install cargo-lambda"), ("cargo-zigbuild", "pip install cargo-zigbuild"), ("sam", "pip install aws-sam-cli")])
def test_a_tool_that_is_missing_is_named_with_what_brings_it(tmp_path: Path, tool: str, said: str) -> None:
    machine = Machine(tmp_path, *ALL)
    (machine.bin / tool).unlink()
    answer = machine.build("--only-check")
    assert answer.returncode == 1 and said in answer.stderr and tool in answer.stderr


def test_a_build_that_breaks_or_forgets_a_function_stops_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *ALL)
    broken = machine.build(BROKEN="1")
    assert broken.returncode == 1 and "To repeat it alone: cargo lambda build" in broken.stderr
    forgotten = machine.build(FORGOTTEN="seal")
    assert forgotten.returncode == 1 and "no binary of seal" in forgotten.stderr
