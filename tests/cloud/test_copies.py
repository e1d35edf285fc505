"""Copying and sharing snapshots is as strict as on AWS: a copy takes time, may fail and says why, there are only so many at a
time, and whoever copies under a key must be allowed to use it."""

from __future__ import annotations

import json
import urllib.error
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .harness import Account, ask, until
from .test_events import heard as heard  # a fixture
from .test_iam import Session, assume, document, role
from .test_iam import shared as shared  # an account for what changes no rule

REGION = "us-east-1"
OTHER = "444455556666"
NOT_THERE = "snap-0123456789abcdef0"
NOT_ACCESSIBLE = "Given key ID is not accessible"
THROUGH_EC2 = {"kms:ViaService": f"ec2.{REGION}.amazonaws.com"}


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The code and the message that a call is refused with."""
    with pytest.raises(ClientError) as error:
        call()
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def look(account: Account, snapshot: str) -> dict[str, Any]:
    return dict(account("ec2").describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0])


def ended(account: Account, snapshot: str) -> dict[str, Any]:
    return until(lambda: (found := look(account, snapshot))["State"] != "pending" and found)


def volume(account: Account, key: str | None = None) -> str:
    """A volume of an instance, under a key or under none."""
    if key is None:
        return str(account("ec2").describe_volumes()["Volumes"][0]["VolumeId"])
    [instance] = account.ask("targets", {"count": 1, "key": key})["instances"]
    attached = [{"Name": "attachment.instance-id", "Values": [instance]}]
    return str(account("ec2").describe_volumes(Filters=attached)["Volumes"][0]["VolumeId"])


def taken(account: Account, key: str | None = None) -> str:
    """A snapshot that is completed."""
    snapshot = account("ec2").create_snapshot(VolumeId=volume(account, key))["SnapshotId"]
    assert ended(account, snapshot)["State"] == "completed"
    return str(snapshot)


def copied(account: Account, source: str, by: Any = None, **given: Any) -> str:
    return str((by or account)("ec2").copy_snapshot(SourceRegion=REGION, SourceSnapshotId=source, **given)["SnapshotId"])


def customer_key(account: Account) -> str:
    return str(account("kms").create_key()["KeyMetadata"]["Arn"])


def tagged(**tags: str) -> dict[str, Any]:
    return {"TagSpecifications": [{"ResourceType": "snapshot", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]}


def test_a_copy_is_a_snapshot_of_its_own_that_takes_its_time(account: Account) -> None:
    source = account("ec2").create_snapshot(VolumeId=volume(account), Description="the original", **tagged(of="the original"))["SnapshotId"]
    original = ended(account, source)
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 60}]})
    copy = copied(account, source, Description="the copy", **tagged(case="c"))
    begun = look(account, copy)
    assert copy != source and begun["State"] == "pending" and begun["Progress"] != "100%"
    assert begun["VolumeId"] == "vol-ffffffff", "the volume of a copy is none"
    assert begun["VolumeSize"] == original["VolumeSize"] and begun["StartTime"] >= original["StartTime"]
    assert (begun["Description"], begun["Tags"]) == ("the copy", [{"Key": "case", "Value": "c"}]), "tags come from the call alone"
    assert (begun["Encrypted"], begun.get("KmsKeyId"), begun["OwnerId"]) == (False, None, account.about["accountId"])
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 0.5}]})
    done = ended(account, copy)
    assert (done["State"], done["Progress"], done.get("StateMessage")) == ("completed", "100%", None)
    found = account("ec2").describe_snapshots(Filters=[{"Name": "tag:case", "Values": ["c"]}])["Snapshots"]
    assert [snapshot["SnapshotId"] for snapshot in found] == [copy]


@pytest.mark.parametrize(
    ("why", "given", "code"),
    [
        ("a key is for what is encrypted", {"SourceSnapshotId": NOT_THERE, "KmsKeyId": "alias/aws/ebs"}, "InvalidParameterDependency"),
        ("an id has a form", {"SourceSnapshotId": "snap-1"}, "InvalidParameterValue"),
        ("a Region is one that there is", {"SourceSnapshotId": NOT_THERE, "SourceRegion": "nowhere"}, "InvalidRegion"),
        ("tags are for snapshots", {"SourceSnapshotId": NOT_THERE, "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "k", "Value": "v"}]}]}, "InvalidParameter"),
        ("nothing is done on a dry run", {"SourceSnapshotId": NOT_THERE, "DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(shared: Account, why: str, given: dict[str, Any], code: str) -> None:
    assert refused(lambda: shared("ec2").copy_snapshot(**{"SourceRegion": REGION, **given}))[0] == code, why


def test_a_copy_of_what_is_not_there_or_not_completed_is_accepted_and_ends_in_error(account: Account) -> None:
    nothing = copied(account, NOT_THERE)
    account.ask("snapshots", {"rules": [{"seconds": 60}, {"copy": True, "seconds": 0.2}]})
    pending = account("ec2").create_snapshot(VolumeId=volume(account))["SnapshotId"]
    early = copied(account, pending)
    account.ask("snapshots", {"rules": [{"outcome": "error", "seconds": 0}, {"copy": True, "seconds": 0.2}]})
    failed = copied(account, pending)
    for copy, message in ((nothing, "Source snapshot is not found"), (early, "Source snapshot is not complete"), (failed, "Source snapshot is not complete")):
        found = ended(account, copy)
        assert (found["State"], found["StateMessage"]) == ("error", message)


def test_rules_for_copies_go_by_the_original_volume_and_are_for_copies_alone(account: Account) -> None:
    ec2 = account("ec2")
    first, second = (account.ask("targets", {"count": 2})["instances"])
    volumes = [ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])["Volumes"][0]["VolumeId"] for instance in (first, second)]
    sources = [ec2.create_snapshot(VolumeId=each)["SnapshotId"] for each in volumes]
    assert all(ended(account, source)["State"] == "completed" for source in sources)
    account.ask("snapshots", {"seconds": 0.1, "rules": [{"copy": True, "volume": volumes[0], "outcome": "error", "message": "as told"}]})
    broken, whole = (ended(account, copied(account, source)) for source in sources)
    assert (broken["State"], broken["StateMessage"], whole["State"]) == ("error", "as told", "completed")
    assert all(look(account, source)["State"] == "completed" for source in sources), "what is not a copy does not follow such a rule"
    again = ended(account, copied(account, whole["SnapshotId"]))
    assert again["State"] == "completed"
    account.ask("snapshots", {"seconds": 0.1, "rules": [{"copy": True, "volume": volumes[1], "outcome": "error"}]})
    assert look(account, again["SnapshotId"])["State"] == "error", "a copy's copy is of the same volume"
    account.ask("snapshots", {"seconds": 0.1, "rules": [{"outcome": "error"}, {"copy": False, "seconds": 0}]})
    assert look(account, whole["SnapshotId"])["State"] == "completed" and look(account, sources[0])["State"] == "error"


@pytest.mark.parametrize("given", [{"rules": [{"copy": "yes"}]}, {"rules": [{"copies": True}]}, {"copies": -1}, {"copies": "20"}])
def test_a_mistyped_rule_is_refused(shared: Account, given: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError):
        shared.ask("snapshots", given)


def test_only_so_many_copies_are_pending_at_a_time(account: Account) -> None:
    source = taken(account)
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 60}]})
    copies = [copied(account, source) for _ in range(20)]
    assert refused(lambda: copied(account, source)) == ("ResourceLimitExceeded", "Too many snapshot copies in progress. The limit is 20 for this destination region.")
    assert ended(account, account("ec2").create_snapshot(VolumeId=volume(account))["SnapshotId"])["State"] == "completed", "snapshots of volumes are not counted"
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 0}]})
    assert ended(account, copies[0])["State"] == "completed"
    account.ask("snapshots", {"copies": 1, "rules": [{"copy": True, "seconds": 60}]})
    assert refused(lambda: copied(account, source))[0] == "ResourceLimitExceeded", "those that are pending again count again"


def test_the_limit_of_copies_can_be_another(account: Account) -> None:
    source = taken(account)
    account.ask("snapshots", {"copies": 1, "rules": [{"copy": True, "seconds": 60}]})
    copied(account, source)
    assert "The limit is 1 " in refused(lambda: copied(account, source))[1]
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 60}]})
    copied(account, source)


@pytest.mark.parametrize(
    ("source", "given", "encrypted", "under"),
    [
        (None, {}, False, None),
        (None, {"Encrypted": True}, True, "default"),
        (None, {"Encrypted": True, "KmsKeyId": "customer"}, True, "customer"),
        ("alias/aws/ebs", {}, True, "default"),
        ("alias/aws/ebs", {"Encrypted": True, "KmsKeyId": "customer"}, True, "customer"),
        ("customer", {}, True, "default"),
        ("customer", {"Encrypted": True, "KmsKeyId": "alias"}, True, "customer"),
    ],
)
def test_a_copy_has_the_key_of_the_call_or_else_that_of_the_account(shared: Account, source: str | None, given: dict[str, Any], encrypted: bool, under: str | None) -> None:
    customer = customer_key(shared)
    alias = f"alias/{customer[-12:]}"
    shared("kms").create_alias(AliasName=alias, TargetKeyId=customer)
    named = {"customer": customer, "alias": alias}
    snapshot = taken(shared, customer if source == "customer" else source)
    given = {key: named.get(value, value) for key, value in given.items()}
    found = ended(shared, copied(shared, snapshot, **given))
    assert (found["State"], found["Encrypted"]) == ("completed", encrypted)
    default = shared("kms").describe_key(KeyId="alias/aws/ebs")["KeyMetadata"] if under == "default" else {"Arn": None, "KeyManager": "AWS"}
    assert found.get("KmsKeyId") == {"customer": customer, "default": default["Arn"], None: None}[under]
    assert default["KeyManager"] == "AWS" and shared("kms").describe_key(KeyId=customer)["KeyMetadata"]["KeyManager"] == "CUSTOMER"


@pytest.mark.parametrize("key", ["alias/aws/ebs", "customer"])
def test_a_target_may_have_encrypted_volumes_whose_snapshots_have_their_key(shared: Account, key: str) -> None:
    key = customer_key(shared) if key == "customer" else key
    [instance] = shared.ask("targets", {"count": 1, "key": key, "volumes": 2})["instances"]
    arn = shared("kms").describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    volumes = shared("ec2").describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])["Volumes"]
    assert [(each["Encrypted"], each["KmsKeyId"]) for each in volumes] == [(True, arn)] * 2
    made = shared("ec2").create_snapshots(InstanceSpecification={"InstanceId": instance})["Snapshots"]
    for snapshot in made:
        found = look(shared, snapshot["SnapshotId"])
        assert (snapshot["Encrypted"], found["Encrypted"], found["KmsKeyId"]) == (True, True, arn)


@pytest.mark.parametrize("why", ["there is no such key", "it is disabled", "it signs"])
def test_a_key_that_ebs_cannot_use_lets_the_copy_fail_later(shared: Account, why: str) -> None:
    source, kms = taken(shared), shared("kms")
    key = customer_key(shared)
    if why == "there is no such key":
        key = key[:-12] + "000000000000"
    elif why == "it is disabled":
        kms.disable_key(KeyId=key)
    else:
        key = shared.about["signingKeyArn"]
    copy = copied(shared, source, Encrypted=True, KmsKeyId=key)
    assert look(shared, copy)["Encrypted"]
    found = ended(shared, copy)
    assert (found["State"], found["StateMessage"], found["KmsKeyId"]) == ("error", NOT_ACCESSIBLE, key), why


def test_a_copy_can_be_locked_while_it_is_pending(account: Account) -> None:
    ec2, source = account("ec2"), taken(account)
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 60}]})
    copy = copied(account, source)
    ec2.lock_snapshot(SnapshotId=copy, LockMode="governance", LockDuration=7)
    locks = lambda: ec2.describe_locked_snapshots(SnapshotIds=[copy])["Snapshots"]
    assert look(account, copy)["State"] == "pending"
    assert [(lock["LockState"], "LockExpiresOn" in lock) for lock in locks()] == [("governance", False)], "it lasts from when it is completed"
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 0.5}]})
    assert ended(account, copy)["State"] == "completed"
    [lock] = locks()
    assert (lock["LockState"], lock["LockExpiresOn"] - lock["LockDurationStartTime"]) == ("governance", timedelta(days=7))
    assert refused(lambda: ec2.delete_snapshot(SnapshotId=copy))[0] == "SnapshotLocked"


def test_the_lock_of_a_copy_that_fails_is_cancelled(account: Account) -> None:
    ec2, source = account("ec2"), taken(account)
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 60}]})
    copy = copied(account, source)
    lock = lambda: ec2.lock_snapshot(SnapshotId=copy, LockMode="compliance", LockDuration=7)
    lock()
    account.ask("snapshots", {"rules": [{"copy": True, "outcome": "error", "seconds": 0}]})
    assert ended(account, copy)["State"] == "error"
    assert ec2.describe_locked_snapshots(SnapshotIds=[copy])["Snapshots"] == []
    assert refused(lock)[0] == "IncorrectState"
    ec2.delete_snapshot(SnapshotId=copy)


@pytest.mark.parametrize(("outcome", "result"), [("completed", "succeeded"), ("error", "failed")])
def test_a_copy_says_how_it_ended(account: Account, heard: Callable[[], list[dict[str, Any]]], outcome: str, result: str) -> None:
    source = taken(account)
    account.ask("snapshots", {"rules": [{"copy": True, "outcome": outcome, "seconds": 0.2, "message": "as told"}]})
    copy = copied(account, source)
    event = until(lambda: [event for event in heard() if event["detail"]["event"] == "copySnapshot"])[0]
    detail = event["detail"]
    assert (event["detail-type"], event["source"], event["resources"]) == ("EBS Snapshot Notification", "aws.ec2", [f"arn:aws:ec2::{REGION}:snapshot/{copy}"])
    assert (detail["result"], detail["snapshot_id"], detail["source"]) == (result, f"arn:aws:ec2::{REGION}:snapshot/{copy}", f"arn:aws:ec2::{REGION}:snapshot/{source}")
    assert detail["cause"] == ("" if outcome == "completed" else "as told")
    # It has the key of its source, so that it takes no more than what is new; of one that failed nothing is said.
    assert (detail.get("incremental"), detail.get("transferType")) == (("true", "standard") if outcome == "completed" else (None, None))
    assert detail["startTime"] <= detail["endTime"]
    assert look(account, copy)["State"] == outcome


def shared_with(account: Account, snapshot: str) -> list[dict[str, str]]:
    return list(account("ec2").describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")["CreateVolumePermissions"])


STRUCTURE = lambda operation, *users: {"CreateVolumePermission": {operation: [{"UserId": user} for user in users]}}
OLDER = lambda operation, *users: {"Attribute": "createVolumePermission", "OperationType": operation.lower(), "UserIds": list(users)}


@pytest.mark.parametrize("form", [STRUCTURE, OLDER])
def test_a_snapshot_is_shared_and_no_more(shared: Account, form: Callable[..., dict[str, Any]]) -> None:
    ec2, copy = shared("ec2"), copied(shared, taken(shared), Encrypted=True, KmsKeyId=customer_key(shared))
    change = lambda **given: ec2.modify_snapshot_attribute(SnapshotId=copy, **given)
    assert ended(shared, copy)["State"] == "completed" and shared_with(shared, copy) == []
    change(**form("Add", OTHER, "111122223333", shared.about["accountId"]))
    change(**form("Add", OTHER))
    assert shared_with(shared, copy) == [{"UserId": "111122223333"}, {"UserId": OTHER}]
    change(**form("Remove", OTHER, "999999999999"))
    assert shared_with(shared, copy) == [{"UserId": "111122223333"}]


PUBLIC = {"CreateVolumePermission": {"Add": [{"Group": "all"}]}}


@pytest.mark.parametrize(
    ("key", "given", "code", "message"),
    [
        ("alias/aws/ebs", STRUCTURE("Add", OTHER), "OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared"),
        ("alias/aws/ebs", PUBLIC, "OperationNotPermitted", "Encrypted snapshots cannot be shared publicly"),
        ("customer", PUBLIC, "OperationNotPermitted", "Encrypted snapshots cannot be shared publicly"),
        ("customer", OLDER("Add", "123"), "InvalidAMIAttributeItemValue", "UserId 123"),
        (None, STRUCTURE("Add", OTHER, "1111-2222-3333"), "InvalidAMIAttributeItemValue", "UserId 1111-2222-3333"),
        (None, {"CreateVolumePermission": {"Add": [{"Group": "everyone"}]}}, "InvalidAMIAttributeItemValue", "UserGroup everyone"),
        (None, {"CreateVolumePermission": {"Add": [{"UserId": OTHER}], "Remove": [{"UserId": "111122223333"}]}}, "InvalidParameterCombination", "One and only one"),
        (None, {}, "InvalidParameterCombination", "No attributes specified."),
        (None, {"Attribute": "createVolumePermission", "UserIds": [OTHER]}, "InvalidParameterCombination", "No operation specified"),
        (None, {"Attribute": "productCodes", "OperationType": "add", "UserIds": [OTHER]}, "InvalidParameterValue", "Unrecognized attribute."),
        (None, STRUCTURE("Add", *(f"{number:012}" for number in range(501))), "InvalidParameterValue", "Modification size must not be greater than 500."),
    ],
)
def test_what_must_not_be_shared_is_refused_and_nothing_changes(shared: Account, key: str | None, given: dict[str, Any], code: str, message: str) -> None:
    snapshot = taken(shared, customer_key(shared) if key == "customer" else key)
    said = refused(lambda: shared("ec2").modify_snapshot_attribute(SnapshotId=snapshot, **given))
    assert said[0] == code and said[1].startswith(message)
    assert shared_with(shared, snapshot) == []


def test_what_is_pending_or_not_there_is_not_shared(account: Account) -> None:
    ec2, source = account("ec2"), taken(account)
    account.ask("snapshots", {"rules": [{"copy": True, "seconds": 60}]})
    pending = copied(account, source)
    assert refused(lambda: ec2.modify_snapshot_attribute(SnapshotId=pending, **STRUCTURE("Add", OTHER)))[0] == "IncorrectState"
    assert refused(lambda: ec2.modify_snapshot_attribute(SnapshotId=NOT_THERE, **STRUCTURE("Add", OTHER)))[0] == "InvalidSnapshot.NotFound"
    assert refused(lambda: shared_with(account, NOT_THERE))[0] == "InvalidSnapshot.NotFound"


def test_copying_and_sharing_are_logged_as_other_calls_are(shared: Account) -> None:
    source = taken(shared)
    copy = copied(shared, source)
    ended(shared, copy)
    shared("ec2").modify_snapshot_attribute(SnapshotId=copy, **STRUCTURE("Add", OTHER))
    logged = {call["action"]: call for call in shared.calls()}
    assert logged["ec2:CopySnapshot"]["resources"] == sorted([source, copy]) and logged["ec2:CopySnapshot"]["status"] == 200
    assert logged["ec2:ModifySnapshotAttribute"]["resources"] == [copy]


def test_an_account_copies_what_is_shared_with_it_if_the_key_lets_it_in(shared: Account, endpoint: str) -> None:
    forensic = Account(ask(endpoint, "accounts", {}))
    sqs, events = forensic("sqs"), forensic("events")
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    events.put_rule(Name="heard", EventPattern=json.dumps({"source": ["aws.ec2"], "detail": {"event": ["shareSnapshot"]}}))
    events.put_targets(Rule="heard", Targets=[{"Id": "heard", "Arn": sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]}])
    key, theirs = customer_key(shared), customer_key(forensic)
    snapshot = copied(shared, taken(shared), Encrypted=True, KmsKeyId=key, **tagged(case="c"))
    ended(shared, snapshot)
    make = lambda: ended(forensic, copied(forensic, snapshot, Encrypted=True, KmsKeyId=theirs))
    assert refused(lambda: look(forensic, snapshot))[0] == "InvalidSnapshot.NotFound"
    assert make()["StateMessage"] == "Source snapshot is not found"
    shared("ec2").modify_snapshot_attribute(SnapshotId=snapshot, **STRUCTURE("Add", forensic.about["accountId"]))
    said = json.loads(until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))[0]["Body"])["detail"]
    assert (said["snapshot_id"].rsplit("/")[-1], said["source"]) == (snapshot, shared.about["accountId"])
    seen = look(forensic, snapshot)
    assert (seen["OwnerId"], seen["KmsKeyId"]) == (shared.about["accountId"], key)
    assert make()["StateMessage"] == NOT_ACCESSIBLE, "the snapshot is shared, its key is not"
    own = json.loads(shared("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Statement"]
    let_in = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{forensic.about['accountId']}:root"}, "Resource": "*",
              "Action": ["kms:DescribeKey", "kms:CreateGrant", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:Decrypt"], "Condition": {"StringEquals": THROUGH_EC2}}
    shared("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=document(*own, let_in))
    copy = make()
    assert (copy["State"], copy["OwnerId"], copy["KmsKeyId"]) == ("completed", forensic.about["accountId"], theirs)
    may = {"Effect": "Allow", "Action": ["ec2:CopySnapshot", "kms:*"], "Resource": "*"}
    by = assume(forensic, role(forensic, "analyst", may), "analyst")
    assert ended(forensic, copied(forensic, snapshot, by=by, Encrypted=True, KmsKeyId=theirs))["State"] == "completed"
    shared("ec2").modify_snapshot_attribute(SnapshotId=snapshot, **STRUCTURE("Remove", forensic.about["accountId"]))
    assert make()["StateMessage"] == "Source snapshot is not found"
    assert look(forensic, copy["SnapshotId"])["State"] == "completed", "what was copied stays"


# What a role needs that copies the snapshots of cases under one key and shares the copies with one account, and nothing beyond.
CASE = "cordon:case"


def least(key: str) -> dict[str, dict[str, Any]]:
    return {
        "the copy": {"Effect": "Allow", "Action": "ec2:CopySnapshot", "Resource": "arn:aws:ec2:*::snapshot/${*}", "Condition": {"Null": {f"aws:RequestTag/{CASE}": "false"}}},
        "its source": {"Effect": "Allow", "Action": "ec2:CopySnapshot", "Resource": "arn:aws:ec2:*::snapshot/snap-*", "Condition": {"Null": {f"aws:ResourceTag/{CASE}": "false"}}},
        "its tags": {"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "arn:aws:ec2:*::snapshot/*", "Condition": {"StringEquals": {"ec2:CreateAction": "CopySnapshot"}}},
        "sharing": {"Effect": "Allow", "Action": "ec2:ModifySnapshotAttribute", "Resource": "arn:aws:ec2:*::snapshot/*",
                    # Where there is no account at all, each of them is a good one.
                    "Condition": {"Null": {f"aws:ResourceTag/{CASE}": "false", "ec2:Add/userId": "false", "ec2:Add/group": "true"}, "ForAllValues:StringEquals": {"ec2:Add/userId": [OTHER]}}},
        "whom it is shared with": {"Effect": "Allow", "Action": "ec2:DescribeSnapshotAttribute", "Resource": "arn:aws:ec2:*::snapshot/*", "Condition": {"Null": {f"aws:ResourceTag/{CASE}": "false"}}},
        "the key": {"Effect": "Allow", "Action": ["kms:DescribeKey", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*", "kms:Decrypt"],
                    "Resource": key, "Condition": {"StringEquals": THROUGH_EC2}},
        "grants": {"Effect": "Allow", "Action": "kms:CreateGrant", "Resource": key, "Condition": {"StringEquals": THROUGH_EC2, "Bool": {"kms:GrantIsForAWSResource": "true"}}},
    }


def copier(account: Account, key: str, without: str | None = None, *more: dict[str, Any]) -> Session:
    statements = [statement for name, statement in least(key).items() if name != without]
    return assume(account, role(account, f"copier-{uuid.uuid4()}", *statements, *more), "function")


def case_snapshot(account: Account, key: str | None = None) -> str:
    snapshot = account("ec2").create_snapshot(VolumeId=volume(account, key), **tagged(**{CASE: "c"}))["SnapshotId"]
    ended(account, snapshot)
    return str(snapshot)


@pytest.mark.parametrize("source", [None, "alias/aws/ebs", "the same"])
def test_a_role_needs_no_more_than_this_to_copy_and_share(shared: Account, source: str | None) -> None:
    key = customer_key(shared)
    session = copier(shared, key)
    copy = copied(shared, case_snapshot(shared, key if source == "the same" else source), by=session, Encrypted=True, KmsKeyId=key, **tagged(**{CASE: "c"}))
    assert ended(shared, copy)["State"] == "completed"
    session("ec2").modify_snapshot_attribute(SnapshotId=copy, **STRUCTURE("Add", OTHER))
    assert session("ec2").describe_snapshot_attribute(SnapshotId=copy, Attribute="createVolumePermission")["CreateVolumePermissions"] == [{"UserId": OTHER}]


@pytest.mark.parametrize(("without", "copying"), [("the copy", "UnauthorizedOperation"), ("its source", "UnauthorizedOperation"), ("its tags", "UnauthorizedOperation"), ("the key", NOT_ACCESSIBLE), ("grants", NOT_ACCESSIBLE)])
def test_a_copy_needs_each_permission(shared: Account, without: str, copying: str) -> None:
    key = customer_key(shared)
    session, source = copier(shared, key, without), case_snapshot(shared)
    make = lambda: copied(shared, source, by=session, Encrypted=True, KmsKeyId=key, **tagged(**{CASE: "c"}))
    if copying == NOT_ACCESSIBLE:
        found = ended(shared, make())
        assert (found["State"], found["StateMessage"]) == ("error", NOT_ACCESSIBLE)
    else:
        assert refused(make)[0] in (copying, "AccessDenied")


def test_tags_of_the_source_and_of_the_copy_are_told_apart(shared: Account) -> None:
    key = customer_key(shared)
    session, ours, others = copier(shared, key), case_snapshot(shared), taken(shared)
    make = lambda source, **tags: lambda: copied(shared, source, by=session, Encrypted=True, KmsKeyId=key, **(tagged(**tags) if tags else {}))
    denied = ("UnauthorizedOperation", "AccessDenied")
    assert refused(make(others, **{CASE: "c"}))[0] in denied, "a source that is no case's"
    assert refused(make(ours))[0] in denied, "a copy that would be no case's"
    assert refused(make(ours, other="x"))[0] in denied
    assert ended(shared, make(ours, **{CASE: "c"})())["State"] == "completed"


@pytest.mark.parametrize(("key", "value", "copies"), [("ec2:Owner", "own", True), ("ec2:Owner", OTHER, False), ("ec2:Encrypted", "false", True), ("ec2:Encrypted", "true", False)])
def test_a_policy_may_ask_whose_the_source_is_and_whether_it_is_encrypted(shared: Account, key: str, value: str, copies: bool) -> None:
    asked = {"StringEquals": {key: shared.about["accountId"] if value == "own" else value}}
    source = {"Effect": "Allow", "Action": "ec2:CopySnapshot", "Resource": "arn:aws:ec2:*::snapshot/snap-*", "Condition": asked}
    session, snapshot = copier(shared, customer_key(shared), "its source", source), taken(shared)
    make = lambda: copied(shared, snapshot, by=session, **tagged(**{CASE: "c"}))
    assert (ended(shared, make())["State"] == "completed") if copies else refused(make)[0] == "UnauthorizedOperation"


def test_a_copy_is_shared_with_nobody_else(shared: Account) -> None:
    key = customer_key(shared)
    session, theirs = copier(shared, key), taken(shared)
    copy = copied(shared, case_snapshot(shared), by=session, Encrypted=True, KmsKeyId=key, **tagged(**{CASE: "c"}))
    ended(shared, copy)
    share = lambda snapshot, **given: lambda: session("ec2").modify_snapshot_attribute(SnapshotId=snapshot, **given)
    for given in (STRUCTURE("Add", "111122223333"), STRUCTURE("Add", OTHER, "111122223333"), OLDER("Add", "111122223333"), STRUCTURE("Remove", OTHER), PUBLIC):
        assert refused(share(copy, **given))[0] in ("UnauthorizedOperation", "AccessDenied"), json.dumps(given)
    assert refused(share(theirs, **STRUCTURE("Add", OTHER)))[0] in ("UnauthorizedOperation", "AccessDenied"), "a snapshot of no case"
    assert refused(lambda: session("ec2").describe_snapshot_attribute(SnapshotId=theirs, Attribute="createVolumePermission"))[0] in ("UnauthorizedOperation", "AccessDenied")
    assert shared_with(shared, copy) == []
    share(copy, **OLDER("Add", OTHER))()
    assert shared_with(shared, copy) == [{"UserId": OTHER}]


def test_the_key_of_the_source_must_be_usable_too(shared: Account) -> None:
    theirs, ours = customer_key(shared), customer_key(shared)
    source = case_snapshot(shared, theirs)
    make = lambda by: ended(shared, copied(shared, source, by=by, Encrypted=True, KmsKeyId=ours, **tagged(**{CASE: "c"})))
    assert make(copier(shared, ours)).get("StateMessage") == NOT_ACCESSIBLE
    use = {"Effect": "Allow", "Action": ["kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:Decrypt", "kms:CreateGrant"], "Resource": theirs, "Condition": {"StringEquals": THROUGH_EC2}}
    assert make(copier(shared, ours, None, use))["State"] == "completed"


def test_whoever_shares_must_be_allowed_to_look_at_the_key(shared: Account) -> None:
    key = customer_key(shared)
    copy = copied(shared, case_snapshot(shared), Encrypted=True, KmsKeyId=key, **tagged(**{CASE: "c"}))
    ended(shared, copy)
    session = copier(shared, key, without="the key")
    assert refused(lambda: session("ec2").modify_snapshot_attribute(SnapshotId=copy, **STRUCTURE("Add", OTHER))) == ("AuthFailure", f"Not authorized to use key {key}")
