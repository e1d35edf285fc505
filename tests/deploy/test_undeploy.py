"""What is said before a stack goes, what holds it back, and what stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import undeploy
from botocore.exceptions import ClientError
from cloud.harness import until
from console import Stop

from .conftest import Person

UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=400)


def with_a_case(owner: Person) -> tuple[str, str]:
    """Two objects of a case with different locks, and a snapshot of it with one. Gives the bucket and the snapshot."""
    bucket, s3, ec2 = owner.outputs()["EvidenceBucketName"], owner("s3"), owner("ec2")
    for name, days in (("plan.json", 0), ("finding.json", 30)):
        s3.put_object(Bucket=bucket, Key=f"cases/i-1-abc/{name}", Body=b"{}", IfNoneMatch="*", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=UNTIL - timedelta(days=days))
    s3.put_object(Bucket=bucket, Key="cases/i-2-def/plan.json", Body=b"{}", IfNoneMatch="*")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "cordon:case", "Value": "i-1-abc"}]}]
    snapshot = ec2.create_snapshot(VolumeId=volume, TagSpecifications=tags)["SnapshotId"]
    ec2.lock_snapshot(SnapshotId=snapshot, LockMode="governance", LockDuration=30)
    return bucket, snapshot


def test_it_says_what_is_locked_until_when_and_deletes_none_of_it(owner: Person) -> None:
    bucket, snapshot = with_a_case(owner)
    key = owner.outputs()["SigningKeyArn"]
    printed = owner.done("undeploy.py", YES="1")
    before, after = printed.split("== deleted", 1)
    assert f"s3://{bucket}: 2 cases" in before
    assert f"i-1-abc  2 objects, 4 bytes, locked until {UNTIL:%Y-%m-%d} (governance)" in before, "the latest lock counts"
    assert "i-2-def  1 objects, 2 bytes, not locked" in before
    expiry = datetime.now(UTC) + timedelta(days=30)
    assert any(f"{snapshot}  i-1-abc  governance" in line and f"until {expiry:%Y-%m-%d}" in line for line in before.splitlines()), before
    assert bucket in after and key.split("/")[-1] in after and "cordon:role" in after

    with pytest.raises(ClientError, match="does not exist"):
        owner.stack()
    assert owner("s3").get_object(Bucket=bucket, Key="cases/i-1-abc/plan.json")["Body"].read() == b"{}"
    assert "WriteOnce" in owner("s3").get_bucket_policy(Bucket=bucket)["Policy"], "what protects the evidence stays with it"
    assert owner("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    assert owner("ec2").describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]


def test_a_bucket_that_may_not_be_listed_is_said_loudly_and_holds_nothing_back(owner: Person, account: Any) -> None:
    bucket = owner.outputs()["EvidenceBucketName"]
    rule = {"action": "s3:ListObjectVersions", "kind": "before", "code": "AccessDenied", "status": 403, "count": -1}
    account.ask("faults", {"faults": [rule, {**rule, "action": "s3:ListBucketVersions"}]})
    printed = owner.done("undeploy.py", YES="1")
    assert f"!! the cases in s3://{bucket} cannot be listed: " in printed and "AccessDenied" in printed
    assert f"EvidenceBucket: {bucket}" in printed


@pytest.mark.parametrize("typed", [None, "y", "no", ""])
def test_nothing_is_deleted_unless_somebody_says_yes(owner: Person, typed: str | None) -> None:
    answer = owner.run("undeploy.py", typed=typed)
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    assert owner.stack()["StackStatus"] == "CREATE_COMPLETE"


def running(owner: Person) -> tuple[Any, str]:
    """An execution of the deployed machine that will not end by itself soon."""
    states, machine = owner("stepfunctions"), owner.outputs()["StateMachineArn"]
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}
    states.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
    return states, states.start_execution(stateMachineArn=machine, name="a-case", input="{}")["executionArn"]


def test_it_refuses_while_a_case_is_running_unless_it_is_forced(owner: Person) -> None:
    states, execution = running(owner)
    try:
        answer = owner.run("undeploy.py", YES="1")
        assert answer.returncode == 1 and "1 cases are running" in answer.stderr and "a-case" in answer.stdout
        assert owner.stack()["StackStatus"] == "CREATE_COMPLETE"
        assert "FORCE=1" in owner.done("undeploy.py", YES="1", FORCE="1")
    finally:
        until(lambda: _stopped(states, execution))


def _stopped(states: Any, execution: str) -> bool:
    try:
        states.stop_execution(executionArn=execution)
    except ClientError:
        pass
    return True


def test_roles_that_stay_denied_are_named_beforehand_and_afterwards(owner: Person) -> None:
    iam, policy = owner("iam"), next(p["Arn"] for p in owner("iam").list_policies(Scope="Local")["Policies"] if "DenyPolicy" in p["PolicyName"])
    iam.attach_role_policy(RoleName="web", PolicyArn=policy)
    before, after = owner.done("undeploy.py", YES="1").split("== deleting", 1)
    assert "credentials are denied through 1 roles: web" in before
    assert f"{policy}: web" in after


class Formation:
    """CloudFormation as it deletes a stack whose managed policy is attached to a role, which the local cloud does not refuse."""

    def __init__(self, failed: list[str]) -> None:
        self.failed, self.deletions, self.status = failed, list[dict[str, Any]](), "CREATE_COMPLETE"

    def delete_stack(self, **given: Any) -> None:
        self.deletions.append(given)
        self.status = "DELETE_COMPLETE" if given.get("RetainResources") == self.failed else "DELETE_FAILED"

    def describe_stacks(self, **_given: Any) -> dict[str, Any]:
        return {"Stacks": [{"StackStatus": self.status}]}

    def describe_stack_events(self, **_given: Any) -> dict[str, Any]:
        failed = [{"LogicalResourceId": name, "ResourceStatus": "DELETE_FAILED", "ResourceStatusReason": "it is attached"} for name in self.failed]
        return {"StackEvents": [{"EventId": str(len(self.deletions)), "LogicalResourceId": "cordon", "ResourceStatus": self.status}, *failed]}

    def get_paginator(self, _name: str) -> Formation:
        return self

    def paginate(self, **_given: Any) -> list[dict[str, Any]]:
        return [{"StackResourceSummaries": [{"LogicalResourceId": name, "ResourceStatus": "DELETE_FAILED"} for name in self.failed]}]


@pytest.mark.parametrize(("failed", "attached", "let_go"), [
    (["DenyPolicy"], {"DenyPolicy"}, True),
    (["ApproverPolicy", "DenyPolicy"], {"DenyPolicy", "ApproverPolicy"}, True),
    (["DenyPolicy"], set(), False),
    (["DenyPolicy", "Topic"], {"DenyPolicy"}, False),
    (["Topic"], {"DenyPolicy"}, False),
])
def test_only_a_policy_that_is_attached_is_let_go(failed: list[str], attached: set[str], let_go: bool) -> None:
    formation = Formation(failed)
    if let_go:
        undeploy.delete(lambda _service: formation, "cordon", attached)
        assert formation.deletions == [{"StackName": "cordon"}, {"StackName": "cordon", "RetainResources": failed}]
    else:
        with pytest.raises(Stop, match=f"{failed[0]}: it is attached"):
            undeploy.delete(lambda _service: formation, "cordon", attached)
        assert len(formation.deletions) == 1


def test_a_stack_that_is_not_there_is_said_so(person: Person) -> None:
    assert "there is no stack cordon" in person.stopped("undeploy.py", YES="1")
