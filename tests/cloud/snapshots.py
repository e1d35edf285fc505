"""Snapshots that take time, fail, belong to a set, can be locked, and say when they have ended, as EBS does [facts 67]. moto
completes them at once, knows no locks and sends no events."""

from __future__ import annotations

import contextvars
import datetime
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ministack.core import responses
from moto.core.responses import ActionResult
from moto.ec2 import ec2_backends
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot
from moto.ec2.responses import EC2Response

from .patching import add, replace, require


@dataclass
class Rules:
    """How the snapshots of an account behave."""

    seconds: float = 0.3
    rules: list[dict[str, Any]] = field(default_factory=list)
    # How many copies may be pending at a time [facts 68].
    copies: int = 20
    # What becomes of the events: they are sent `once`, `twice`, or are `lost`, or come `early`, before EC2 shows what they say.
    events: str = "once"


@dataclass
class Copied:
    """What a copy is a copy of: the snapshot, and the volume that its data came from, if that is known. `failure` says why it
    ends in error, whatever the rules say; `same_key` whether source and copy have the same key, or both have none."""

    source: str
    region: str
    volume: str | None
    failure: str | None
    same_key: bool


EVENTS = ("once", "twice", "lost", "early")
RULE = {"volume", "outcome", "seconds", "copy", "message"}


_RULES: dict[str, Rules] = {}
DEFAULT = Rules()


def install(seconds: float) -> None:
    DEFAULT.seconds = seconds
    # moto sets `status` when it makes a snapshot: that moment is when ours begins.
    Snapshot.status = property(_status, _begin)
    Snapshot.state = property(_status)
    Snapshot.progress = property(lambda self: f"{_percent(self)}%")
    add(Snapshot, "state_message", property(_message))
    # Set on copies alone.
    add(Snapshot, "copied", None)
    replace(EBSBackend, "create_snapshot", _by_itself)
    replace(EBSBackend, "create_snapshots", _as_a_set)
    replace(EBSBackend, "delete_snapshot", _not_while_locked)
    add(EC2Response, "lock_snapshot", lock_snapshot)
    add(EC2Response, "describe_locked_snapshots", describe_locked_snapshots)


def behave(account: str, seconds: float | None = None, rules: list[dict[str, Any]] | None = None, events: str = "once", copies: int | None = None) -> None:
    """Sets how snapshots of `account` behave from now on, also those that are under way. The first rule that fits is followed. One
    with `copy` is for copies and goes by the volume of the original snapshot; one without is for snapshots of volumes."""
    if events not in EVENTS:
        raise ValueError(f"events are sent {', '.join(EVENTS)}, not {events}")
    for rule in rules or []:
        if unknown := set(rule) - RULE:
            raise ValueError(f"a snapshot rule has {sorted(RULE)}, not {sorted(unknown)}")
        if not isinstance(rule.get("copy", False), bool):
            raise ValueError(f"`copy` of a snapshot rule is true or false, not {rule['copy']!r}")
    if copies is not None and (not isinstance(copies, int) or copies < 0):
        raise ValueError(f"`copies` is how many copies may be pending, not {copies!r}")
    _RULES[account] = Rules(DEFAULT.seconds if seconds is None else seconds, rules or [], DEFAULT.copies if copies is None else copies, events)


def copies_at_a_time(account: str) -> int:
    return _RULES.get(account, DEFAULT).copies


def is_copy(snapshot: Any) -> bool:
    return snapshot.copied is not None


def original_volume(snapshot: Any) -> str | None:
    """The id of the volume that the data came from, also of a copy's copy."""
    return snapshot.copied.volume if is_copy(snapshot) else snapshot.volume.id


def _begin(snapshot: Any, _status: str) -> None:
    snapshot.__dict__.setdefault("begun", time.time())


def _rule_of(snapshot: Any) -> dict[str, Any]:
    rules = _RULES.get(snapshot.owner_id, DEFAULT).rules
    fits = (rule for rule in rules if rule.get("copy", False) == is_copy(snapshot) and rule.get("volume") in (None, original_volume(snapshot)))
    return next(fits, {})


def _rule(snapshot: Any) -> tuple[float, str]:
    rule = _rule_of(snapshot)
    failed = is_copy(snapshot) and snapshot.copied.failure
    return rule.get("seconds", _RULES.get(snapshot.owner_id, DEFAULT).seconds), "error" if failed else rule.get("outcome", "completed")


def _outcome(snapshot: Any) -> str:
    seconds, outcome = _rule(snapshot)
    age = time.time() - snapshot.__dict__.setdefault("begun", time.time())
    return outcome if age >= seconds else "pending"


def _status(snapshot: Any) -> str:
    # One member in error puts the whole set in error.
    members = snapshot.__dict__.get("set", [snapshot])
    return "error" if any(_outcome(member) == "error" for member in members) else _outcome(snapshot)


def _message(snapshot: Any) -> str | None:
    """Why it is in error: AWS says so of copies, and of nothing else."""
    if not is_copy(snapshot) or _status(snapshot) != "error":
        return None
    return snapshot.copied.failure or _rule_of(snapshot).get("message")


def _percent(snapshot: Any) -> int:
    if _status(snapshot) == "completed":
        return 100
    seconds, _ = _rule(snapshot)
    age = time.time() - snapshot.__dict__.setdefault("begun", time.time())
    return min(99, int(100 * age / seconds)) if seconds else 0


# Whether a set is being taken: its members say nothing by themselves.
_taking_a_set: contextvars.ContextVar[bool] = contextvars.ContextVar("taking_a_set", default=False)


def _by_itself(original: Any) -> Any:
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        snapshot = original(self, *args, **kwargs)
        # moto forgets the key.
        snapshot.kms_key_id = snapshot.volume.kms_key_id if snapshot.encrypted else None
        # Those that come with moto's images are nobody's doing.
        if not _taking_a_set.get() and not kwargs.get("from_ami"):
            _tell_when_ended(self, "createSnapshot", [snapshot], f"arn:aws:ec2::{self.region_name}:volume/{snapshot.volume.id}")
        return snapshot

    return create


def _as_a_set(original: Any) -> Any:
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = _taking_a_set.set(True)
        try:
            snapshots = original(self, *args, **kwargs)
        finally:
            _taking_a_set.reset(before)
        for snapshot in snapshots:
            snapshot.__dict__["set"] = snapshots
        _tell_when_ended(self, "createSnapshots", snapshots)
        return snapshots

    return create


def tell_when_copied(backend: Any, copy: Any) -> None:
    _tell_when_ended(backend, "copySnapshot", [copy], f"arn:aws:ec2::{copy.copied.region}:snapshot/{copy.copied.source}")


def _tell_when_ended(backend: Any, what: str, snapshots: list[Any], source: str = "") -> None:
    """Sends the event that EBS sends when a snapshot, or every member of a set, is completed or in error."""
    account, region, began = backend.account_id, backend.region_name, _now()
    arn = lambda resource: f"arn:aws:ec2::{region}:{resource}"

    def event(status: Callable[[Any], str]) -> dict[str, Any]:
        failed = [snapshot for snapshot in snapshots if status(snapshot) == "error"]
        cause = _message(failed[0]) or f"Snapshot {failed[0].id} is in status error" if failed else ""
        about = {
            "event": what, "result": "failed" if failed else "succeeded", "cause": cause, "request-id": "",
            "startTime": began, "endTime": _now(),
        }
        if what == "createSnapshots":
            about["snapshots"] = [{"snapshot_id": arn(f"snapshot/{s.id}"), "source": arn(f"volume/{s.volume.id}"), "status": status(s)} for s in snapshots]
        else:
            about |= {"snapshot_id": arn(f"snapshot/{snapshots[0].id}"), "source": source}
        if what == "copySnapshot" and not failed:
            # Within a Region a copy is incremental unless it has another key.
            about |= {"incremental": str(snapshots[0].copied.same_key).lower(), "transferType": "standard"}
        kind = "EBS Multi-Volume Snapshots Completion Status" if what == "createSnapshots" else "EBS Snapshot Notification"
        return {"Source": "aws.ec2", "DetailType": kind, "Detail": json.dumps(about), "Resources": [arn(f"snapshot/{s.id}") for s in snapshots]}

    def send(entry: dict[str, Any]) -> None:
        _send(account, region, entry)

    def wait() -> None:
        told = False
        while any(_status(snapshot) == "pending" for snapshot in snapshots):
            if not told and _events(account) == "early" and all(_ends_soon(snapshot) for snapshot in snapshots):
                send(event(lambda _: "completed"))
                told = True
            time.sleep(0.05)
        # What somebody has deleted says nothing.
        if any(_status(snapshot) not in ("completed", "error") or snapshot.id not in backend.snapshots for snapshot in snapshots):
            return
        for _ in range({"once": 1, "twice": 2, "lost": 0, "early": 0}[_events(account)]):
            send(event(_status))

    threading.Thread(target=wait, daemon=True).start()


def tell_who_got_it(snapshot: Any, account: str, region: str) -> None:
    """Sends the event that EBS sends to an account with which a snapshot is shared."""
    arn, now = f"arn:aws:ec2::{region}:snapshot/{snapshot.id}", _now()
    about = {"event": "shareSnapshot", "result": "succeeded", "cause": "", "request-id": "", "snapshot_id": arn, "source": snapshot.owner_id, "startTime": now, "endTime": now}
    entry = {"Source": "aws.ec2", "DetailType": "EBS Snapshot Notification", "Detail": json.dumps(about), "Resources": [arn]}
    threading.Thread(target=_send, args=(account, region, entry), daemon=True).start()


def _send(account: str, region: str, entry: dict[str, Any]) -> None:
    from ministack.services import eventbridge

    responses.set_request_account_id(account)
    responses.set_request_region(region)
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _events(account: str) -> str:
    return _RULES.get(account, DEFAULT).events


def _ends_soon(snapshot: Any) -> bool:
    """Whether it ends within a second."""
    seconds, _ = _rule(snapshot)
    return _status(snapshot) == "completed" or time.time() - snapshot.__dict__["begun"] > seconds - 1


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _not_while_locked(original: Any) -> Any:
    def delete(self: Any, snapshot_id: str) -> Any:
        if snapshot_id in self.snapshots and _lock(self.snapshots[snapshot_id]):
            raise EC2ClientError("SnapshotLocked", f"The snapshot '{snapshot_id}' is locked and cannot be deleted")
        return original(self, snapshot_id)

    return delete


def lock_snapshot(self: Any) -> ActionResult:
    snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
    mode, days = self._get_param("LockMode"), int(self._get_param("LockDuration") or 0)
    if mode not in ("governance", "compliance") or not 1 <= days <= 36500:
        raise EC2ClientError("InvalidParameterValue", "LockMode is governance or compliance, and LockDuration 1 to 36500")
    if _status(snapshot) == "error":
        raise EC2ClientError("IncorrectState", f"Snapshot is in invalid state - {_status(snapshot)}")
    locked = _lock(snapshot)
    if locked and locked["LockState"].startswith("compliance") and days < locked["LockDuration"]:
        raise EC2ClientError("SnapshotLocked", "A lock in compliance mode cannot be shortened")
    now = datetime.datetime.now(datetime.timezone.utc)
    snapshot.lock = {"OwnerId": snapshot.owner_id, "SnapshotId": snapshot.id, "LockState": mode, "LockDuration": days, "LockCreatedOn": now}
    return ActionResult(_lock(snapshot))


def _lock(snapshot: Any) -> dict[str, Any] | None:
    """A lock as it is now: it lasts from when its snapshot is completed, and is cancelled where that fails [facts 69]."""
    lock: dict[str, Any] | None = getattr(snapshot, "lock", None)
    state = _status(snapshot)
    if lock is None or state != "completed":
        return None if state == "error" else lock
    completed = datetime.datetime.fromtimestamp(snapshot.__dict__["begun"] + _rule(snapshot)[0], datetime.timezone.utc)
    since = max(completed, lock["LockCreatedOn"])
    return {**lock, "LockDurationStartTime": since, "LockExpiresOn": since + datetime.timedelta(days=lock["LockDuration"])}


def describe_locked_snapshots(self: Any) -> ActionResult:
    wanted = set(self._get_param("SnapshotIds") or self._get_param("SnapshotId") or [])
    backend = ec2_backends[self.current_account][self.region]
    locks = [_lock(snapshot) for snapshot in backend.snapshots.values() if not wanted or snapshot.id in wanted]
    return ActionResult({"Snapshots": [lock for lock in locks if lock]})
