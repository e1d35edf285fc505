"""The commands of docs/verify-a-case.md, as they stand there, on a case that was closed and on that case falsified."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import settings
from cloud.harness import Account, ended, until

TOOLS = ("bash", "openssl", "sha256sum", "jq")
absent = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(bool(absent), reason=f"the recipe needs {', '.join(absent)}, which is not on this machine")


def closed_case(account: Account, folder: Path) -> Path:
    policy = {"schema": "cordon.policy.v1", "disposition": "quarantine", "memory": {"capture": False}}
    account("ssm").put_parameter(Name="/cordon/policy", Value=json.dumps(policy), Overwrite=True)
    given = json.dumps({"instanceId": account.about["instances"]["web"], "reason": "a test"})
    sfn, s3 = account("stepfunctions"), account("s3")
    execution = sfn.start_execution(stateMachineArn=account.about["stateMachineArn"], input=given)["executionArn"]
    case = json.loads(until(lambda: ended(sfn, execution), 90)["output"])["caseId"]
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=account.about["bucket"], Prefix=f"cases/{case}/"):
        for item in page["Contents"]:
            path = folder / item["Key"].removeprefix("cases/")
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(account.about["bucket"], item["Key"], str(path))
    return folder / case


def test_the_recipe_accepts_a_closed_case_and_no_falsified_one(account: Account, tmp_path: Path) -> None:
    script = tmp_path / "verify.sh"
    script.write_text(re.search(r"```bash\n(.*?)```", (settings.ROOT / "docs" / "verify-a-case.md").read_text(), re.DOTALL)[1])
    case, key = closed_case(account, tmp_path / "cases"), account.about["publicKeyPath"]

    def verify(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", str(script), str(folder), key], capture_output=True, text=True, timeout=60)

    good = verify(case)
    assert good.returncode == 0 and "the case holds" in good.stdout, good.stdout + good.stderr
    record = next((case / "records").iterdir()).name

    def flip(name: str) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            content = bytearray((folder / name).read_bytes())
            content[len(content) // 2] ^= 1
            (folder / name).write_bytes(content)

        return change

    lines = (case / "custody.jsonl").read_text().splitlines(keepends=True)
    falsified: dict[str, Callable[[Path], object]] = {
        **{f"a byte of {name}": flip(name) for name in ("finding.json", "custody.jsonl", "manifest-evidence.json", "manifest-closing.json", f"records/{record}")},
        "an object that is gone": lambda folder: (folder / "plan.json").unlink(),
        "an object too many": lambda folder: (folder / "note.txt").write_text("x"),
        "the signatures swapped": lambda folder: shutil.copy(folder / "manifest-evidence.json.sig", folder / "manifest-closing.json.sig"),
        "a line less in the chain": lambda folder: (folder / "custody.jsonl").write_text("".join(lines[:-1])),
    }
    for number, (what, change) in enumerate(falsified.items()):
        folder = tmp_path / str(number) / case.name
        shutil.copytree(case, folder)
        change(folder)
        assert verify(folder).returncode != 0, f"{what}: the recipe must notice"
