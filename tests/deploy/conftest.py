"""The scripts of infra/deploy against the local cloud: as processes, in the environment that a person would run them in."""

from __future__ import annotations

import itertools
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from cloud.conftest import account, endpoint  # noqa: F401: fixtures
from cloud.deploy import ARCHITECTURE, REGION

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "infra" / "deploy"
OTHER = {"arm64": "x86_64", "x86_64": "arm64"}[ARCHITECTURE]
# Accounts in which the local cloud has deployed nothing.
_numbers = itertools.count(222_222_222_222)

sys.path.insert(0, str(SCRIPTS))


@dataclass
class Person:
    """Somebody with the credentials of one account, a folder of binaries and no terminal."""

    number: str
    endpoint: str
    folder: Path
    binaries: Path

    def __call__(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=self.number, aws_secret_access_key="test")

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def environment(self, **settings: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": self.number,
            "AWS_SECRET_ACCESS_KEY": "test", "SAM": str(sam()), "ARCH": ARCHITECTURE, "BINARIES": str(self.binaries), "PUBLIC_KEY": str(self.key),
            # The local cloud speaks plain HTTP.
            "PARAMETERS": "RequireTls=false", "PYTHONDONTWRITEBYTECODE": "1", **settings,
        }

    def run(self, script: str, *arguments: str, typed: str | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs a script to its end; with a terminal where something is `typed`."""
        command, environment = [sys.executable, str(SCRIPTS / script), *arguments], self.environment(**settings)
        if typed is None:
            return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
        ours, theirs = pty.openpty()
        os.write(ours, f"{typed}\n".encode())
        try:
            return subprocess.run(command, env=environment, stdin=theirs, capture_output=True, text=True, timeout=180)
        finally:
            os.close(ours)
            os.close(theirs)

    def done(self, script: str, *arguments: str, **settings: str) -> str:
        """Runs a script that must succeed; gives what it printed."""
        answer = self.run(script, *arguments, **settings)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    def stopped(self, script: str, *arguments: str, **settings: str) -> str:
        """Runs a script that must stop, with a sentence and no traceback; gives that sentence."""
        answer = self.run(script, *arguments, **settings)
        assert answer.returncode == 1 and "stopped: " in answer.stderr and "Traceback" not in answer.stderr, answer.stdout + answer.stderr
        return answer.stderr.split("stopped: ", 1)[1]

    def stack(self) -> dict[str, Any]:
        return self("cloudformation").describe_stacks(StackName="cordon")["Stacks"][0]

    def outputs(self) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack()["Outputs"]}


def sam() -> Path:
    """The SAM command line of the lint tools, unless SAM= names another."""
    found = Path(os.environ.get("SAM") or ROOT / ".venv-lint" / "bin" / "sam").absolute()
    assert found.exists(), f"there is no {found}: `make lint` installs it, or SAM= names another"
    return found


def program(path: Path, architecture: str, content: str = "") -> None:
    """A file that begins as a Linux program does; it cannot run."""
    machine = {"arm64": 0xB7, "x86_64": 0x3E}[architecture]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF\x02\x01\x01".ljust(18, b"\0") + machine.to_bytes(2, "little") + content.encode())


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder as a build leaves it, with programs that cannot run, and a collector for one processor."""
    import settings

    folder = tmp_path / "binaries"
    for name in settings.functions():
        program(folder / name / "bootstrap", ARCHITECTURE, name)
    program(folder / "collectors" / f"collector-{ARCHITECTURE}", ARCHITECTURE, "collector")
    return folder


@pytest.fixture
def person(endpoint: str, tmp_path: Path, built: Path) -> Person:  # noqa: F811
    """Somebody in an account where nothing is deployed."""
    return Person(str(next(_numbers)), endpoint, tmp_path, built)


@pytest.fixture
def owner(account: Any, tmp_path: Path, built: Path) -> Person:  # noqa: F811
    """Somebody in an account where the local cloud has deployed Cordon."""
    return Person(account.about["accountId"], account.about["endpoint"], tmp_path, built)
