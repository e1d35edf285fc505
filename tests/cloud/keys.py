"""The keys of EBS: the one that AWS manages for an account, those that customers manage, and whether whoever calls may use one.

moto has keys that nobody else knows. Here they are those of KMS, which ministack has."""

from __future__ import annotations

import json
import re
from typing import Any

import ministack.core.iam_evaluator as evaluator
import ministack.services.kms as kms
from ministack.core import responses
from moto.ec2.models.elastic_block_store import EBSBackend

from . import iam
from .patching import replace, require

MANAGED = "alias/aws/ebs"
# What whoever copies an encrypted snapshot, or encrypts a copy, must be allowed to do with each of its keys [EBS user guide,
# «Permissions for copying encrypted snapshots», and «Requirements for Amazon EBS encryption»]. There ReEncrypt is one.
USE = ("kms:DescribeKey", "kms:CreateGrant", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:Decrypt")


def install() -> None:
    for name in ("_resolve_key", "_create_key", "_alias_arn", "_aliases", "_keys"):
        require(kms, name)
    replace(kms, "_key_metadata", _with_its_manager)
    replace(EBSBackend, "_create_default_encryption_key", _managed_by_aws)
    replace(EBSBackend, "modify_ebs_default_kms_key_id", _default_of_the_account)
    replace(EBSBackend, "create_volume", _with_a_key_of_kms)


_ARN = re.compile(r"arn:aws:kms:([^:]+):(\d{12}):key/(.+)")


def find(name: str | None) -> dict[str, Any] | None:
    """A key by id, alias or ARN: of the caller's account, unless its ARN has another."""
    found: dict[str, Any] | None = kms._resolve_key(name) if name else None
    if found is None and (there := _ARN.fullmatch(name or "")):
        found = kms._keys.get_scoped(there[2], there[1], there[3])
    return found


def is_managed_by_aws(name: str | None) -> bool:
    return bool((find(name) or {}).get("_managed_by_aws"))


def default(backend: Any) -> str:
    """The ARN of the key that EBS takes where none is named."""
    return str(backend.default_kms_key_id or backend._create_default_encryption_key())


def is_usable(name: str | None) -> bool:
    """Whether the key is one that EBS can use, and whoever calls may use all of it through EC2."""
    key = find(name)
    if key is None or key["KeyState"] != "Enabled" or (key["KeySpec"], key["KeyUsage"]) != ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"):
        return False
    return all(may(action, key["Arn"]) for action in USE)


def may(action: str, arn: str) -> bool:
    """Whether whoever calls may have EC2 do this with a key: policies see the service, and that a grant is for a resource of AWS."""
    context = {"kms:ViaService": f"ec2.{responses.get_region()}.amazonaws.com", "kms:CallerAccount": responses.get_account_id()}
    if action == "kms:CreateGrant":
        context["kms:GrantIsForAWSResource"] = "true"
    return iam.may(action, "kms", arn, context) and _is_let_in(action, arn, context)


def _is_let_in(action: str, arn: str, context: dict[str, str]) -> bool:
    """Whether the policy of another account's key lets whoever calls use it; ministack knows no other accounts' keys."""
    key, account = find(arn), responses.get_account_id()
    if key is None or key["Arn"].split(":")[4] == account:
        return True
    asked = evaluator.EvalContext(
        principal_arn=evaluator.caller_arn(), principal_type="", principal_account=account, action=action, resource_arn=arn, region=responses.get_region(),
        service_context={name.lower(): value for name, value in context.items()},
    )
    return bool(evaluator.evaluate_resource_policy(key["Policy"], asked).decision == "Allow")


def _policy() -> str:
    """As that of the key that AWS manages: everybody in the account may use it, through EC2 alone."""
    account, service = responses.get_account_id(), f"ec2.{responses.get_region()}.amazonaws.com"
    through = {"StringEquals": {"kms:ViaService": service, "kms:CallerAccount": account}}
    use = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey"]
    look = ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"]
    return json.dumps({"Version": "2012-10-17", "Id": "auto-ebs-2", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": use, "Resource": "*", "Condition": through},
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": look, "Resource": "*"},
    ]})


def _managed_by_aws(_original: Any) -> Any:
    """It is made when it is first needed."""

    def create(self: Any) -> str:
        key = find(MANAGED)
        if key is None:
            made = kms._create_key({"Description": "Default key that protects my EBS volumes when no other key is defined", "Policy": _policy()})
            key = kms._keys[json.loads(made[2])["KeyMetadata"]["KeyId"]]
            key["_managed_by_aws"] = True
            kms._aliases[kms._alias_arn(MANAGED)] = key["KeyId"]
        self.default_kms_key_id = key["Arn"]
        return str(key["Arn"])

    return create


def _with_its_manager(original: Any) -> Any:
    def metadata(key: Any) -> Any:
        return {**original(key), **({"KeyManager": "AWS"} if key.get("_managed_by_aws") else {})}

    return metadata


def _default_of_the_account(_original: Any) -> Any:
    def modify(self: Any, name: str) -> str:
        key = find(name)
        if name and key is None:
            raise ValueError(f"there is no key {name}")
        self.default_kms_key_id = key["Arn"] if key else self._create_default_encryption_key()
        return str(self.default_kms_key_id)

    return modify


def _with_a_key_of_kms(original: Any) -> Any:
    """A volume shows its key's ARN, however the key was named; and that of its snapshot, where it is made from an encrypted one."""

    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        volume = original(self, *args, **kwargs)
        if volume.encrypted and volume.snapshot_id and not volume.kms_key_id:
            volume.kms_key_id = self.snapshots[volume.snapshot_id].kms_key_id
        if key := find(volume.kms_key_id):
            volume.kms_key_id = key["Arn"]
        return volume

    return create
