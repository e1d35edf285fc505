"""IAM for the calls that moto answers: ministack's evaluator knows neither all resources of such a call nor their tags.

AWS checks an action against every resource of the call, and asks for ec2:CreateTags where tags come with a creation."""

from __future__ import annotations

import contextvars
import json
import re
from typing import Any

import ministack.core.iam_evaluator as evaluator
from ministack.core import responses
from moto.ec2 import ec2_backends

from .patching import replace

_params: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("params", default=None)
_CREATED = {"CreateSecurityGroup": "security-group", "CreateSnapshots": "snapshot", "CreateSnapshot": "snapshot"}


def install() -> None:
    replace(evaluator, "enforce", _strict)


def remember(service: str, headers: dict[str, str], body: bytes, routing: dict[str, Any]) -> None:
    """Keeps the parameters of the call for the evaluator, which does not get them."""
    if service == "ssm":
        _params.set(json.loads(body or b"{}"))
    else:
        _params.set(routing if service == "ec2" else None)


def _strict(enforce: Any) -> Any:
    def strict(key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: dict[str, Any] | None = None) -> Any:
        params = _params.get()
        if service != "ec2" or params is None:
            return enforce(key, action, service, region, resource_arn=resource_arn, service_context=service_context)
        account = responses.get_account_id()
        requested = _requested_tags(params)
        checks = [(action, arn) for arn in _resources(action, params, account, region)]
        name = action.split(":")[1]
        if requested and name in _CREATED:
            checks.append(("ec2:CreateTags", _created_arn(name, account, region)))
        plain = {k: v for k, v in (service_context or {}).items() if not k.lower().startswith("aws:requesttag/")}
        for checked, arn in checks:
            context = dict(plain)
            # The tags of the request belong to what is created, not to what exists already.
            if arn.endswith("/*") or name == "CreateTags":
                context |= requested
            if checked != action:
                context["ec2:createaction"] = name
            if requested:
                context["aws:tagkeys"] = [k.split("/", 1)[1] for k in requested]
            for tag, value in _tags(arn, account, region).items():
                context |= {f"aws:resourcetag/{tag.lower()}": value, f"ec2:resourcetag/{tag.lower()}": value}
            denied = enforce(key, checked, service, region, resource_arn=arn, service_context=context)
            if denied:
                return denied
        return None

    return strict


def _requested_tags(params: dict[str, Any]) -> dict[str, str]:
    tags = {}
    for name, value in params.items():
        found = re.fullmatch(r"(?:TagSpecification\.(\d+)\.)?Tag\.(\d+)\.Key", name)
        if found:
            tags["aws:requesttag/" + value[0].lower()] = params[name.removesuffix("Key") + "Value"][0]
    return tags


def _created_arn(name: str, account: str, region: str) -> str:
    kind = _CREATED[name]
    return f"arn:aws:ec2:{region}:{'' if kind == 'snapshot' else account}:{kind}/*"


def _resources(action: str, params: dict[str, Any], account: str, region: str) -> list[str]:
    name = action.split(":")[1]
    if name.startswith(("Describe", "Get", "List")):
        return ["*"]

    def one(key: str) -> str:
        return (params.get(key) or [""])[0]

    def many(prefix: str) -> list[str]:
        return [value[0] for key, value in sorted(params.items()) if re.fullmatch(re.escape(prefix) + r"\.\d+", key)]

    def arn(kind: str, identifier: str) -> str:
        return f"arn:aws:ec2:{region}:{'' if kind == 'snapshot' else account}:{kind}/{identifier}"

    found = []
    if name == "CreateSnapshots":
        instance = one("InstanceSpecification.InstanceId")
        volumes = ec2_backends[account][region].get_instance(instance).block_device_mapping.values()
        found = [arn("instance", instance), *(arn("volume", volume.volume_id) for volume in volumes)]
    kinds = {"InstanceId": "instance", "SecurityGroupId": "security-group", "GroupId": "security-group", "NetworkInterfaceId": "network-interface",
             "VolumeId": "volume", "SnapshotId": "snapshot", "VpcId": "vpc"}
    for key, kind in kinds.items():
        found += [arn(kind, identifier) for identifier in [one(key), *many(key)] if identifier]
    prefixes = {"i-": "instance", "sg-": "security-group", "eni-": "network-interface", "vol-": "volume", "snap-": "snapshot"}
    for identifier in many("ResourceId"):
        kind = next((kind for prefix, kind in prefixes.items() if identifier.startswith(prefix)), "unknown")
        found.append(arn(kind, identifier))
    if name in _CREATED:
        found.append(_created_arn(name, account, region))
    return found or ["*"]


def _tags(arn: str, account: str, region: str) -> dict[str, str]:
    identifier = arn.rsplit("/", 1)[-1]
    if identifier in ("*", arn):
        return {}
    try:
        return {tag["key"]: tag["value"] for tag in ec2_backends[account][region].describe_tags({"resource-id": [identifier]})}
    except Exception:  # what does not exist has no tags
        return {}
