"""The Systems Manager agent of each instance: takes a command, has its guest run it, and reports, or fails to.

Also what a test may want a target to do to its own capture: to die, to lose its agent, to lie."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any

from moto.ec2 import ec2_backends

from . import iam, network, sessions
from .deploy import REGION
from .guest import Guest
from .joint import MOTO_LOCK

KINDS = ("online", "slow", "lost", "absent", "external")
LIES = {"result", "part"}
# What the agent's role must allow, or Systems Manager does not hear of it: what it takes to be known, and to take a command [facts 29, 31].
NEEDS = ("ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel")
# How long a command is on its way, and how often an agent that cannot reach its service tries again, in seconds.
ON_ITS_WAY = 0.05
AGAIN = 0.1
_OF_A_CASE = re.compile(r"/[^/]+/(?:cases|work)/(i-[0-9a-f]+)-[0-9a-f]{12}/memory/([^/]+)")
_RESULT = "result.json"
_IMAGE = "image.lime"


@dataclass
class Behaviour:
    """How an instance's agent and guest behave.

    `agent` is online; slow, which takes a command `seconds` after it was sent; lost, absent, or external: then the commands are
    handed out at `/_cordon/agent/next`. After `lostAfterParts` parts of the image the agent is lost and the guest stopped; after
    `killAfterParts` the guest is killed. `junkBytes` are printed before anything else. `lies` are told about the capture:
    `result` replaces fields of the collector's result, `part` spoils that part of the image. `timeScale` shortens time-outs.
    With `dhmc` the agent needs no role of the instance: Default Host Management Configuration gives it one that nobody denies [facts 32].
    """

    agent: str = "online"
    seconds: float = 0.0
    memoryMiB: int = 0
    lockdown: bool = False
    lostAfterParts: int = 0
    killAfterParts: int = 0
    junkBytes: int = 0
    lies: dict[str, Any] = field(default_factory=dict)
    timeScale: float = 1.0
    dhmc: bool = False


class Order:
    """One command for one instance, and what becomes of it."""

    def __init__(self, command: str, instance: str, script: str, delivery_seconds: float, execution_seconds: float) -> None:
        self.command, self.instance, self.script = command, instance, script
        self.delivery_seconds, self.execution_seconds = delivery_seconds, execution_seconds
        self.status = self.details = "Pending"
        self.code = -1
        self.output = self.errors = ""
        self.sent = time.time()
        self.began: float | None = None
        self.over = threading.Event()
        self.ended: float | None = None
        self._lock = threading.Lock()

    def begin(self) -> bool:
        with self._lock:
            if self.over.is_set():
                return False
            self.status = self.details = "InProgress"
            self.began = time.time()
            return True

    def note(self, status: str, details: str) -> None:
        with self._lock:
            if not self.over.is_set():
                self.status, self.details = status, details

    def end(self, status: str, details: str | None = None, code: int = -1, output: bytes = b"", errors: bytes = b"") -> None:
        with self._lock:
            if self.over.is_set():
                return
            self.status, self.details, self.code, self.ended = status, details or status, code, time.time()
            if status in ("Success", "Failed"):  # Systems Manager shows no output of what did not end by itself
                self.output, self.errors = output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")
            self.over.set()


class Agent:
    """The agent of one instance. What is said of its last command is kept until the next."""

    def __init__(self, account: str, instance: str) -> None:
        self.account, self.instance = account, instance
        self.behaviour = Behaviour(memoryMiB=_default_mebibytes)
        self._lost = False
        self._guest: Guest | None = None
        self._order: Order | None = None
        self._accepted: set[int] = set()
        self._waiting: deque[Order] = deque()
        self._lock = threading.RLock()

    def behave(self, given: dict[str, Any]) -> None:
        """Replaces the behaviour. An unknown field is an error: a mistyped one would do nothing."""
        if unknown := set(given) - {known.name for known in fields(Behaviour)}:
            raise ValueError(f"a guest has {[known.name for known in fields(Behaviour)]}, not {sorted(unknown)}")
        behaviour = Behaviour(**{"memoryMiB": _default_mebibytes, **given})
        if behaviour.agent not in KINDS:
            raise ValueError(f"an agent is one of {KINDS}, not {behaviour.agent!r}")
        if unknown := set(behaviour.lies) - LIES:
            raise ValueError(f"a guest lies about {sorted(LIES)}, not {sorted(unknown)}")
        with self._lock:
            self.behaviour, self._lost, self._accepted = behaviour, False, set()

    def ping(self) -> str | None:
        """`Online` or `ConnectionLost`; nothing where there is no agent, no running instance, or no role for the agent.

        On AWS an agent goes on for some hours with what metadata gave it before it was switched off; here it is lost at once."""
        if self.behaviour.agent == "absent" or not _runs(self.account, self.instance):
            return None
        lost = self._lost or self.behaviour.agent == "lost" or not sessions.metadata_answers(self.account, self.instance)
        if not lost and not self.behaviour.dhmc:
            try:
                key = sessions.of_agent(self.account, self.instance)
            except LookupError:
                # Without a role it could never register.
                return None
            itself = f"arn:aws:ec2:{REGION}:{self.account}:instance/{self.instance}"
            lost = not all(iam.session_may(key, self.account, action, itself if action.startswith("ssm:") else "*") for action in NEEDS)
        return "ConnectionLost" if lost or not network.reaches_systems_manager(self.account, self.instance) else "Online"

    def take(self, order: Order) -> None:
        threading.Thread(target=self._work, args=(order,), daemon=True).start()

    def cancel(self, order: Order) -> None:
        """Ends the order: at once while nobody has it, else when the agent has heard of it."""
        if order.began is None or order not in (self._order, *self._waiting):
            order.end("Cancelled")
            return
        order.note("Cancelling", "Cancelling")
        threading.Thread(target=self._tell_of_the_end, args=(order,), daemon=True).start()

    def next(self) -> Order | None:
        """The next command of an external agent."""
        with self._lock:
            while self._waiting:
                order = self._waiting.popleft()
                if not order.over.is_set():
                    self._order = order
                    return order
            return None

    def done(self, command: str, code: int, output: bytes) -> None:
        """What an external agent says of the command that it took."""
        order = self._order
        if order is None or order.command != command:
            raise KeyError(f"{self.instance} has not taken {command}")
        order.end("Success" if code == 0 else "Failed", code=code, output=output)

    def last(self) -> dict[str, Any]:
        """Everything of its last command that somebody on the instance could see."""
        with self._lock:
            order, guest = self._order, self._guest
            if order is None:
                return {}
            seen = {"command": order.command, "status": order.details, "code": order.code, "script": order.script, "parts": sorted(self._accepted)}
            if guest is None:
                return {**seen, "output": order.output}
            output, errors = (content.decode("utf-8", "replace") for content in (guest.output, guest.errors))
            return {**seen, "environment": guest.environment, "files": guest.files(), "output": output, "errors": errors}

    def arriving(self, name: str, part: int, body: bytes) -> tuple[bytes, str | None]:
        """What arrives at S3 of what the guest sends: the lie for the truth, and why nothing arrives if nothing does."""
        behaviour = self.behaviour
        if not network.reaches_s3(self.account, self.instance):
            return body, f"no group, route and endpoint let {self.instance} out to S3"
        limit = behaviour.lostAfterParts or behaviour.killAfterParts
        if name == _IMAGE and limit and (part > limit or limit <= len(self._accepted)):
            return body, f"{self.instance} is about to lose its agent or its collector"
        if name == _RESULT and part and "result" in behaviour.lies:
            body = self._lied(body)
        if name == _IMAGE and part and part == behaviour.lies.get("part"):
            body = bytes(byte ^ 0xFF for byte in body[:64]) + body[64:]
        return body, None

    def accepted(self, name: str, part: int) -> None:
        """S3 has a part."""
        if name != _IMAGE:
            return
        with self._lock:
            self._accepted.add(part)
            limit = self.behaviour.lostAfterParts or self.behaviour.killAfterParts
            if not limit or not set(range(1, limit + 1)) <= self._accepted:
                return
            self._lost = bool(self.behaviour.lostAfterParts)
            if self._guest:
                threading.Thread(target=self._guest.kill, daemon=True).start()

    def _work(self, order: Order) -> None:
        time.sleep(ON_ITS_WAY + (self.behaviour.seconds if self.behaviour.agent == "slow" else 0))
        deadline = order.sent + order.delivery_seconds * self.behaviour.timeScale
        while not order.over.is_set() and self.ping() != "Online":
            order.note("Delayed", "Delayed")
            if time.time() > deadline:
                order.end("TimedOut", "DeliveryTimedOut")
            time.sleep(AGAIN)
        if order.over.is_set():
            # A machine made for it now would take the place of the one that a later command runs on.
            return
        seconds = order.execution_seconds * self.behaviour.timeScale
        if self.behaviour.agent == "external":
            with self._lock:
                self._waiting.append(order)
            if order.begin() and not order.over.wait(seconds):
                order.end("TimedOut", "ExecutionTimedOut")
            return
        guest = Guest(self.instance, self.behaviour.memoryMiB, self.behaviour.lockdown)
        with self._lock:
            before, self._guest, self._order, self._accepted = self._guest, guest, order, set()
        if before:
            before.remove()
        if not order.begin():
            return
        in_time = guest.run(order.script, seconds, self.behaviour.junkBytes)
        self._report(order, guest, in_time)

    def _report(self, order: Order, guest: Guest, in_time: bool) -> None:
        """Says how it ended, once there is a way to say it; never if the agent is lost."""
        while not order.over.is_set() and self.ping() != "Online":
            time.sleep(AGAIN)
        output = guest.output
        if "result" in self.behaviour.lies:
            *lines, last = output.rstrip(b"\n").split(b"\n")
            output = b"\n".join([*lines, self._lied(last)]) + b"\n"
        if order.status == "Cancelling":
            order.end("Cancelled")
        elif not in_time:
            order.end("TimedOut", "ExecutionTimedOut")
        elif guest.code == 0:
            order.end("Success", code=0, output=output, errors=guest.errors)
        else:
            code = 128 - guest.code if guest.code is not None and guest.code < 0 else guest.code or 1
            order.end("Failed", code=code, output=output, errors=guest.errors)

    def _tell_of_the_end(self, order: Order) -> None:
        while not order.over.is_set() and self.ping() != "Online":
            time.sleep(AGAIN)
        if self.behaviour.agent == "external":
            order.end("Cancelled")
        elif self._guest and self._order is order:
            self._guest.kill()

    def _lied(self, result: bytes) -> bytes:
        try:
            told = json.loads(result)
        except ValueError:
            return result
        return json.dumps({**told, **self.behaviour.lies["result"]}).encode() if isinstance(told, dict) else result


_default_mebibytes = 12
_agents: dict[tuple[str, str], Agent] = {}
_lock = threading.Lock()


def install(mebibytes: int) -> None:
    global _default_mebibytes
    _default_mebibytes = mebibytes


def of(account: str, instance: str) -> Agent:
    with _lock:
        return _agents.setdefault((account, instance), Agent(account, instance))


def behind(path: str, query: dict[str, Any]) -> tuple[Agent, str, int] | None:
    """Whose presigned request to S3 this is, which of its files it is for, and which part. Only guests use presigned URLs."""
    found = _OF_A_CASE.fullmatch(path) if "X-Amz-Signature" in query else None
    if not found:
        return None
    owners = [agent for (_, instance), agent in list(_agents.items()) if instance == found[1]]
    part = query.get("partNumber", ["0"])
    return (owners[0], found[2], int(part[0] if isinstance(part, list) else part)) if owners else None


def _runs(account: str, instance: str) -> bool:
    with MOTO_LOCK:
        reservations = ec2_backends[account][REGION].all_reservations()
        return any(found.id == instance and found.state == "running" for reservation in reservations for found in reservation.instances)
