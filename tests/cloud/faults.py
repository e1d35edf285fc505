"""Faults by rule: an error before the effect, an error after it with the answer lost, a delay, or a call that is held."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

Response = tuple[int, dict[str, str], bytes]
KINDS = ("before", "after", "delay", "hold")


@dataclass
class Fault:
    """One rule. It applies `count` times (for ever below zero) after it was skipped `skip` times; with `each`, that is
    counted for each thing that is asked for by itself: each key, and each part of an upload. A call that is held goes on once
    the account's rules are replaced."""

    action: str
    kind: str
    code: str = "InternalError"
    status: int = 500
    message: str = "injected by the local cloud"
    count: int = 1
    skip: int = 0
    principal: str = ""
    function: str = ""
    seconds: float = 0.0
    each: bool = False
    seen: Counter[str] = field(default_factory=Counter, init=False)
    hits: int = field(default=0, init=False)
    gone: Future[None] = field(default_factory=Future, init=False)


_LOCK = threading.Lock()
_RULES: dict[str, list[Fault]] = {}


def set_for(account: str, rules: list[dict[str, Any]]) -> None:
    """Replaces the rules of an account. An unknown field or kind is an error: a mistyped rule would do nothing."""
    parsed = [Fault(**rule) for rule in rules]
    for rule in parsed:
        if rule.kind not in KINDS:
            raise ValueError(f"a fault's kind is one of {KINDS}, not {rule.kind!r}")
    with _LOCK:
        replaced, _RULES[account] = _RULES.get(account, []), parsed
    for rule in replaced:
        rule.gone.set_result(None)


def hits(account: str) -> list[int]:
    """How many calls each of the account's rules has hit so far, also those that it still holds."""
    with _LOCK:
        return [rule.hits for rule in _RULES.get(account, ())]


def take(account: str, action: str, who: str, what: str = "") -> Fault | None:
    """The rule that applies to this call for `what`, used up by one."""
    with _LOCK:
        for rule in _RULES.get(account, ()):
            if rule.action != action or rule.principal not in who or rule.function not in who:
                continue
            counted = what if rule.each else ""
            seen = rule.seen[counted]
            if rule.count >= 0 and seen >= rule.skip + rule.count:
                continue
            rule.seen[counted] += 1
            if seen >= rule.skip:
                rule.hits += 1
                return rule
    return None


def answer(service: str, headers: dict[str, str], fault: Fault) -> Response:
    """The error in the form in which `service` would send it."""
    code, message = escape(fault.code), escape(fault.message)
    if service == "guardduty":
        return fault.status, {"Content-Type": "application/json", "x-amzn-errortype": fault.code}, json.dumps({"message": fault.message}).encode()
    if headers.get("x-amz-target"):
        return fault.status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"__type": fault.code, "message": fault.message}).encode()
    if service == "ec2":
        body = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>injected</RequestID></Response>"
    elif service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>injected</RequestId></Error>"
    else:
        kind = "Receiver" if fault.status >= 500 else "Sender"
        body = f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>injected</RequestId></ErrorResponse>"
    return fault.status, {"Content-Type": "text/xml"}, body.encode()
