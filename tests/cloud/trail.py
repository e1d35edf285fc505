"""CloudTrail's event history: the management events among the calls that were made here, looked up as AWS has it.

ministack's own has no pages, knows no role's session, and takes several attributes at once. What AWS tells up to 15 minutes
late is here at once."""

from __future__ import annotations

import datetime
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core import responses

from . import calls
from .faults import Response

ATTRIBUTES = ("EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId")
MOST = 50
# What the event history does not have: data events, and what AWS does not log at all.
_DATA = {"lambda:Invoke", "lambda:InvokeFunction", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:HeadObject", "sns:Publish", "sqs:SendMessage", "sqs:ReceiveMessage"}
_OF_A_BUCKET = {"ListAllMyBuckets", "CreateBucket", "DeleteBucket"}
# Calls that IAM knows by another name than CloudTrail.
_NAMES = {"s3:ListAllMyBuckets": "ListBuckets"}
_KINDS = {"i": "AWS::EC2::Instance", "vol": "AWS::EC2::Volume", "eni": "AWS::EC2::NetworkInterface", "sg": "AWS::EC2::SecurityGroup", "snap": "AWS::EC2::Snapshot"}
_IDS = re.compile(rb"\b(?:i|vol|eni|sg|snap)-[0-9a-f]{8,17}\b")
# How much of a request or an answer is searched for what it is about.
_SEARCHED = 65_536


def handler(inner: Any) -> Any:
    """Answers lookups; everything else is ministack's."""
    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
        if not headers.get("x-amz-target", "").endswith(".LookupEvents"):
            return await inner(method, path, headers, body, query)
        return look_up(responses.get_account_id(), json.loads(body or b"{}"))

    return handle


def about(service: str, action: str, headers: dict[str, str], body: bytes, answer: Response) -> dict[str, Any]:
    """What the call log needs so that a call can be looked up: what it was about, and which execution it started."""
    if service == "s3" or _is_read(action):
        return {}
    found = set(_IDS.findall(body[:_SEARCHED]))
    content = answer[2] if isinstance(answer[2], bytes) else str(answer[2]).encode()
    # What is created has no id before its answer.
    if action.split(":")[-1].startswith(("Run", "Create", "Copy")):
        found |= set(_IDS.findall(content[:_SEARCHED]))
    known: dict[str, Any] = {"resources": sorted(identifier.decode() for identifier in found)} if found else {}
    if action == "states:StartExecution" and answer[0] == 200:
        known["started"] = json.loads(content).get("executionArn")
    return known


def look_up(account: str, given: dict[str, Any]) -> Response:
    attributes = given.get("LookupAttributes") or []
    if len(attributes) > 1 or any(attribute.get("AttributeKey") not in ATTRIBUTES for attribute in attributes):
        return _refused("InvalidLookupAttributesException", "You can specify only one lookup attribute, of those that there are.")
    most = given.get("MaxResults", MOST)
    if not 1 <= most <= MOST:
        return _refused("InvalidMaxResultsException", f"MaxResults is 1 to {MOST}.")
    begin, end = given.get("StartTime"), given.get("EndTime")
    if begin is not None and end is not None and begin > end:
        return _refused("InvalidTimeRangeException", "StartTime is after EndTime.")
    events = [event for event in _events(account) if _matches(event, attributes, begin, end)]
    token = given.get("NextToken", "0")
    # A token is good for the question that it was given for.
    asked = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([attributes, begin, end], sort_keys=True)).hex
    if token != "0" and not (token.endswith(asked) and token[: -len(asked)].isdigit()):
        return _refused("InvalidNextTokenException", "The token is none, or was given for another question.")
    first = 0 if token == "0" else int(token[: -len(asked)])
    page: dict[str, Any] = {"Events": events[first : first + most]}
    if len(events) > first + most:
        page["NextToken"] = f"{first + most}{asked}"
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(page).encode()


def _events(account: str) -> list[dict[str, Any]]:
    """The newest first."""
    logged = [(index, call) for index, call in enumerate(calls.of(account)) if _is_management(call)]
    return [_event(account, index, call) for index, call in reversed(logged)]


def _is_management(call: dict[str, Any]) -> bool:
    action = call.get("action") or ""
    name = action.split(":")[-1]
    return action not in _DATA and name != "Unknown" and (call["service"] != "s3" or name in _OF_A_BUCKET)


def _is_read(action: str) -> bool:
    return action.split(":")[-1].startswith(("Get", "List", "Describe", "Head", "Lookup"))


def _event(account: str, index: int, call: dict[str, Any]) -> dict[str, Any]:
    identifier, name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{account}/{index}")), _NAMES.get(call["action"], call["action"].split(":")[-1])
    identity, read = _identity(account, call), _is_read(call["action"])
    when = int(call["t"])
    record = {
        "eventVersion": "1.11", "userIdentity": identity, "eventTime": datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{call['service']}.amazonaws.com", "eventName": name, "awsRegion": "us-east-1", "sourceIPAddress": "127.0.0.1", "userAgent": call.get("agent") or "unknown",
        "requestParameters": None, "responseElements": {"executionArn": call["started"]} if call.get("started") else None,
        "eventID": identifier, "readOnly": read, "eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": account, "eventCategory": "Management",
        **({"errorCode": call["error"]} if call.get("error") else {}),
    }
    resources = [{"ResourceType": _KINDS[identifier.split("-")[0]], "ResourceName": identifier} for identifier in call.get("resources") or []]
    return {
        "EventId": identifier, "EventName": name, "ReadOnly": str(read).lower(), "AccessKeyId": call.get("accessKey") or "", "EventTime": when, "EventSource": record["eventSource"],
        "Username": identity["userName"], "Resources": resources, "CloudTrailEvent": json.dumps(record),
    }


def _identity(account: str, call: dict[str, Any]) -> dict[str, Any]:
    """Who called. The user name of a role's session is the session's."""
    arn = call.get("principal") or "unknown"
    kind = "AssumedRole" if ":assumed-role/" in arn else "IAMUser" if ":user/" in arn else "Root" if arn.endswith(":root") else "Unknown"
    return {"type": kind, "arn": arn, "accountId": account, "accessKeyId": call.get("accessKey") or "", "userName": arn.rsplit("/", 1)[-1].rsplit(":", 1)[-1]}


def _matches(event: dict[str, Any], attributes: list[dict[str, str]], begin: float | None, end: float | None) -> bool:
    if (begin is not None and event["EventTime"] < begin) or (end is not None and event["EventTime"] > end):
        return False
    tests: dict[str, Callable[[str], bool]] = {
        "ResourceName": lambda value: any(resource["ResourceName"] == value for resource in event["Resources"]),
        "ResourceType": lambda value: any(resource["ResourceType"] == value for resource in event["Resources"]),
    }
    return all(tests.get(key, lambda value, key=key: event[key] == value)(attribute["AttributeValue"]) for attribute in attributes for key in [attribute["AttributeKey"]])


def _refused(code: str, message: str) -> Response:
    return 400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"__type": code, "message": message}).encode()
