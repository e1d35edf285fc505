"""What of the evidence is locked, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from account import Account

READERS = 16


@dataclass(frozen=True)
class Case:
    """One case file in the bucket."""

    name: str
    objects: int
    size: int
    # The latest date and the strictest mode; None where nothing of it is locked.
    locked_until: datetime | None
    mode: str


@dataclass(frozen=True)
class Snapshot:
    """One snapshot of a case."""

    name: str
    case: str
    # `unlocked` where it has no lock, `expired` where that has ended.
    state: str
    locked_until: datetime | None


def cases(account: Account, bucket: str) -> list[Case]:
    """Every case in the bucket, by name. Asks for the lock of each version: the latest one counts."""
    s3 = account("s3")
    versions: dict[str, list[dict[str, Any]]] = {}
    for version in _versions(s3, bucket):
        versions.setdefault(version["Key"].split("/")[1], []).append(version)
    with ThreadPoolExecutor(READERS) as pool:
        return [_case(name, of_case, list(pool.map(lambda version: _head(s3, bucket, version), of_case))) for name, of_case in sorted(versions.items())]


def _versions(s3: Any, bucket: str) -> Iterator[dict[str, Any]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix="cases/"):
        yield from page.get("Versions", [])


def _head(s3: Any, bucket: str, version: dict[str, Any]) -> dict[str, Any]:
    return s3.head_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


def _case(name: str, versions: list[dict[str, Any]], heads: list[dict[str, Any]]) -> Case:
    dates = [head["ObjectLockRetainUntilDate"] for head in heads if "ObjectLockRetainUntilDate" in head]
    modes = {head.get("ObjectLockMode") for head in heads}
    mode = "compliance" if "COMPLIANCE" in modes else "governance" if "GOVERNANCE" in modes else "not locked"
    return Case(name, len(versions), sum(version["Size"] for version in versions), max(dates, default=None), mode)


# The tags that say which case a snapshot is of, or which case's snapshot it is a copy of.
TAGS = ("cordon:case", "cordon:copy")


def snapshots(account: Account) -> list[Snapshot]:
    """Every snapshot of a case in this Region and every copy of one, whatever stack took it."""
    ec2 = account("ec2")
    pages = ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=[{"Name": "tag-key", "Values": list(TAGS)}])
    found = [snapshot for page in pages for snapshot in page["Snapshots"]]
    locks = _locks(ec2) if found else {}
    kept = []
    for snapshot in found:
        lock = locks.get(snapshot["SnapshotId"], {})
        case = next(tag["Value"] for tag in snapshot["Tags"] if tag["Key"] in TAGS)
        kept.append(Snapshot(snapshot["SnapshotId"], case, lock.get("LockState", "unlocked"), lock.get("LockExpiresOn")))
    return sorted(kept, key=lambda snapshot: (snapshot.case, snapshot.name))


def _locks(ec2: Any) -> dict[str, dict[str, Any]]:
    locks: dict[str, dict[str, Any]] = {}
    token: dict[str, str] = {}
    while True:
        page = ec2.describe_locked_snapshots(**token)
        locks |= {lock["SnapshotId"]: lock for lock in page.get("Snapshots", [])}
        if not page.get("NextToken"):
            return locks
        token = {"NextToken": page["NextToken"]}
