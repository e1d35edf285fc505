"""Role sessions: how long AWS lets them last, those that instance metadata hands out, and every secret that was handed out."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any
from urllib.parse import parse_qs

import ministack.services.iam as iam
import ministack.services.sts as sts
from ministack.core import responses
from moto.ec2 import ec2_backends

from .deploy import REGION
from .joint import MOTO_LOCK
from .patching import replace, require

CHAINED_SECONDS = 3600
SHORTEST_SECONDS = 900
# What metadata hands out lasts about six hours.
METADATA_SECONDS = 6 * 3600


_lock = threading.Lock()
_shortened: dict[str, dict[str, Any]] = {}
# By account and access key. The emulator forgets a session that has ended, and a secret may be found long after.
_issued: dict[str, dict[str, dict[str, Any]]] = {}
_of_agents: dict[tuple[str, str, str], str] = {}


def shorten(account: str, of: str, seconds: int, count: int = 1) -> dict[str, Any]:
    """The next `count` sessions of an account whose policy names `of` last `seconds`, whatever is asked for, and say so.

    AWS gives what is asked for or nothing; a test that wants to see URLs end cannot wait for an hour."""
    rule = {"of": of, "seconds": seconds, "count": count}
    with _lock:
        _shortened[account] = rule
    return rule


def _short(policy: str) -> int | None:
    with _lock:
        rule = _shortened.get(responses.get_account_id())
        if not rule or rule["count"] < 1 or rule["of"] not in policy:
            return None
        rule["count"] -= 1
        return int(rule["seconds"])


def install() -> None:
    for name in ("_sessions", "_role_id", "_gen_session_access_key", "_gen_secret", "_gen_session_token", "register_session", "_caller_identity"):
        require(sts, name)
    require(iam, "_access_keys")
    replace(sts, "register_session", _kept)
    replace(sts, "handle_request", _bounded)


def issued(account: str) -> list[dict[str, Any]]:
    """Every secret that was handed out in an account: of users and of sessions, with the `policy` that narrows a session. With
    them a test looks for the secrets themselves where none may be."""
    responses.set_request_account_id(account)
    users = [{"of": key["UserName"], "secretAccessKey": key["SecretAccessKey"], "sessionToken": None, "policy": None} for key in iam._access_keys.values()]
    with _lock:
        return [*users, *_issued.get(account, {}).values()]


def _kept(original: Any) -> Any:
    """Also functions get their credentials this way."""

    def register(key: str, session: dict[str, Any]) -> None:
        original(key, session)
        account, policy = session.get("AccountId") or session["Arn"].split(":")[4], (session.get("SessionPolicies") or {}).get("Policy")
        about = {"of": session["Arn"], "secretAccessKey": session["SecretAccessKey"], "sessionToken": session["SessionToken"], "policy": json.loads(policy) if policy else None}
        with _lock:
            _issued.setdefault(account, {})[key] = about

    return register


def _bounded(original: Any) -> Any:
    """Role chaining allows an hour at most, and every role its own MaxSessionDuration [facts 48]."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        given = {**query, **parse_qs(body.decode("utf-8", "replace"))}
        if given.get("Action") == ["AssumeRole"]:
            if wrong := _too_long(given, headers, query):
                return iam._error(400, "ValidationError", wrong, ns="sts")
            if seconds := _short(given.get("Policy", [""])[0]):
                body = re.sub(rb"DurationSeconds=\d+", b"DurationSeconds=%d" % seconds, body)
        return await original(method, path, headers, body, query)

    return handle


def _too_long(given: dict[str, Any], headers: dict[str, str], query: dict[str, Any]) -> str | None:
    seconds = int(given.get("DurationSeconds", [CHAINED_SECONDS])[0])
    if seconds < SHORTEST_SECONDS:
        return f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to {SHORTEST_SECONDS}"
    caller = sts._caller_identity(headers, query)
    if isinstance(caller, dict) and caller.get("isTemporary") and seconds > CHAINED_SECONDS:
        return "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    role = iam._roles.get(given.get("RoleArn", [""])[0].rsplit("/", 1)[-1])
    if role and seconds > role["MaxSessionDuration"]:
        return "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    return None


def metadata_answers(account: str, instance: str) -> bool:
    with MOTO_LOCK:
        found = ec2_backends[account][REGION].get_instance(instance)
        return bool(found.state == "running" and found.metadata_options.http_endpoint != "disabled")


def of_agent(account: str, instance: str) -> str:
    """The access key of the session that the instance's agent uses: it asks metadata once for each role."""
    role = _role_of(account, instance)
    with _lock:
        key = _of_agents.get((account, instance, role["Arn"]))
    if key is None:
        key = of_instance(account, instance)["accessKeyId"]
        with _lock:
            _of_agents[account, instance, role["Arn"]] = key
    return key


def of_instance(account: str, instance: str) -> dict[str, str]:
    """What the instance's metadata hands out for its role: the session is named after the instance."""
    role = _role_of(account, instance)
    key, secret, token = sts._gen_session_access_key(), sts._gen_secret(), sts._gen_session_token()
    sts.register_session(key, {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role['RoleName']}/{instance}", "UserId": f"{role['RoleId']}:{instance}", "SecretAccessKey": secret,
        "SessionToken": token, "Expiration": time.time() + METADATA_SECONDS, "AccountId": account, "PrincipalType": "AssumedRole", "SourceAccessKeyId": "",
        "SourcePrincipalArn": "", "SessionTags": [], "SessionPolicies": None,
    })
    return {"accessKeyId": key, "secretAccessKey": secret, "sessionToken": token}


def _role_of(account: str, instance: str) -> dict[str, Any]:
    """The role that the instance's metadata has credentials for."""
    if not metadata_answers(account, instance):
        raise LookupError(f"the metadata of {instance} does not answer")
    with MOTO_LOCK:
        associated = [a for a in ec2_backends[account][REGION].iam_instance_profile_associations.values() if a.instance.id == instance]
        profile = associated[0].iam_instance_profile.name if associated else None
    responses.set_request_account_id(account)
    responses.set_request_region(REGION)
    names = iam._instance_profiles[profile]["Roles"] if profile else []
    if not names:
        raise LookupError(f"{instance} has no role")
    role = iam._roles[names[0]]
    if not _trusts_ec2(role):
        raise LookupError(f"the role {role['RoleName']} does not trust ec2.amazonaws.com")
    return dict(role)


def _trusts_ec2(role: dict[str, Any]) -> bool:
    trust = role["AssumeRolePolicyDocument"]
    trust = json.loads(trust) if isinstance(trust, str) else trust
    services = [statement.get("Principal", {}).get("Service", []) for statement in trust["Statement"] if statement["Effect"] == "Allow"]
    return any("ec2.amazonaws.com" in ([named] if isinstance(named, str) else named) for named in services)
