"""The functions, as infra/template.yaml has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud import deploy

from .paths import ROOT

# What stands for a value that only a deployment can know. None of them is ever called.
UNKNOWN = "arn:aws:perf:us-east-1:123456789012:unknown/unknown"


@dataclass(frozen=True)
class Function:
    """One function."""

    name: str
    """Its name in AWS, `cordon-isolate`."""
    binary: str
    memory_mib: int
    variables: dict[str, str]


def functions(template: Path = ROOT / "infra" / "template.yaml") -> list[Function]:
    """All functions, in the template's order."""
    body = deploy.read(template)
    usual = body["Globals"]["Function"]
    parameters = {name: str(parameter.get("Default", "")) for name, parameter in body.get("Parameters", {}).items()}
    found = []
    for resource in body["Resources"].values():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        own = resource["Properties"]
        variables = own.get("Environment", {}).get("Variables", {})
        values = {name: _value(name, value, parameters) for name, value in variables.items()}
        found.append(Function(own["FunctionName"], Path(own["CodeUri"]).name, own.get("MemorySize", usual["MemorySize"]), values))
    return found


def actions(template: Path = ROOT / "infra" / "template.yaml") -> set[str]:
    """Every action of AWS that some function may call, as its policy names it."""
    functions = [resource for resource in deploy.read(template)["Resources"].values() if resource["Type"] == "AWS::Serverless::Function"]
    return set(_below([function["Properties"].get("Policies", []) for function in functions]))


def _below(part: Any) -> Iterator[str]:
    """The actions in a part of the template, also in one that stands under a condition."""
    if isinstance(part, dict):
        named = part.get("Action", [])
        yield from [named] if isinstance(named, str) else named
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _below(inner)


def _value(name: str, value: Any, parameters: dict[str, str]) -> str:
    if isinstance(value, (str, int)):
        return str(value)
    if "Ref" in value and value["Ref"] in parameters:
        return parameters[value["Ref"]]
    return UNKNOWN if name.endswith("_ARN") else "unknown"
