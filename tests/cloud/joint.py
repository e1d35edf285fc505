"""Joins the emulators: moto answers for EC2, SSM, Auto Scaling, load balancers and the resolver behind ministack's own front, so that
signatures, accounts and IAM policies hold for those calls too. Every call passes here, is logged, and may be made to fail."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlencode

import ministack.app as app
from ministack.core import iam_actions, iam_evaluator, responses, router
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from . import calls, faults, guardduty, iam, throttling, trail
from .patching import replace, require

# Load balancers of both generations are one service here, as they share a host; moto tells them apart by the version of the API.
MOTO_SERVICES = ("ec2", "ssm", "autoscaling", "elasticloadbalancing", "route53resolver")

_moto = DomainDispatcherApplication(create_backend_app)
_pool = ThreadPoolExecutor(8)
# moto's backends are plain dictionaries: one request at a time.
MOTO_LOCK = threading.RLock()
_call: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("call", default=None)


# Whose presigned request this is, for which file, and which part of it; nobody's, mostly.
Guest = tuple[Any, str, int]


def install(behind: Callable[[str, dict[str, Any]], Guest | None]) -> None:
    """`behind` says which guest sends a request to S3, if one does."""
    handlers = require(app, "SERVICE_HANDLERS")
    for service in MOTO_SERVICES:
        handlers[service] = to_moto
    handlers["iam"] = _also_to_moto(handlers["iam"])
    handlers["cloudtrail"] = trail.handler(handlers["cloudtrail"])
    handlers["guardduty"] = guardduty.handle
    # What ministack does not serve it cannot check either: the names that IAM has for these services.
    for service in ("route53resolver", "guardduty"):
        require(iam_actions, "SERVICE_TO_IAM_NAMESPACE")[service] = service
        require(iam_actions, "_BOTOCORE_SERVICE_MAP")[service] = [service]
    for service, handler in list(handlers.items()):
        handlers[service] = _watched(service, handler)
    replace(app, "_dispatch_service_request", lambda dispatch: _logged(_from_guests(dispatch, behind)))


async def to_moto(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> faults.Response:
    # The header selects moto's account; the variable MOTO_ACCOUNT_ID would win over it and must not be set.
    headers = {**headers, "x-moto-account-id": responses.get_account_id()}
    loop = asyncio.get_running_loop()
    # With the context of the call, so that what moto does in its course knows the account and who calls.
    return await loop.run_in_executor(_pool, contextvars.copy_context().run, _wsgi, method, path, urlencode(query, doseq=True), headers, body)


def _wsgi(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> faults.Response:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False, "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        if key != "CONTENT_LENGTH":
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    started: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
        started.update(status=int(status.split()[0]), headers=headers)

    with MOTO_LOCK:
        answer = b"".join(_moto(environ, start_response))
    kept = {name: value for name, value in started["headers"] if name.lower() not in ("content-length", "connection")}
    return started["status"], kept, answer


def _also_to_moto(handler: Any) -> Any:
    """moto's EC2 looks instance profiles up in moto's IAM, so what makes roles and profiles goes to both."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> faults.Response:
        answer = await handler(method, path, headers, body, query)
        copied = (b"Action=CreateRole", b"Action=CreateInstanceProfile", b"Action=AddRoleToInstanceProfile")
        if answer[0] < 300 and any(action in body for action in copied):
            await to_moto(method, path, headers, body, query)
        return answer

    return handle


def _watched(service: str, handler: Any) -> Any:
    """Every call that reaches a service passes here, also those that the state machine makes by itself."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> faults.Response:
        began = time.time()
        action = _action(service, method, path, headers, body, query)
        principal, function = _principal(headers, query), _function(headers)
        fault = faults.take(responses.get_account_id(), action, f"{principal} {function or ''}", f"{path} {_part(query)}")
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        if fault and fault.kind == "hold":
            # Shielded: a caller that gives up must not let the others go.
            await asyncio.shield(asyncio.wrap_future(fault.gone))
        if fault and fault.kind == "before":
            answer = faults.answer(service, headers, fault)
        elif throttling.is_limited(service, action.split(":")[-1]) and _throttled(action, body, query):
            fault = _THROTTLED[service]
            answer = faults.answer(service, headers, fault)
        else:
            answer = await handler(method, path, headers, body, query)
            if fault and fault.kind == "after":
                answer = faults.answer(service, headers, fault)
        call = _call.get()
        if call is None:
            calls.record(began, service=service, action=action, principal=principal, app=function, status=answer[0], error=_error(answer),
                         fault=fault and fault.kind, reached=True, account=responses.get_account_id(), **trail.about(service, action, headers, body, answer))
        else:
            call.update(action=action, fault=fault and fault.kind)
        return answer

    return handle


_THROTTLED = {service: faults.Fault("", "throttled", *refusal) for service, refusal in throttling.REFUSALS.items()}


def _throttled(action: str, body: bytes, query: dict[str, Any]) -> bool:
    names = {*parse_qs(body.decode(errors="replace"), keep_blank_values=True), *query}
    return throttling.refuses(responses.get_account_id(), responses.get_region(), action.split(":")[-1], names)


def _from_guests(dispatch: Any, behind: Callable[[str, dict[str, Any]], Guest | None]) -> Any:
    """What a guest sends arrives only while its groups let it out, and as its behaviour has it."""

    async def sent(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str) -> faults.Response:
        guest = behind(path, query)
        if guest is None:
            return await dispatch(method, path, headers, body, query, request_id)
        agent, name, part = guest
        body, nowhere = agent.arriving(name, part, body)
        if nowhere:
            # Packets that go nowhere have no answer; what comes nearest is one that says to try again.
            return faults.answer("s3", headers, faults.Fault("", "before", code="NoWayOut", status=503, message=nowhere))
        answer = await dispatch(method, path, headers, body, query, request_id)
        if method == "PUT" and part and answer[0] == 200:
            agent.accepted(name, part)
        return answer

    return sent


def _logged(dispatch: Any) -> Any:
    """Logs every request, also those that IAM refuses before they reach a service."""

    async def logged(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str) -> faults.Response:
        began, call = time.time(), {}
        routing = app._routing_params(method, path, headers, body, query)
        service = router.detect_service(method, path, headers, routing)
        token = _call.set(call)
        iam.remember(service, headers, body, routing)
        try:
            answer = await dispatch(method, path, headers, body, query, request_id)
        finally:
            _call.reset(token)
        action = call.get("action") or _action(service, method, path, headers, body, query)
        calls.record(began, service=service, action=action, principal=_principal(headers, query), app=_function(headers), status=answer[0],
                     error=_error(answer), fault=call.get("fault"), reached=bool(call), account=responses.get_account_id(), key=path if service == "s3" else None,
                     about="tracking" if b"ConnectionTrackingSpecification" in body else None, accessKey=router.extract_access_key_id(headers, query),
                     agent=headers.get("user-agent", "")[:200], request=body.decode("utf-8", "replace") if service == "ssm" else None, **trail.about(service, action, headers, body, answer))
        return answer

    return logged


def _part(query: dict[str, Any]) -> str:
    given = query.get("partNumber", "")
    return str(given[0] if isinstance(given, list) else given)


def _action(service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> str:
    try:
        routing = app._routing_params(method, path, headers, body, query)
        return iam_actions.extract_iam_action(service, method, path, headers, body, routing) or f"{service}:Unknown"
    except Exception:  # the log must never make a call fail
        return f"{service}:Unknown"


def _principal(headers: dict[str, str], query: dict[str, Any]) -> str:
    try:
        identity = iam_evaluator.resolve_caller_identity(router.extract_access_key_id(headers, query))
        return (identity or {}).get("userArn", "unknown")
    except Exception:  # as above
        return "unknown"


def _function(headers: dict[str, str]) -> str | None:
    """The function that called: each has AWS_SDK_UA_APP_ID set, which the SDK puts into its user agent."""
    agent = f"{headers.get('x-amz-user-agent', '')} {headers.get('user-agent', '')}"
    return next((word[4:] for word in agent.split() if word.startswith("app/")), None)


def _error(answer: faults.Response) -> str | None:
    if answer[0] < 400:
        return None
    body = answer[2] if isinstance(answer[2], bytes) else str(answer[2]).encode()
    found = re.search(rb"<Code>([^<]+)</Code>", body)
    if found:
        return found[1].decode()
    try:
        return str(json.loads(body).get("__type", ""))
    except (ValueError, AttributeError):
        return None
