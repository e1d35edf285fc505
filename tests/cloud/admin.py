"""The cloud's own interface, `/_cordon/…` on the same port: accounts, faults, calls, events, notices, targets and what is
inside of them. Its answers are JSON, but for the scripts that it hands to an agent outside."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import ministack.app as app
import ministack.services.sns as sns
from ministack.core import responses

from . import agents, calls, console, faults, guardduty, people, sessions, snapshots, stepfunctions, targets, throttling
from .patching import replace

# The first account is the one of `cloud.json`; each further one is a world of its own.
FIRST_ACCOUNT = 123_456_789_012
_numbers = itertools.count(FIRST_ACCOUNT + 1)
_notices: dict[str, list[dict[str, Any]]] = {}
_lock = threading.Lock()


@dataclass
class Plain:
    """An answer that is text and not JSON; nothing at all where there is no text."""

    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Admin:
    """Answers the interface. `make_account` deploys the stack in an account and gives its description."""

    def __init__(self, endpoint: str, make_account: Callable[[str], dict[str, Any]]) -> None:
        self._endpoint = endpoint
        self._make_account = make_account

    def install(self) -> None:
        replace(app, "app", self._in_front)
        replace(sns, "_publish", _noted)

    def answer(self, path: str, query: dict[str, list[str]], content: bytes) -> Any:
        if path.startswith("agent/"):
            return _agent(path.removeprefix("agent/"), {name: values[0] for name, values in query.items()}, content)
        body = json.loads(content or b"{}")
        account = body.get("account") or (query.get("account") or [str(FIRST_ACCOUNT)])[0]
        match path:
            case "health":
                return {"status": "ok"}
            case "accounts":
                return self._make_account(str(FIRST_ACCOUNT if body.get("first") else next(_numbers)))
            case "faults":
                return faults.set_for(account, body["faults"]) if "faults" in body else faults.hits(account)
            case "buckets":
                return throttling.enforce(account, body["enforced"], body.get("sizes"))
            case "calls":
                return calls.of(account)
            case "notices":
                with _lock:
                    return list(_notices.get(account, []))
            case "event":
                return _send(account, body)
            case "snapshots":
                return snapshots.behave(account, body.get("seconds"), body.get("rules"), body.get("events", "once"), body.get("copies"))
            case "patience":
                return stepfunctions.wait_for_people(account, body.get("seconds"))
            case "person":
                return people.credentials(self._endpoint, account, body.get("user"), body.get("role"), body.get("session", "somebody"), body.get("everything", False))
            case "guest":
                return _guest(account, body)
            case "sessions":
                return sessions.shorten(account, body["of"], body["seconds"], body.get("count", 1))
            case "issued":
                return sessions.issued(account)
            case "console":
                return console.prints(account, body["instance"], body["prints"])
            case "guardduty":
                return _guardduty(account, body)
            case "credentials":
                return sessions.of_instance(account, body["instance"])
            case "targets":
                return {"instances": targets.many(self._endpoint, account, body["count"], body.get("tags"), body.get("interfaces", 1), body.get("key"), body.get("volumes", 1))}
        raise KeyError(f"there is no /_cordon/{path}")

    def _in_front(self, inner: Any) -> Any:
        async def front(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http" or not scope["path"].startswith("/_cordon/"):
                await inner(scope, receive, send)
                return
            content = b""
            while True:
                message = await receive()
                content += message.get("body", b"")
                if not message.get("more_body"):
                    break
            path, query = scope["path"].removeprefix("/_cordon/"), parse_qs(scope.get("query_string", b"").decode())
            try:
                # In a thread: what makes an account calls this very server.
                answer = await asyncio.to_thread(self.answer, path, query, content)
                if isinstance(answer, Plain):
                    status, payload, more = 204 if answer.text is None else 200, (answer.text or "").encode(), {"content-type": "text/plain; charset=utf-8", **answer.headers}
                else:
                    status, payload, more = 200, json.dumps(answer, default=str).encode(), {"content-type": "application/json"}
            except Exception as error:
                traceback.print_exc()
                status, payload, more = 400, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode(), {"content-type": "application/json"}
            headers = [(name.encode(), value.encode()) for name, value in {**more, "content-length": str(len(payload))}.items()]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": payload})

        return front


def _guest(account: str, body: dict[str, Any]) -> dict[str, Any]:
    """Sets how a guest behaves, if anything is said of it, and gives what is known of its last command."""
    agent = agents.of(account, body["instance"])
    behaviour = {name: value for name, value in body.items() if name not in ("account", "instance")}
    if behaviour:
        agent.behave(behaviour)
    return agent.last()


def _guardduty(account: str, body: dict[str, Any]) -> dict[str, Any]:
    """Lays findings down, and switches it off or on."""
    for finding in body.get("findings", []):
        guardduty.keep(account, finding)
    if "on" in body:
        guardduty.switch(account, body["on"])
    return {"detector": guardduty.detector(account)}


def _agent(path: str, query: dict[str, str], content: bytes) -> Plain:
    """For the agent of a machine that is not ours, such as a virtual one: its next command, and how the last one ended."""
    agent = agents.of(query.get("account", str(FIRST_ACCOUNT)), query["instance"])
    match path:
        case "next":
            order = agent.next()
            return Plain(order.script, {"x-cordon-command": order.command}) if order else Plain()
        case "done":
            agent.done(query["command"], int(query["code"]), content)
            return Plain()
    raise KeyError(f"there is no /_cordon/agent/{path}")


def _send(account: str, body: dict[str, Any]) -> Any:
    """Sends an event as AWS would: PutEvents itself refuses sources that begin with `aws.`."""
    from ministack.services import eventbridge

    if body["source"] == "aws.guardduty":
        guardduty.keep(account, body["detail"])
    responses.set_request_account_id(account)
    responses.set_request_region("us-east-1")
    entry = {"Source": body["source"], "DetailType": body["detailType"], "Detail": json.dumps(body["detail"]), "Resources": body.get("resources", [])}
    return json.loads(eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)[2])


def _noted(original: Any) -> Any:
    """Keeps what was published, as a subscriber would get it."""

    def publish(params: dict[str, Any], *rest: Any) -> Any:
        answer = original(params, *rest)
        if answer[0] < 300:

            def one(name: str) -> str | None:
                value = params.get(name)
                return value[0] if isinstance(value, list) else value

            with _lock:
                notice = {"subject": one("Subject"), "message": one("Message"), "structure": one("MessageStructure")}
                _notices.setdefault(responses.get_account_id(), []).append(notice)
        return answer

    return publish
