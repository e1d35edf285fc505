"""IAM where ministack's evaluator knows less than AWS.

For the calls that moto answers it knows neither all resources of such a call nor their tags: AWS checks an action against
every resource of the call, and asks for ec2:CreateTags where tags come with a creation. Of ModifyInstanceAttribute it knows
no `ec2:Attribute`, of classic load balancers no ARN, and of scaling groups half of one. For IAM's own calls it knows neither
paths nor `iam:PolicyARN`. In conditions it knows no policy variables, and of a role's session not whose it is.
"""

from __future__ import annotations

import contextvars
import json
import re
from collections.abc import Callable
from typing import Any

import ministack.core.iam_evaluator as evaluator
import ministack.services.iam as roles
import ministack.services.sts as sts
from ministack.core import responses
from moto.autoscaling import autoscaling_backends
from moto.ec2 import ec2_backends

from .attributes import ATTRIBUTES
from .deploy import REGION
from .patching import replace, require

_params: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("params", default=None)
# Asks the policies of whoever makes this call about something else; nobody where no policy is checked.
_ask: contextvars.ContextVar[Callable[..., Any] | None] = contextvars.ContextVar("ask", default=None)
_CREATED = {"CreateSecurityGroup": "security-group", "CreateSnapshots": "snapshot", "CreateSnapshot": "snapshot", "CopySnapshot": "snapshot"}


def install() -> None:
    for name in ("resolve_principal", "EvalContext", "evaluate", "AuthError"):
        require(evaluator, name)
    replace(evaluator, "enforce", _strict)
    replace(evaluator, "_conditions_met", _with_variables)
    replace(evaluator, "_fnmatch_compile", _with_plain_stars)
    replace(evaluator, "_resolve_condition_key", _of_the_role)
    for module in (evaluator, sts):
        replace(module, "_principal_keys", _of_the_instance)


def remember(service: str, headers: dict[str, str], body: bytes, routing: dict[str, Any]) -> None:
    """Keeps the parameters of the call for the evaluator, which does not get them."""
    if service == "ssm":
        _params.set(json.loads(body or b"{}"))
    else:
        _params.set(routing if service in ("ec2", "iam", "autoscaling", "elasticloadbalancing") else None)


def may(action: str, service: str, arn: str, context: dict[str, str]) -> bool:
    """Whether whoever makes this call may do this, too: services use keys on behalf of their callers."""
    ask = _ask.get()
    return ask is None or ask(action, service, resource_arn=arn, service_context=context) is None


def session_may(key: str, account: str, action: str, arn: str) -> bool:
    """Whether a session may do something, by the policies as they are now, without a call that asks for it."""
    who = evaluator.resolve_principal(key, account)
    if isinstance(who, evaluator.AuthError):
        return False
    asked = evaluator.EvalContext(principal_arn=who.arn, principal_type=who.type, principal_account=who.account, action=action, resource_arn=arn, region=REGION,
                                  principal_keys=who.keys)
    return bool(evaluator.evaluate(asked, who.policies or [], *who.limits).decision == "Allow")


def _strict(enforce: Any) -> Any:
    def strict(key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: dict[str, Any] | None = None) -> Any:
        params, account = _params.get(), responses.get_account_id()
        _ask.set(lambda action, service, **about: enforce(key, action, service, region, **about))
        if service == "iam" and params is not None:
            resource_arn = _iam_resource(params, account) or resource_arn
            service_context = {**(service_context or {}), **_iam_context(params)}
        if service == "ssm" and params is not None and (arns := _documents_and_targets(action, params, account, region)):
            checks = (enforce(key, action, service, region, resource_arn=arn, service_context=service_context) for arn in arns)
            return next((denied for denied in checks if denied), None)
        if service in ("autoscaling", "elasticloadbalancing") and params is not None:
            resource_arn = _scaled_or_balanced(action, params, account, region) or resource_arn
        if service != "ec2" or params is None:
            return enforce(key, action, service, region, resource_arn=resource_arn, service_context=service_context)
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
            if name == "ModifyInstanceAttribute" and ":instance/" in arn:
                context |= _attribute(params)
            if name == "ModifySnapshotAttribute":
                context |= _shared_with(params)
            if requested:
                context["aws:tagkeys"] = [k.split("/", 1)[1] for k in requested]
            context |= _of_a_snapshot(arn, account, region)
            for tag, value in _tags(arn, account, region).items():
                context |= {f"aws:resourcetag/{tag.lower()}": value, f"ec2:resourcetag/{tag.lower()}": value}
            denied = enforce(key, checked, service, region, resource_arn=arn, service_context=context)
            if denied:
                return denied
        return None

    return strict


def _documents_and_targets(action: str, params: dict[str, Any], account: str, region: str) -> list[str]:
    """What a call of Systems Manager is about, where that is a document: a command is about its targets as well."""
    documents = {"GetDocument": "Name", "DescribeDocument": "Name", "UpdateDocument": "Name", "UpdateDocumentDefaultVersion": "Name", "SendCommand": "DocumentName"}
    field = documents.get(action.split(":")[1])
    if field is None or field not in params:
        return []
    owner = "" if params[field].startswith("AWS-") else account
    targets = params.get("InstanceIds") or [] if action == "ssm:SendCommand" else []
    return [f"arn:aws:ssm:{region}:{owner}:document/{params[field]}", *(f"arn:aws:ec2:{region}:{account}:instance/{target}" for target in targets)]


def _scaled_or_balanced(action: str, params: dict[str, Any], account: str, region: str) -> str | None:
    """The ARN of a scaling group or of a classic load balancer, which a call names; none where it gives the ARN itself."""
    service, name = action.split(":")
    if name.startswith("Describe"):
        return "*"
    if service == "autoscaling":
        group = (params.get("AutoScalingGroupName") or [""])[0]
        if not group:
            return None
        found = autoscaling_backends[account][region].autoscaling_groups.get(group)
        return found.arn if found else f"arn:aws:autoscaling:{region}:{account}:autoScalingGroup:00000000-0000-0000-0000-000000000000:autoScalingGroupName/{group}"
    balancer = (params.get("LoadBalancerName") or [""])[0]
    return f"arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/{balancer}" if balancer else None


def _attribute(params: dict[str, Any]) -> dict[str, str]:
    """`ec2:Attribute` of a call that changes an attribute of an instance, as the API calls it."""
    if named := (params.get("Attribute") or [""])[0]:
        return {"ec2:attribute": named[0].upper() + named[1:]}
    # In a request a list is called after one of its members.
    known = {*ATTRIBUTES, "BlockDeviceMapping", "GroupId"}
    found = next((key.split(".")[0] for key in sorted(params) if key.split(".")[0] in known), None)
    return {"ec2:attribute": found} if found else {}


def _shared_with(params: dict[str, Any]) -> dict[str, str | list[str]]:
    """`ec2:Add/userId` and the like of a call that changes whom a snapshot is shared with. Several accounts are for `ForAllValues`
    and `ForAnyValue`: what AWS makes of them without is not documented, and here nothing is equal to them."""
    found: dict[str, set[str]] = {}
    operation = (params.get("OperationType") or [""])[0].capitalize()
    for name, values in params.items():
        structure = re.fullmatch(r"CreateVolumePermission\.(Add|Remove)\.\d+\.(UserId|Group)", name)
        older = re.fullmatch(r"User(Id|Group)\.\d+", name) if operation in ("Add", "Remove") else None
        if structure:
            found.setdefault(f"ec2:{structure[1]}/{structure[2]}".lower(), set()).update(values)
        elif older:
            found.setdefault(f"ec2:{operation}/{'userId' if older[1] == 'Id' else 'group'}".lower(), set()).update(values)
    return {key: sorted(values) if len(values) > 1 else next(iter(values)) for key, values in found.items()}


def _of_a_snapshot(arn: str, account: str, region: str) -> dict[str, str]:
    """What policies may ask of a snapshot that is there already, also of the source of a copy."""
    snapshot = ec2_backends[account][region].snapshots.get(arn.rsplit("/", 1)[-1])
    if snapshot is None:
        return {}
    return {"ec2:snapshotid": snapshot.id, "ec2:owner": snapshot.owner_id, "ec2:encrypted": str(snapshot.encrypted).lower(), "ec2:volumesize": str(snapshot.volume.size)}


def _iam_resource(params: dict[str, Any], account: str) -> str | None:
    """The ARN of a role or an instance profile, with its path."""
    if role := (params.get("RoleName") or [""])[0]:
        return (roles._roles.get(role) or {}).get("Arn") or f"arn:aws:iam::{account}:role/{role}"
    if profile := (params.get("InstanceProfileName") or [""])[0]:
        return (roles._instance_profiles.get(profile) or {}).get("Arn") or f"arn:aws:iam::{account}:instance-profile/{profile}"
    return None


def _iam_context(params: dict[str, Any]) -> dict[str, Any]:
    policy = (params.get("PolicyArn") or [""])[0]
    return {"iam:policyarn": policy} if policy else {}


# `${aws:PrincipalTag/team, 'none'}`: a key of the request, and what stands for it where the request has none.
_VARIABLE = re.compile(r"\$\{([^},]+)(?:,\s*'([^']*)')?\}")
_VARIABLES_IN = ("string", "arn")


def _with_variables(original: Any) -> Any:
    """AWS fills in variables before it compares strings and ARNs. A value whose variable has neither value nor default matches
    nothing; under a negated operator that makes the condition false, too."""

    def met(conditions: Any, ctx: Any) -> bool:
        filled: dict[str, Any] = {}
        for operator, keys in (conditions or {}).items():
            plain = operator.lower().split(":")[-1].removesuffix("ifexists")
            if not plain.startswith(_VARIABLES_IN) or not isinstance(keys, dict):
                filled[operator] = keys
                continue
            filled[operator] = {}
            for key, expected in keys.items():
                values = [_filled(str(value), plain, ctx) for value in (expected if isinstance(expected, list) else [expected])]
                if plain in evaluator._NEGATED_OPS and None in values:
                    return False
                filled[operator][key] = [value for value in values if value is not None]
        return bool(original(filled, ctx))

    return met


def _with_plain_stars(original: Any) -> Any:
    """`${*}` and `${?}` in a pattern stand for themselves, such as in the ARN of a snapshot that is not there yet."""

    def compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        if "${" not in pattern:
            return original(pattern, ignore_case)
        parts = re.split(r"(\$\{[*?]\}|[*?])", pattern)
        translated = "".join({"*": ".*", "?": "."}.get(part) or re.escape(part[2] if re.fullmatch(r"\$\{[*?]\}", part) else part) for part in parts)
        return re.compile(f"^{translated}$", re.IGNORECASE if ignore_case else 0)

    return compiled


def _filled(text: str, operator: str, ctx: Any) -> str | None:
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        found = evaluator._resolve_condition_key(match[1].strip(), ctx)
        found = match[2] if found is None else str(found)
        # What a variable brings is text, not a pattern, and the evaluator has no way to write a star that is none.
        patterns = "like" in operator or operator.startswith("arn")
        missing = missing or found is None or (patterns and bool(set(found) & set("*?")))
        return found or ""

    text = _VARIABLE.sub(value, text)
    return None if missing else text


def _of_the_role(original: Any) -> Any:
    """`aws:PrincipalArn` of a role's session is the ARN of the role, not of the session."""

    def resolve(key: str, ctx: Any) -> Any:
        if key.lower() == "aws:principalarn" and ":assumed-role/" in ctx.principal_arn:
            name = evaluator._role_name_from_assumed_arn(ctx.principal_arn)
            role = roles._roles.get_scoped(ctx.principal_account, None, name) or {}
            return role.get("Arn") or f"arn:aws:iam::{ctx.principal_account}:role/{name}"
        return original(key, ctx)

    return resolve


def _of_the_instance(original: Any) -> Any:
    """A session that metadata handed out carries the ARN of its instance, wherever it is used [facts 28]. One that somebody
    made with AssumeRole does not, whatever it is called."""

    def keys(credential: Any) -> dict[str, Any]:
        found = dict(original(credential))
        session = sts._sessions.get(credential.access_key_id)
        name = credential.principal_arn.rsplit("/", 1)[-1]
        if session is not None and session.get("SourceAccessKeyId") == "" and name.startswith("i-"):
            found["ec2:sourceinstancearn"] = f"arn:aws:ec2:{REGION}:{credential.account_id}:instance/{name}"
        return found

    return keys


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
    # Of the calls that only look, this one is about a resource.
    if name.startswith(("Describe", "Get", "List")) and name != "DescribeSnapshotAttribute":
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
    if name == "ModifyInstanceAttribute":
        mapped = ec2_backends[account][region].get_instance_by_id(one("InstanceId"))
        devices = [value[0] for key, value in sorted(params.items()) if re.fullmatch(r"BlockDeviceMapping\.\d+\.DeviceName", key)]
        found = [arn("volume", mapped.block_device_mapping[device].volume_id) for device in devices if mapped and device in mapped.block_device_mapping]
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
    if name == "CopySnapshot":
        # The copy, of which nothing is known yet, and its source by itself: a policy tells them apart by `snapshot/snap-*` and `snapshot/${*}`.
        found.append(f"arn:aws:ec2:{one('SourceRegion')}::snapshot/{one('SourceSnapshotId')}")
    return found or ["*"]


def _tags(arn: str, account: str, region: str) -> dict[str, str]:
    identifier = arn.rsplit("/", 1)[-1]
    if identifier in ("*", arn):
        return {}
    try:
        return {tag["key"]: tag["value"] for tag in ec2_backends[account][region].describe_tags({"resource-id": [identifier]})}
    except Exception:  # what does not exist has no tags
        return {}
