"""Snapshots that take time, fail, belong to a set, and can be locked. moto completes them at once and knows no locks."""

from __future__ import annotations

import datetime
import json
import threading
import time
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


_RULES: dict[str, Rules] = {}
DEFAULT = Rules()


def install(seconds: float) -> None:
    DEFAULT.seconds = seconds
    # moto sets `status` when it makes a snapshot: that moment is when ours begins.
    require(EBSBackend, "create_snapshot")
    Snapshot.status = property(_status, _begin)
    Snapshot.state = property(_status)
    Snapshot.progress = property(lambda self: f"{_percent(self)}%")
    replace(EBSBackend, "create_snapshots", _as_a_set)
    replace(EBSBackend, "delete_snapshot", _not_while_locked)
    add(EC2Response, "lock_snapshot", lock_snapshot)
    add(EC2Response, "describe_locked_snapshots", describe_locked_snapshots)


def behave(account: str, seconds: float | None = None, rules: list[dict[str, Any]] | None = None) -> None:
    """Sets how snapshots of `account` behave from now on, also those that are under way."""
    known = {"volume", "outcome", "seconds"}
    for rule in rules or []:
        if unknown := set(rule) - known:
            raise ValueError(f"a snapshot rule has {sorted(known)}, not {sorted(unknown)}")
    _RULES[account] = Rules(DEFAULT.seconds if seconds is None else seconds, rules or [])


def _begin(snapshot: Any, _status: str) -> None:
    snapshot.__dict__.setdefault("begun", time.time())


def _rule(snapshot: Any) -> tuple[float, str]:
    behaviour = _RULES.get(snapshot.owner_id, DEFAULT)
    for rule in behaviour.rules:
        if rule.get("volume") in (None, snapshot.volume.id):
            return rule.get("seconds", behaviour.seconds), rule.get("outcome", "completed")
    return behaviour.seconds, "completed"


def _outcome(snapshot: Any) -> str:
    seconds, outcome = _rule(snapshot)
    age = time.time() - snapshot.__dict__.setdefault("begun", time.time())
    return outcome if age >= seconds else "pending"


def _status(snapshot: Any) -> str:
    # One member in error puts the whole set in error.
    members = snapshot.__dict__.get("set", [snapshot])
    return "error" if any(_outcome(member) == "error" for member in members) else _outcome(snapshot)


def _percent(snapshot: Any) -> int:
    if _status(snapshot) == "completed":
        return 100
    seconds, _ = _rule(snapshot)
    age = time.time() - snapshot.__dict__.setdefault("begun", time.time())
    return min(99, int(100 * age / seconds)) if seconds else 0


def _as_a_set(original: Any) -> Any:
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        snapshots = original(self, *args, **kwargs)
        for snapshot in snapshots:
            snapshot.__dict__["set"] = snapshots
        _tell_when_done(self.account_id, self.region_name, snapshots)
        return snapshots

    return create


def _tell_when_done(account: str, region: str, snapshots: list[Any]) -> None:
    """Sends the event that EBS sends when every member of a set has ended."""

    def wait() -> None:
        while any(_status(snapshot) == "pending" for snapshot in snapshots):
            time.sleep(0.05)
        from ministack.services import eventbridge

        responses.set_request_account_id(account)
        failed = any(_status(snapshot) == "error" for snapshot in snapshots)
        detail = {
            "event": "createSnapshots", "result": "failed" if failed else "succeeded", "cause": "",
            "snapshots": [{"snapshot_id": f"arn:aws:ec2::{region}:snapshot/{s.id}", "source": f"arn:aws:ec2::{region}:volume/{s.volume.id}", "status": _status(s)} for s in snapshots],
        }
        entry = {"Source": "aws.ec2", "DetailType": "EBS Multi-Volume Snapshots Completion Status", "Detail": json.dumps(detail)}
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    threading.Thread(target=wait, daemon=True).start()


def _not_while_locked(original: Any) -> Any:
    def delete(self: Any, snapshot_id: str) -> Any:
        if getattr(self.snapshots.get(snapshot_id), "lock", None):
            raise EC2ClientError("SnapshotLocked", f"The snapshot '{snapshot_id}' is locked and cannot be deleted")
        return original(self, snapshot_id)

    return delete


def lock_snapshot(self: Any) -> ActionResult:
    snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
    mode, days = self._get_param("LockMode"), int(self._get_param("LockDuration") or 0)
    if mode not in ("governance", "compliance") or not 1 <= days <= 36500:
        raise EC2ClientError("InvalidParameterValue", "LockMode is governance or compliance, and LockDuration 1 to 36500")
    locked = getattr(snapshot, "lock", None)
    if locked and locked["LockState"].startswith("compliance") and days < locked["LockDuration"]:
        raise EC2ClientError("SnapshotLocked", "A lock in compliance mode cannot be shortened")
    now = datetime.datetime.now(datetime.timezone.utc)
    snapshot.lock = {
        "OwnerId": snapshot.owner_id, "SnapshotId": snapshot.id, "LockState": mode, "LockDuration": days, "LockCreatedOn": now, "LockDurationStartTime": now,
        "LockExpiresOn": now + datetime.timedelta(days=days),
    }
    return ActionResult(snapshot.lock)


def describe_locked_snapshots(self: Any) -> ActionResult:
    wanted = set(self._get_param("SnapshotIds") or self._get_param("SnapshotId") or [])
    backend = ec2_backends[self.current_account][self.region]
    locks = [s.lock for s in backend.snapshots.values() if getattr(s, "lock", None) and (not wanted or s.id in wanted)]
    return ActionResult({"Snapshots": locks})
