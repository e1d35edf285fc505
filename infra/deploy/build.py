"""Builds every function for Lambda, and the collector for both processors of targets: build.py [--only-check]

Writes BINARIES/FUNCTION/bootstrap and BINARIES/collectors/collector-PROCESSOR, which is all that deploy.py takes.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import settings
from console import Stop, loud, run, say, step
from settings import ROOT

# Rust's names of the processors.
RUST = {"arm64": "aarch64", "x86_64": "x86_64"}


def main() -> None:
    given = settings.of_environment()
    installed = check(given.architecture)
    if "--only-check" not in sys.argv[1:]:
        build_functions(given.architecture, given.binaries)
        build_collectors(installed, given.binaries / "collectors")


def check(architecture: str) -> set[str]:
    """The tools are there, and the standard library for the functions' processor. Gives the targets that are."""
    step(f"tools for functions on {architecture}")
    if not shutil.which("cargo") or not shutil.which("rustc"):
        raise Stop("cargo is not on the path: install Rust (https://rustup.rs), then open a new shell")
    for tool, package in (("cargo-lambda", "cargo-lambda"), ("cargo-zigbuild", "cargo-zigbuild"), ("sam", "aws-sam-cli")):
        if not shutil.which(tool):
            raise Stop(f"{tool} is not on the path: `make deploy` installs it; by hand it is `pip install {package}`")
    library = Path(_output("rustc", "--print", "sysroot")) / "lib" / "rustlib"
    installed = {folder.parent.name for folder in library.glob("*/lib")}
    say(f"{_output('cargo', '--version')}; {_output('cargo', 'lambda', '--version')}; {_output('sam', '--version')}")
    target = f"{RUST[architecture]}-unknown-linux-gnu"
    if target not in installed:
        raise Stop(f"Rust has no standard library for {target}. {_how_to_add(target)}")
    for processor in RUST:
        if not _collector_target(processor, installed):
            missing = f"{RUST[processor]}-unknown-linux-musl"
            loud(f"no collector for {processor} targets: Rust has no standard library for {missing}.")
            loud(f"Memory of {processor} instances CANNOT be captured by this deployment. {_how_to_add(missing)}")
    return installed


def _output(*command: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if answer.returncode:
        raise Stop(f"`{' '.join(command)}` failed: {answer.stderr.strip()}")
    return answer.stdout.strip()


def _how_to_add(target: str) -> str:
    if shutil.which("rustup"):
        return f"Run: rustup target add {target}"
    other = "" if target.endswith("musl") else " Or deploy for this machine's own processor: ARCH=" + ("arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64") + "."
    return f"This Rust does not come from rustup: install the standard library for {target} from where it came, or use rustup (https://rustup.rs).{other}"


def build_functions(architecture: str, into: Path) -> None:
    names = settings.functions()
    step(f"building {len(names)} functions for {architecture}: {', '.join(names)} (the first build takes many minutes)")
    # Nothing of an earlier build may be deployed.
    shutil.rmtree(into, ignore_errors=True)
    packages = [word for name in names for word in ("--package", name)]
    # The release profile of Cargo.toml is the one that was measured; cargo-lambda's own would make every panic an abort.
    options = ["--release", "--locked", "--disable-optimizations", "--arm64" if architecture == "arm64" else "--x86-64"]
    _build(["cargo", "lambda", "build", *options, "--lambda-dir", str(into), *packages])
    if absent := [name for name in names if not (into / name / "bootstrap").exists()]:
        raise Stop(f"the build gave no binary of {', '.join(absent)}: a function's crate must have a binary of its own name")


def build_collectors(installed: set[str], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for processor in RUST:
        target = _collector_target(processor, installed)
        if not target:
            continue
        step(f"building the collector for {processor} ({target}, linked statically)")
        if target.endswith("musl"):
            _build(["cargo", "zigbuild", "--release", "--locked", "--target", target, "--package", "collector"])
        else:
            _build(["cargo", "build", "--release", "--locked", "--target", target, "--package", "collector"],
                   RUSTFLAGS=f"{os.environ.get('RUSTFLAGS', '')} -C target-feature=+crt-static".strip())
        shutil.copy(_target_folder() / target / "release" / "collector", into / f"collector-{processor}")


def _collector_target(processor: str, installed: set[str]) -> str | None:
    """The collector runs on any Linux, so it is linked statically: with musl, which zig links for any processor, or else with
    this machine's own libc for its own processor."""
    musl, gnu = f"{RUST[processor]}-unknown-linux-musl", f"{RUST[processor]}-unknown-linux-gnu"
    if musl in installed:
        return musl
    return gnu if gnu in installed and platform.machine() == RUST[processor] else None


def _target_folder() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def _build(command: list[str], **environment: str) -> None:
    if subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}).returncode:
        raise Stop(f"the build failed, see above. To repeat it alone: {' '.join(command)}")


if __name__ == "__main__":
    run(main)
