"""What is refused before anything is built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import settings
from console import Stop


def policy(folder: Path, text: str) -> str:
    path = folder / "policy.json"
    path.write_text(text)
    return settings.read_policy(path)


def test_the_default_policy_becomes_one_line_that_says_the_same() -> None:
    line = settings.read_policy(settings.DEFAULT_POLICY)
    assert "\n" not in line and ": " not in line
    assert json.loads(line) == json.loads(settings.DEFAULT_POLICY.read_text())


@pytest.mark.parametrize(("text", "said"), [
    ("{", "is not JSON"),
    ("[]", "`.` must be an object"),
    ('{"drils":{"enabled":true}}', "there is no field `drils`"),
    ('{"drills":{"enable":true}}', "there is no field `drills.enable`"),
    ('{"drills":{"enabled":1}}', "`drills.enabled` must be true or false"),
    ('{"minimumSeverity":true}', "`minimumSeverity` must be a number"),
    ('{"types":{"allow":"*"}}', "`types.allow` must be a list"),
    ('{"schema":null}', "`schema` must be a string"),
])
def test_a_policy_that_cordon_would_not_read_is_refused_by_its_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Stop, match=said.replace(".", r"\.").replace("`\\.`", "`.`")):
        policy(tmp_path, text)


@pytest.mark.parametrize(("letters", "fits"), [(4096 - len('{"types":{"deny":[""]}}'), True), (4097 - len('{"types":{"deny":[""]}}'), False)])
def test_a_policy_is_measured_without_its_spaces_against_the_limit_of_a_parameter(tmp_path: Path, letters: int, fits: bool) -> None:
    text = json.dumps({"types": {"deny": ["x" * letters]}}, indent=8)
    if fits:
        assert len(policy(tmp_path, text)) == 4096
    else:
        with pytest.raises(Stop, match="has 4097 bytes"):
            policy(tmp_path, text)


def test_a_policy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="absent.json"):
        settings.read_policy(tmp_path / "absent.json")


def test_parameters_may_have_spaces_and_equals_signs() -> None:
    assert settings.read_parameters("Drills=ENABLED CustomActionName='Contain it = now'") == {"Drills": "ENABLED", "CustomActionName": "Contain it = now"}
    assert settings.read_parameters("") == {}


@pytest.mark.parametrize(("text", "said"), [
    ("Drills", "`Drills` has no value"),
    ("Drill=ENABLED", "has no Drill; it has .*Drills"),
    ("Architecture=x86_64", "Architecture is set by ARCH="),
    ("Policy={}", "Policy is set by POLICY="),
    ("Drills='ENABLED", "cannot be read"),
])
def test_parameters_that_the_template_has_not_are_refused(text: str, said: str) -> None:
    with pytest.raises(Stop, match=said):
        settings.read_parameters(text)


@pytest.mark.parametrize(("name", "good"), [("cordon", True), ("cordon-eu-2", True), ("x" * 24, True), ("x" * 25, False), ("2nd", False), ("cor don", False), ("--help", False)])
def test_a_stacks_name_leaves_room_for_the_names_of_roles(monkeypatch: pytest.MonkeyPatch, name: str, good: bool) -> None:
    monkeypatch.setenv("STACK", name)
    if good:
        assert settings.stack_name() == name
    else:
        with pytest.raises(Stop, match="1 to 24"):
            settings.stack_name()


def test_a_processor_that_lambda_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCH", "aarch64")
    with pytest.raises(Stop, match="ARCH=arm64"):
        settings.of_environment()


def test_every_function_of_the_template_is_a_crate_with_a_binary() -> None:
    names = settings.functions()
    assert "triage" in names and len(names) == len(set(names))
    for name in names:
        assert (settings.ROOT / "crates" / name / "src" / "main.rs").exists(), name
