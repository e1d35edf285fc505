"""Faults by rule: an error before the effect, an error after it with the answer lost, or a delay."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

Response = tuple[int, dict[str, str], bytes]


@dataclass
class Fault:
    """One rule. It applies `count` times (for ever below zero) after it was skipped `skip` times."""

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


_LOCK = threading.Lock()
_RULES: dict[str, list[Fault]] = {}


def set_for(account: str, rules: list[dict[str, Any]]) -> None:
    """Replaces the rules of an account. An unknown field or kind is an error: a mistyped rule would do nothing."""
    parsed = [Fault(**rule) for rule in rules]
    for rule in parsed:
        if rule.kind not in ("before", "after", "delay"):
            raise ValueError(f"a fault's kind is before, after or delay, not {rule.kind!r}")
    with _LOCK:
        _RULES[account] = parsed


def take(account: str, action: str, who: str) -> Fault | None:
    """The rule that applies to this call, used up by one."""
    with _LOCK:
        for rule in _RULES.get(account, ()):
            if rule.count == 0 or rule.action != action or rule.principal not in who or rule.function not in who:
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            rule.count -= 1
            return rule
    return None


def answer(service: str, headers: dict[str, str], fault: Fault) -> Response:
    """The error in the form in which `service` would send it."""
    code, message = escape(fault.code), escape(fault.message)
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
