"""One server for the session; each test has an account of its own, so that order does not matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Account, ask, until

ROOT = Path(__file__).resolve().parents[2]
BINARIES = Path(os.environ.get("CORDON_BINARIES", ROOT / "target" / "debug"))


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("cloud")
    command = [sys.executable, "-m", "cloud", "--until-stdin-closes", "--dir", str(folder), "--binaries", str(BINARIES), "--wait-scale", "1", "--snapshot-seconds", "0.4"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT / "tests"), "PATH": "/usr/bin:/bin"}, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        description = folder / "cloud.json"
        until(lambda: description.exists() or process.poll() is not None, 60)
        assert description.exists(), (folder / "log").read_text()
        yield json.loads(description.read_text())["endpoint"]
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0, "the cloud must end cleanly"
        assert not description.exists(), "cloud.json must go with the cloud"


@pytest.fixture
def account(endpoint: str) -> Account:
    return Account(ask(endpoint, "accounts", {}))
