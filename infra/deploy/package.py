"""Puts the binaries where the template looks for them, and has SAM upload both."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import settings
from account import Account
from console import Stop, say
from settings import ROOT, TEMPLATE

# What an ELF file says of its processor (e_machine).
MACHINES = {0xB7: "arm64", 0x3E: "x86_64"}
DEFINITIONS = sorted((ROOT / "statemachine").glob("*.asl.json"))


def package(account: Account, binaries: Path, architecture: str, bucket: str | None) -> str:
    """Uploads code, definitions and template; gives the template's address.

    SAM names what it uploads after its content. So what has not changed is not uploaded again, and a function whose binary
    has not changed gets no new version.
    """
    with tempfile.TemporaryDirectory(prefix="cordon-deploy-") as folder:
        staged = stage(binaries, architecture, Path(folder))
        packaged = Path(folder) / "packaged.yaml"
        where = ["--s3-bucket", bucket] if bucket else ["--resolve-s3"]
        command = [_sam(), "package", "--template-file", str(staged), "--output-template-file", str(packaged), "--s3-prefix", "cordon", "--region", account.region, *where]
        answer = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": account.region})
        if answer.returncode:
            raise Stop(f"`sam package` failed: {(answer.stderr or answer.stdout).strip()}")
        body = packaged.read_bytes()
    used = re.search(rb"CodeUri: s3://([^/\s]+)/", body)
    if not used:
        raise Stop("`sam package` has left the code where it was: the template has no CodeUri that SAM knows")
    name, key = used[1].decode(), f"cordon/{hashlib.sha256(body).hexdigest()}.template"
    # It is larger than what fits into the call itself.
    s3 = account("s3")
    s3.put_object(Bucket=name, Key=key, Body=body)
    say(f"code, definition and template are in s3://{name}/cordon/")
    return f"{s3.meta.endpoint_url}/{name}/{key}"


def stage(binaries: Path, architecture: str, into: Path) -> Path:
    """The template unchanged, in a tree of its own where each CodeUri is a folder with just the function's binary."""
    for name in settings.functions():
        binary = next((path for path in (binaries / name / "bootstrap", binaries / name) if path.is_file()), None)
        if not binary:
            raise Stop(f"there is no binary of {name} in {binaries}: run `make deploy` without BINARIES to build it")
        found = machine(binary)
        if found != architecture:
            raise Stop(f"{binary} is for {found}, and ARCH={architecture}: build it for {architecture}, or deploy with ARCH={found}")
        folder = into / "crates" / name
        folder.mkdir(parents=True)
        shutil.copyfile(binary, folder / "bootstrap")
        (folder / "bootstrap").chmod(0o755)
    for source in (TEMPLATE, *DEFINITIONS):
        staged = into / source.relative_to(ROOT)
        staged.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, staged)
    return into / TEMPLATE.relative_to(ROOT)


def machine(binary: Path) -> str:
    """The processor that a program is for."""
    with binary.open("rb") as file:
        header = file.read(20)
    if header[:4] != b"\x7fELF":
        raise Stop(f"{binary} is no program for Linux")
    return MACHINES.get(int.from_bytes(header[18:20], "little"), "another processor")


def _sam() -> str:
    """SAM's command line: what SAM= names, or the one beside this Python, or the one on the path."""
    beside = Path(sys.executable).parent / "sam"
    found = os.environ.get("SAM") or (str(beside) if beside.exists() else shutil.which("sam"))
    if not found:
        raise Stop("the SAM command line is not on the path: `make deploy` installs it; by hand it is `pip install aws-sam-cli`")
    return found
