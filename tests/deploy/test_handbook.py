"""docs/operate.md knows every function, alarm and setting that there is."""

from __future__ import annotations

import re

import pytest
import settings

PAGE = (settings.ROOT / "docs" / "operate.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize(("title", "kind", "name"), [("What Cordon may do, and why", "AWS::Serverless::Function", "FunctionName"), ("Alarms", "AWS::CloudWatch::Alarm", "AlarmName")])
def test_every_function_and_every_alarm_has_its_row_and_no_row_is_of_something_else(title: str, kind: str, name: str) -> None:
    there = {resource["Properties"][name] for resource in settings.template()["Resources"].values() if resource["Type"] == kind}
    rows = set(re.findall(r"^\| `(cordon-[a-z-]+)` \|", section(title), re.MULTILINE))
    assert rows == there


def test_every_setting_of_the_scripts_is_explained() -> None:
    sources = "".join(path.read_text() for path in (settings.ROOT / "infra" / "deploy").glob("*.py"))
    read = set(re.findall(r'environ\.get\("([A-Z_]+)"', sources)) - {"AWS_REGION", "CARGO_TARGET_DIR", "RUSTFLAGS", "SAM"}
    assert read == {"STACK", "ARCH", "POLICY", "PARAMETERS", "PUBLIC_KEY", "CODE_BUCKET", "BINARIES", "YES", "FORCE"}
    assert all(f"`{name}`" in PAGE or f"`{name}=" in PAGE for name in read)


def test_the_parameters_that_the_page_names_are_the_templates() -> None:
    for name in ("Drills", "LogRetentionDays", "CredentialDenial", "InlinePath"):
        assert f"{name}" in PAGE and name in settings.template()["Parameters"]
