"""Copies of snapshots, and whom snapshots are shared with, as EBS has it. moto copies whatever it is told to at once, and
shares everything with everybody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2 import ec2_backends
from moto.ec2.exceptions import EC2ClientError, InvalidParameterDependency
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot
from moto.ec2.responses import EC2Response
from moto.ec2.utils import generic_filter, random_snapshot_id

from . import keys, snapshots
from .patching import replace

# What stands for the volume of a copy: its id is arbitrary and good for nothing [EBS user guide, «Copy an Amazon EBS snapshot»].
NO_VOLUME = "vol-ffffffff"
NOT_ACCESSIBLE = "Given key ID is not accessible"
PERMISSION = "createVolumePermission"
# What one call may change.
MOST = 500


@dataclass
class NoVolume:
    id: str
    size: int


def install() -> None:
    replace(EC2Response, "copy_snapshot", lambda _original: copy_snapshot)
    replace(EC2Response, "modify_snapshot_attribute", lambda _original: modify_snapshot_attribute)
    replace(EC2Response, "describe_snapshot_attribute", lambda _original: describe_snapshot_attribute)
    replace(EBSBackend, "describe_snapshots", _with_what_is_shared)


def copy_snapshot(self: Any) -> ActionResult:
    """A copy is accepted whatever its source and its key are, and ends in error where one of them is no good: the state message
    says `Source snapshot is not found`, `Source snapshot is not complete` or `Given key ID is not accessible`. The first two are
    what people have seen (such as hashicorp/terraform-provider-aws pull request 3086, where it took minutes); the third is in the
    EBS user guide, and the API reference says that the key is looked at asynchronously."""
    source_id, source_region = self._get_param("SourceSnapshotId"), self._get_param("SourceRegion")
    for name, value in (("SourceSnapshotId", source_id), ("SourceRegion", source_region)):
        if not value:
            raise EC2ClientError("MissingParameter", f"The request must contain the parameter {name}")
    if not re.fullmatch(r"snap-[0-9a-f]{8}(?:[0-9a-f]{9})?", source_id):
        raise EC2ClientError("InvalidParameterValue", "The specified snapshotId is invalid")
    if source_region not in ec2_backends[self.current_account].regions:
        raise EC2ClientError("InvalidRegion", f"{source_region} is not a valid region name.")
    encrypted, key = self._get_bool_param("Encrypted", False), self._get_param("KmsKeyId")
    if key and not encrypted:
        raise InvalidParameterDependency("KmsKeyId", "Encrypted")
    tags = self._parse_tag_specification("snapshot").get("snapshot", {})
    self.error_on_dryrun()
    backend = self.ec2_backend
    _refuse_too_many(backend)
    source = _visible(backend.account_id, source_region, source_id)
    if (encrypted or (source and source.encrypted)) and not key:
        # Not the key of the source: that of the account.
        key = keys.default(backend)
    copy = Snapshot(
        backend, random_snapshot_id(), volume=NoVolume(NO_VOLUME, source.volume.size if source else 0), description=self._get_param("Description") or "",
        encrypted=bool(key), kms_key_id=(keys.find(key) or {}).get("Arn", key),
    )
    failure = _failure(source, copy.kms_key_id)
    copy.copied = snapshots.Copied(source_id, source_region, snapshots.original_volume(source) if source else None, failure, bool(source and source.kms_key_id == copy.kms_key_id))
    copy.add_tags(tags)
    backend.snapshots[copy.id] = copy
    snapshots.tell_when_copied(backend, copy)
    return ActionResult({"SnapshotId": copy.id, "Tags": copy.tag_set})


def _visible(account: str, region: str, identifier: str) -> Any:
    """A snapshot of this account, or one that is shared with it."""
    if own := ec2_backends[account][region].snapshots.get(identifier):
        return own
    # Not by asking for the Region, which would make one.
    backends = [dict.get(regions, region) for owner, regions in list(ec2_backends.items()) if owner != account]
    others = (backend.snapshots.get(identifier) for backend in backends if backend)
    return next((snapshot for snapshot in others if snapshot and _is_shared_with(snapshot, account)), None)


def _is_shared_with(snapshot: Any, account: str) -> bool:
    return account in snapshot.create_volume_permission_userids or "all" in snapshot.create_volume_permission_groups


def _with_what_is_shared(original: Any) -> Any:
    """Whoever asks for a snapshot by its id sees it also where it is only shared with them."""

    def describe(self: Any, snapshot_ids: list[str] | None = None, filters: Any = None) -> Any:
        known = [_visible(self.account_id, self.region_name, identifier) for identifier in snapshot_ids or []]
        others = [snapshot for snapshot in known if snapshot and snapshot.owner_id != self.account_id]
        if not others:
            return original(self, snapshot_ids, filters)
        own = [identifier for identifier in snapshot_ids or [] if identifier not in {snapshot.id for snapshot in others}]
        return [*(original(self, own, filters) if own else []), *(generic_filter(filters, others) if filters else others)]

    return describe


def _refuse_too_many(backend: Any) -> None:
    """20 at a time in a destination Region [facts 68]; the message is that of aws-samples/copy-encrypted-ami issue 3, from when
    there were 5."""
    most = snapshots.copies_at_a_time(backend.account_id)
    if sum(1 for snapshot in backend.snapshots.values() if snapshots.is_copy(snapshot) and snapshot.status == "pending") >= most:
        raise EC2ClientError("ResourceLimitExceeded", f"Too many snapshot copies in progress. The limit is {most} for this destination region.")


def _failure(source: Any, key: str | None) -> str | None:
    """Why a copy ends in error, if it does."""
    if source is None:
        return "Source snapshot is not found"
    if source.status != "completed":
        return "Source snapshot is not complete"
    used = [name for name in (source.kms_key_id, key) if name]
    return None if all(keys.is_usable(name) for name in used) else NOT_ACCESSIBLE


def modify_snapshot_attribute(self: Any) -> EmptyResult:
    """What is refused, and in which words, is the API reference's and the EBS user guide's («Share a snapshot»), and as seen: that
    of the default key in hashicorp/packer issue 7499, and that of a key that one may not look at in descriptions of AWS DRS. An
    account or a group that is none is refused as with the attributes of images, which is not documented for snapshots. Whether AWS shares a snapshot that is pending is not documented: here it does not, which is the stricter of the two."""
    added, items = _change(self)
    snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
    users, groups = [item["UserId"] for item in items if "UserId" in item], [item["Group"] for item in items if "Group" in item]
    if len(users) + len(groups) > MOST:
        raise EC2ClientError("InvalidParameterValue", f"Modification size must not be greater than {MOST}.")
    for user in users:
        if not re.fullmatch(r"[0-9]{12}", user):
            raise EC2ClientError("InvalidAMIAttributeItemValue", f"UserId {user}")
    if set(groups) - {"all"}:
        raise EC2ClientError("InvalidAMIAttributeItemValue", f"UserGroup {groups[0]}")
    self.error_on_dryrun()
    if added:
        _refuse_to_share(snapshot, users, groups)
        snapshot.create_volume_permission_groups |= set(groups)
        # Its owner has it anyhow.
        new = set(users) - {snapshot.owner_id} - snapshot.create_volume_permission_userids
        snapshot.create_volume_permission_userids |= new
        for account in sorted(new):
            snapshots.tell_who_got_it(snapshot, account, self.ec2_backend.region_name)
    else:
        snapshot.create_volume_permission_groups -= set(groups)
        snapshot.create_volume_permission_userids -= set(users)
    return EmptyResult()


def _refuse_to_share(snapshot: Any, users: list[str], groups: list[str]) -> None:
    if groups and snapshot.encrypted:
        raise EC2ClientError("OperationNotPermitted", "Encrypted snapshots cannot be shared publicly")
    if users and keys.is_managed_by_aws(snapshot.kms_key_id):
        raise EC2ClientError("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
    if users and snapshot.kms_key_id and not keys.may("kms:DescribeKey", snapshot.kms_key_id):
        raise EC2ClientError("AuthFailure", f"Not authorized to use key {snapshot.kms_key_id}")
    if snapshot.status != "completed":
        raise EC2ClientError("IncorrectState", f"Snapshot is in invalid state - {snapshot.status}")


def _change(self: Any) -> tuple[bool, list[dict[str, str]]]:
    """Whether something is added, and what: as a structure, or in the older way with an attribute and an operation."""
    given = self._get_param("CreateVolumePermission") or {}
    add, remove = given.get("Add") or [], given.get("Remove") or []
    if add and remove:
        raise EC2ClientError("InvalidParameterCombination", "One and only one operation type may be specified for createVolumePermissions")
    if add or remove:
        return bool(add), add or remove
    attribute, operation = self._get_param("Attribute"), self._get_param("OperationType")
    items = [{"UserId": user} for user in self._get_param("UserIds") or []] + [{"Group": group} for group in self._get_param("GroupNames") or []]
    if not attribute and not operation and not items:
        raise EC2ClientError("InvalidParameterCombination", "No attributes specified.")
    if not attribute:
        raise EC2ClientError("MissingParameter", "Value for parameter attribute is invalid. Parameter may not be null or empty.")
    if attribute != PERMISSION:
        raise EC2ClientError("InvalidParameterValue", "Unrecognized attribute.")
    if operation not in ("add", "remove"):
        raise EC2ClientError("InvalidParameterCombination", f"No operation specified for {PERMISSION} attribute.")
    return operation == "add", items


def describe_snapshot_attribute(self: Any) -> ActionResult:
    attribute = self._get_param("Attribute")
    if attribute not in (PERMISSION, "productCodes"):
        raise EC2ClientError("InvalidRequest", "The request received was invalid.")
    snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
    self.error_on_dryrun()
    if attribute == "productCodes":
        return ActionResult({"SnapshotId": snapshot.id, "ProductCodes": []})
    groups, users = sorted(snapshot.create_volume_permission_groups), sorted(snapshot.create_volume_permission_userids)
    return ActionResult({"SnapshotId": snapshot.id, "CreateVolumePermissions": [{"Group": group} for group in groups] + [{"UserId": user} for user in users]})
