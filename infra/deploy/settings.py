"""What the person has asked for: stack, processor, policy and parameters, checked before anything is built."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from console import Stop

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "template.yaml"
DEFAULT_POLICY = ROOT / "infra" / "policy.default.json"
# A parameter of a template takes no more. Parameter Store takes 8 KiB, since the template asks for Intelligent-Tiering.
POLICY_BYTES = 4096
# Functions and their roles are named after the stack. A role's name has 64 characters, and the template finds the role
# `STACK-MemoryCaptureFunctionRole-RANDOM` by what stands before the random part, which must not be cut off.
STACK = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,23}")
# The machine names of the processors, as Lambda has them.
ARCHITECTURES = ("arm64", "x86_64")
# The parameters that have a setting of their own.
OURS = {"Architecture": "ARCH", "Policy": "POLICY", "CollectorSha256X86": "BINARIES", "CollectorSha256Arm64": "BINARIES"}


@dataclass(frozen=True)
class Settings:
    """All that `make deploy` takes from its environment."""

    stack: str
    architecture: str
    # One line of JSON; None where the deployed one stays, or the default is taken.
    policy: str | None
    parameters: dict[str, str]
    public_key: Path
    code_bucket: str | None
    binaries: Path


def of_environment() -> Settings:
    architecture = os.environ.get("ARCH") or "arm64"
    if architecture not in ARCHITECTURES:
        raise Stop(f"ARCH={architecture} is no processor of Lambda's: ARCH=arm64 (the default) or ARCH=x86_64")
    policy = os.environ.get("POLICY")
    return Settings(
        stack=stack_name(),
        architecture=architecture,
        policy=read_policy(Path(policy)) if policy else None,
        parameters=read_parameters(os.environ.get("PARAMETERS", "")),
        public_key=Path(os.environ.get("PUBLIC_KEY") or "cordon-signing-key.pem"),
        code_bucket=os.environ.get("CODE_BUCKET") or None,
        binaries=Path(os.environ.get("BINARIES") or ROOT / "target" / "deploy" / architecture),
    )


def stack_name() -> str:
    name = os.environ.get("STACK") or "cordon"
    if not STACK.fullmatch(name):
        raise Stop(f"STACK={name}: a stack's name here has 1 to 24 letters, digits and hyphens, and begins with a letter")
    return name


def read_policy(path: Path) -> str:
    """The policy in one line. Refuses what Cordon would not read at an incident: there it would fall back to quarantine."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"the policy cannot be read: {error}") from None
    try:
        policy = json.loads(text)
    except json.JSONDecodeError as error:
        raise Stop(f"{path} is not JSON: {error}") from None
    _compare(path, policy, json.loads(DEFAULT_POLICY.read_text(encoding="utf-8")), "")
    line = json.dumps(policy, separators=(",", ":"), ensure_ascii=False)
    size = len(line.encode())
    if size > POLICY_BYTES:
        raise Stop(f"{path} has {size} bytes without its spaces, and a parameter of CloudFormation takes {POLICY_BYTES}: leave out what is as in infra/policy.default.json")
    return line


def _compare(path: Path, given: Any, known: Any, where: str) -> None:
    """Every field must be one that the default has, and of its kind. Ranges are checked where the policy is read."""
    kind = _kind(known)
    if _kind(given) != kind:
        raise Stop(f"{path}: `{where or '.'}` must be {kind}")
    if isinstance(known, dict):
        for name, value in given.items():
            field = f"{where}.{name}".lstrip(".")
            if name not in known:
                raise Stop(f"{path}: there is no field `{field}`: see infra/policy.default.json")
            _compare(path, value, known[name], field)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    return {dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number"}.get(type(value), "something else than null")


def read_parameters(text: str) -> dict[str, str]:
    """`Key=Value Key='Value with spaces'`, of the template's own parameters."""
    try:
        pairs = [pair.split("=", 1) for pair in shlex.split(text)]
    except ValueError as error:
        raise Stop(f"PARAMETERS cannot be read: {error}") from None
    if wrong := [pair[0] for pair in pairs if len(pair) != 2]:
        raise Stop(f"PARAMETERS: `{wrong[0]}` has no value: PARAMETERS='Key=Value Key=Value'")
    known = template()["Parameters"]
    for key, _ in pairs:
        if key in OURS:
            raise Stop(f"PARAMETERS: {key} is set by {OURS[key]}=")
        if key not in known:
            raise Stop(f"PARAMETERS: the template has no {key}; it has {', '.join(sorted(set(known) - set(OURS)))}")
    return dict(pairs)


class _Loader(yaml.SafeLoader):
    """YAML in which CloudFormation's short forms are read for what stands behind them."""


def _behind(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _behind)


def template() -> dict[str, Any]:
    return yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)


def functions() -> list[str]:
    """The crates that the template deploys as functions. Two functions may be one crate."""
    uris = (resource.get("Properties", {}).get("CodeUri") for resource in template()["Resources"].values())
    return sorted({Path(uri).name for uri in uris if uri})
