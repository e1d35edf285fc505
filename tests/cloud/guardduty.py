"""GuardDuty as far as anybody reads it here: one detector in each account, and the findings that were sent as events or laid
down. moto has detectors and no findings."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

from ministack.core import responses

from .faults import Response

# What a finding can be looked for by, here.
CRITERIA = ("resource.instanceDetails.instanceId", "type", "id", "service.archived")
MOST = 50

_LOCK = threading.Lock()
_FINDINGS: dict[str, dict[str, dict[str, Any]]] = {}
# The accounts in which it is switched off.
_OFF: set[str] = set()


def detector(account: str) -> str:
    """Made from the account, so that it needs no memory."""
    return f"{int(account):032x}"


def keep(account: str, finding: Any) -> None:
    """Lays a finding down; one of the same id is replaced, as GuardDuty updates it. What has no id can be sent, and nobody can ask for it."""
    if not isinstance(finding, dict) or not isinstance(finding.get("id"), str):
        return
    with _LOCK:
        _FINDINGS.setdefault(account, {})[finding["id"]] = finding


def switch(account: str, on: bool) -> None:
    with _LOCK:
        (_OFF.discard if on else _OFF.add)(account)


async def handle(method: str, path: str, _headers: dict[str, str], body: bytes, _query: dict[str, Any]) -> Response:
    account = responses.get_account_id()
    if (method, path.rstrip("/")) == ("GET", "/detector"):
        return _answer({"detectorIds": [] if account in _OFF else [detector(account)]})
    found = re.fullmatch(r"/detector/([^/]+)/findings(/get)?", path)
    if method != "POST" or not found:
        return _refused("BadRequestException", f"the local cloud's GuardDuty does not know {method} {path}")
    if found[1] != detector(account) or account in _OFF:
        return _refused("BadRequestException", "The request is rejected because the input detectorId is not owned by the current account.")
    given = json.loads(body or b"{}")
    return _get(account, given) if found[2] else _list(account, given)


def _list(account: str, given: dict[str, Any]) -> Response:
    criteria = (given.get("findingCriteria") or {}).get("criterion") or {}
    most, token = given.get("maxResults", MOST), given.get("nextToken") or "0"
    if unknown := set(criteria) - set(CRITERIA):
        return _refused("BadRequestException", f"The request is rejected because {sorted(unknown)} is no filter criterion here.")
    if not 1 <= most <= MOST or not token.isdigit():
        return _refused("BadRequestException", "The request is rejected because a parameter is out of range.")
    with _LOCK:
        found = [identifier for identifier, finding in _FINDINGS.get(account, {}).items() if all(_meets(finding, field, condition) for field, condition in criteria.items())]
    first = int(token)
    page = {"findingIds": found[first : first + most], "nextToken": str(first + most) if len(found) > first + most else ""}
    return _answer(page)


def _meets(finding: dict[str, Any], field: str, condition: dict[str, Any]) -> bool:
    value: Any = finding
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    wanted = condition.get("equals") or condition.get("eq") or []
    return str(value).lower() in {str(one).lower() for one in wanted}


def _get(account: str, given: dict[str, Any]) -> Response:
    wanted = given.get("findingIds") or []
    if not 1 <= len(wanted) <= MOST:
        return _refused("BadRequestException", "The request is rejected because findingIds has none or too many.")
    with _LOCK:
        known = _FINDINGS.get(account, {})
        return _answer({"findings": [known[identifier] for identifier in wanted if identifier in known]})


def _answer(content: dict[str, Any]) -> Response:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _refused(code: str, message: str) -> Response:
    return 400, {"Content-Type": "application/json", "x-amzn-errortype": code}, json.dumps({"__type": "InvalidInputException", "message": message}).encode()
