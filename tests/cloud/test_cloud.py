"""The local cloud is as strict as AWS where the emulators below it are too kind."""

from __future__ import annotations

import json
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .harness import Account, ask, refused, until


def test_the_groups_of_an_instance_with_several_interfaces_cannot_be_changed_at_once(account: Account) -> None:
    ec2 = account("ec2")
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    assert refused(lambda: ec2.modify_instance_attribute(InstanceId=account.about["instances"]["web"], Groups=[group])) == "InvalidInstanceID"


def test_an_interface_takes_only_groups_of_its_own_vpc(account: Account) -> None:
    ec2 = account("ec2")
    interface = ec2.describe_network_interfaces(Filters=[{"Name": "attachment.instance-id", "Values": [account.about["instances"]["single"]]}])["NetworkInterfaces"][0]
    strange = next(g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"] if g["VpcId"] != interface["VpcId"])
    change = lambda group: ec2.modify_network_interface_attribute(NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[group])
    assert refused(lambda: change(strange)) == "InvalidParameterValue"
    assert refused(lambda: change("sg-00000000000000000")) == "InvalidGroup.NotFound"


@pytest.mark.parametrize(("role", "families"), [("web", {"0.0.0.0/0", "::/0"}), ("single", {"0.0.0.0/0"})])
def test_a_new_group_lets_out_every_family_of_its_vpc(account: Account, role: str, families: set[str]) -> None:
    ec2 = account("ec2")
    vpc = ec2.describe_instances(InstanceIds=[account.about["instances"][role]])["Reservations"][0]["Instances"][0]["VpcId"]
    make = lambda: ec2.create_security_group(GroupName="new", Description="new", VpcId=vpc)["GroupId"]
    group = ec2.describe_security_groups(GroupIds=[make()])["SecurityGroups"][0]
    ranges = [r for p in group["IpPermissionsEgress"] for r in p["IpRanges"] + p["Ipv6Ranges"]]
    assert {r.get("CidrIp") or r.get("CidrIpv6") for r in ranges} == families
    assert refused(make) == "InvalidGroup.Duplicate"


def test_snapshots_take_time_can_be_locked_while_pending_and_not_be_deleted_then(account: Account) -> None:
    ec2 = account("ec2")
    taken = ec2.create_snapshots(InstanceSpecification={"InstanceId": account.about["instances"]["web"]})["Snapshots"]
    assert {snapshot["State"] for snapshot in taken} == {"pending"} and len(taken) == 2
    ids = [snapshot["SnapshotId"] for snapshot in taken]
    for snapshot in ids:
        ec2.lock_snapshot(SnapshotId=snapshot, LockMode="compliance", LockDuration=7)
    assert {lock["LockState"] for lock in ec2.describe_locked_snapshots(SnapshotIds=ids)["Snapshots"]} == {"compliance"}
    assert refused(lambda: ec2.lock_snapshot(SnapshotId=ids[0], LockMode="compliance", LockDuration=1)) == "SnapshotLocked"
    states = lambda: {s["State"] for s in ec2.describe_snapshots(SnapshotIds=ids)["Snapshots"]}
    until(lambda: states() == {"completed"})
    assert refused(lambda: ec2.delete_snapshot(SnapshotId=ids[0])) == "SnapshotLocked"


def test_one_member_in_error_puts_the_whole_set_in_error(account: Account) -> None:
    ec2 = account("ec2")
    taken = ec2.create_snapshots(InstanceSpecification={"InstanceId": account.about["instances"]["web"]})["Snapshots"]
    account.ask("snapshots", {"rules": [{"volume": taken[0]["VolumeId"], "outcome": "error", "seconds": 0}]})
    ids = [snapshot["SnapshotId"] for snapshot in taken]
    assert {s["State"] for s in ec2.describe_snapshots(SnapshotIds=ids)["Snapshots"]} == {"error"}


def test_an_instance_of_each_kind_is_there(account: Account) -> None:
    ec2, instances = account("ec2"), account.about["instances"]
    look = {role: ec2.describe_instances(InstanceIds=[identifier])["Reservations"][0]["Instances"][0] for role, identifier in instances.items()}
    assert len(look["web"]["NetworkInterfaces"]) == 2 and len(look["web"]["BlockDeviceMappings"]) == 2
    assert look["web"]["IamInstanceProfile"]["Arn"] == look["sibling"]["IamInstanceProfile"]["Arn"] and "IamInstanceProfile" not in look["single"]
    assert look["spot"]["InstanceLifecycle"] == "spot"
    assert look["terminated"]["State"]["Name"] == "terminated"
    assert {"Key": "cordon:drill", "Value": "true"} in look["drill"]["Tags"]


def test_a_case_is_write_once_even_for_a_role_that_may_write(account: Account) -> None:
    iam, about = account("iam"), account.about
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{about['accountId']}:root"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="writer", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}]}
    iam.put_role_policy(RoleName="writer", PolicyName="write", PolicyDocument=json.dumps(allowed))
    keys = account("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    s3 = account("s3", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
    put = lambda **extra: s3.put_object(Bucket=about["bucket"], Key="cases/c/plan.json", Body=b"{}", **extra)
    assert refused(put) == "AccessDenied"
    version = put(IfNoneMatch="*")["VersionId"]
    assert refused(lambda: put(IfNoneMatch="*")) == "PreconditionFailed"
    assert refused(lambda: s3.delete_object(Bucket=about["bucket"], Key="cases/c/plan.json")) == "AccessDenied"
    assert refused(lambda: s3.delete_object(Bucket=about["bucket"], Key="cases/c/plan.json", VersionId=version)) == "AccessDenied"


PASS = {"Type": "Pass", "End": True}


@pytest.mark.parametrize(
    ("why", "states", "given", "status", "output"),
    [
        ("a Parallel has Output and Assign, and its branches keep their variables to themselves",
         {"StartAt": "Both", "States": {
             "Both": {"Type": "Parallel", "Branches": [{"StartAt": "A", "States": {"A": {"Type": "Pass", "Assign": {"inner": 1}, "Output": 1, "End": True}}}, {"StartAt": "B", "States": {"B": {"Type": "Pass", "Output": 2, "End": True}}}],
                      "Assign": {"sum": "{% $sum($states.result) %}"}, "Next": "Look"},
             "Look": {"Type": "Pass", "Output": {"sum": "{% $sum %}", "inner": "{% $exists($inner) %}"}, "End": True}}},
         {}, "SUCCEEDED", {"sum": 3, "inner": False}),
        ("right-hand sides see the values from before the state",
         {"StartAt": "One", "States": {"One": {"Type": "Pass", "Assign": {"a": 1}, "Next": "Two"}, "Two": {"Type": "Pass", "Assign": {"a": 2, "b": "{% $a %}"}, "Next": "End"}, "End": {"Type": "Succeed", "Output": "{% $b %}"}}},
         {}, "SUCCEEDED", 1),
        ("a Condition that is no boolean fails the execution",
         {"StartAt": "C", "States": {"C": {"Type": "Choice", "Choices": [{"Condition": "{% 'yes' %}", "Next": "P"}], "Default": "P"}, "P": PASS}}, {}, "FAILED", None),
        ("an execution has a time limit",
         {"TimeoutSeconds": 1, "StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3, "Next": "P"}, "P": PASS}}, {}, "TIMED_OUT", None),
        ("no output is larger than 256 KiB",
         {"StartAt": "P", "States": {"P": {"Type": "Pass", "Output": "{% $join([1..60000].'abcdef') %}", "End": True}}}, {}, "FAILED", None),
    ],
)
def test_the_engine(account: Account, why: str, states: dict[str, Any], given: Any, status: str, output: Any) -> None:
    execution = account.execution(states, given)
    assert execution["status"] == status, f"{why}: {execution}"
    if output is not None:
        assert json.loads(execution["output"]) == output, why


def test_a_stopped_execution_stays_stopped_inside_a_branch(account: Account) -> None:
    sfn = account("stepfunctions")
    states = {"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": [{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 1, "Next": "T"}, "T": {
        "Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Arguments": {"TopicArn": account.about["topicArn"], "Message": "not stopped"}, "End": True}}}], "End": True}}}
    execution = sfn.start_execution(stateMachineArn=account.machine("stopped", states))["executionArn"]
    until(lambda: sfn.get_execution_history(executionArn=execution)["events"])
    sfn.stop_execution(executionArn=execution, error="Stopped", cause="by hand")
    time.sleep(1.5)  # longer than the branch's Wait
    assert sfn.describe_execution(executionArn=execution)["status"] == "ABORTED"
    assert account.ask("notices") == []


def test_starting_twice_with_one_name_and_input_gives_one_execution(account: Account) -> None:
    sfn = account("stepfunctions")
    machine = account.machine("once", {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 5, "End": True}}})
    start = lambda given: sfn.start_execution(stateMachineArn=machine, name="n", input=given)["executionArn"]
    assert start("{}") == start("{}")
    assert refused(lambda: start('{"other": 1}')) == "ExecutionAlreadyExists"


@pytest.mark.parametrize(
    ("fault", "code", "groups"),
    [
        ({"kind": "before", "code": "RequestLimitExceeded", "status": 503}, "RequestLimitExceeded", 0),
        ({"kind": "after", "code": "InternalError", "status": 500}, "InternalError", 1),
        ({"kind": "delay", "seconds": 0.05}, None, 1),
        ({"kind": "before", "code": "RequestLimitExceeded", "principal": "another-function"}, None, 1),
        ({"kind": "before", "code": "RequestLimitExceeded", "skip": 1}, None, 1),
    ],
)
def test_a_fault_is_injected_by_its_rule_and_logged(account: Account, fault: dict[str, Any], code: str | None, groups: int) -> None:
    ec2 = account("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    account.ask("faults", {"faults": [{"action": "ec2:CreateSecurityGroup", **fault}]})
    make = lambda: ec2.create_security_group(GroupName="faulty", Description="x", VpcId=vpc)
    assert (refused(make) if code else make() and None) == code
    made = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["faulty"]}])["SecurityGroups"]
    assert len(made) == groups
    logged = [call for call in account.calls() if call["action"] == "ec2:CreateSecurityGroup"][-1]
    assert (logged["status"] >= 400) == bool(code) and logged["error"] == code


def test_a_fault_may_hit_each_thing_once(account: Account) -> None:
    s3, bucket = account("s3"), account.about["bucket"]
    account.ask("faults", {"faults": [{"action": "s3:GetObject", "kind": "before", "code": "SlowDown", "status": 503, "each": True, "skip": 1}]})
    for key in ("one", "two"):
        codes = [refused(lambda key=key: s3.get_object(Bucket=bucket, Key=f"work/{key}")) for _ in range(3)]
        assert codes == ["NoSuchKey", "SlowDown", "NoSuchKey"], key


def test_a_call_is_held_until_the_faults_are_replaced(account: Account) -> None:
    ec2 = account("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    account.ask("faults", {"faults": [{"action": "ec2:CreateSecurityGroup", "kind": "hold"}]})
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(ec2.create_security_group, GroupName="held", Description="x", VpcId=vpc)
        try:
            until(lambda: account.ask("faults") == [1])
            assert account("ec2").create_security_group(GroupName="other", Description="x", VpcId=vpc)["GroupId"], "only one is held"
            named = {"Name": "group-name", "Values": ["held"]}
            assert not held.done() and ec2.describe_security_groups(Filters=[named])["SecurityGroups"] == [], "it must have no effect yet"
        finally:
            account.ask("faults", {"faults": []})
        assert held.result(20)["GroupId"]


def test_a_mistyped_fault_is_refused(account: Account) -> None:
    for wrong in ({"action": "ec2:X", "kind": "sometimes"}, {"action": "ec2:X", "kind": "before", "times": 2}):
        with pytest.raises(urllib.error.HTTPError):
            account.ask("faults", {"faults": [wrong]})


def test_events_of_aws_reach_rules_and_put_events_refuses_them(account: Account) -> None:
    entry = {"Source": "aws.guardduty", "DetailType": "GuardDuty Finding", "Detail": "{}"}
    answer = account("events").put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 1, "only AWS sends sources that begin with `aws.`"
    account.ask("event", {"source": "aws.guardduty", "detailType": "GuardDuty Finding", "detail": {"severity": 8, "service": {"archived": False}, "resource": {"resourceType": "Instance"}}})
    sfn = account("stepfunctions")
    until(lambda: sfn.list_executions(stateMachineArn=account.about["stateMachineArn"])["executions"])


def test_accounts_do_not_see_each_other(endpoint: str) -> None:
    one, two = Account(ask(endpoint, "accounts", {})), Account(ask(endpoint, "accounts", {}))
    ids = lambda a: {i["InstanceId"] for r in a("ec2").describe_instances()["Reservations"] for i in r["Instances"]}
    assert not ids(one) & ids(two) and one.about["bucket"] != two.about["bucket"]


def test_a_patched_name_that_is_gone_stops_the_start() -> None:
    from cloud import patching

    with pytest.raises(patching.Drift, match="has no `gone` any more"):
        patching.replace(patching, "gone", lambda original: original)
