"""EC2 refuses calls beyond its buckets of requests as the developer guide says, and Lambda those beyond what is reserved."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .harness import Account, refused, until
from .throttling import BUCKETS, Region, kind_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("action", "parameters", "burst", "refill"),
    [
        ("ModifyNetworkInterfaceAttribute", ["NetworkInterfaceId"], 100, 5),
        ("CreateSnapshots", [], 100, 5),
        ("CreateTags", [], 100, 10),
        ("ModifyInstanceAttribute", [], 50, 5),
        ("CopySnapshot", ["SourceSnapshotId"], 50, 5),
        ("ModifySnapshotAttribute", [], 100, 5),
        ("LockSnapshot", [], 50, 5),
        ("DescribeNetworkInterfaces", ["Filter.1.Name"], 100, 20),
        ("DescribeSnapshots", ["MaxResults"], 100, 20),
        ("DescribeInstances", ["InstanceId.1"], 50, 10),
        ("DescribeInstanceTypes", ["InstanceType.1"], 100, 20),
        ("GetConsoleOutput", [], 100, 20),
        ("LookupEvents", ["LookupAttributes", "MaxResults"], 2, 2),
    ],
)
def test_a_burst_passes_and_then_what_is_added_each_second(action: str, parameters: list[str], burst: int, refill: int) -> None:
    clock = Clock()
    region = Region(clock=clock)

    def passed(tries: int = 2 * burst) -> int:
        return sum(region.admits(action, parameters) for _ in range(tries))

    assert passed() == burst, "a full bucket, and no more at the same moment"
    clock.now += 0.9
    assert passed() == 0, "tokens come once a second"
    clock.now += 0.2
    assert passed() == refill, "what was refused took no token"
    clock.now += 3
    assert passed() == min(burst, 3 * refill)
    clock.now += 3600
    assert passed() == burst, "a bucket holds no more than its burst"


def test_each_action_has_a_bucket_of_its_own() -> None:
    region = Region(clock=Clock())
    assert sum(region.admits("ModifyNetworkInterfaceAttribute", []) for _ in range(200)) == 100
    assert region.admits("CreateSecurityGroup", []) and region.admits("RevokeSecurityGroupEgress", [])
    assert sum(region.admits("DescribeInstances", []) for _ in range(200)) == 50
    assert region.admits("DescribeInstances", ["Filter.1.Name"]), "asked for less, the other bucket counts"


def test_every_kind_has_a_size() -> None:
    kinds = {kind_of(action, []) for action in ("DescribeInstances", "DescribeRegions", "StopInstances")}
    assert kinds <= BUCKETS.keys() and len(kinds) == 3


def test_a_call_without_a_token_is_refused_as_ec2_does_and_changes_nothing(account: Account) -> None:
    ec2 = account("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    make = lambda name: ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)
    account.ask("buckets", {"enforced": True, "sizes": {"CreateSecurityGroup": [1, 0]}})
    make("one")
    assert refused(lambda: make("two")) == "RequestLimitExceeded"
    logged = [call for call in account.calls() if call["action"] == "ec2:CreateSecurityGroup"][-1]
    assert (logged["status"], logged["error"], logged["fault"]) == (503, "RequestLimitExceeded", "throttled")
    account.ask("buckets", {"enforced": False})
    make("two")


def test_events_are_looked_up_twice_a_second_and_no_more(account: Account) -> None:
    look = lambda: account("cloudtrail").lookup_events(MaxResults=1)
    for _ in range(4):
        look()
    # Without a refill, so that it does not matter how fast this is.
    account.ask("buckets", {"enforced": True, "sizes": {"LookupEvents": [2, 0]}})
    look(), look()
    assert refused(look) == "ThrottlingException"
    logged = [call for call in account.calls() if call["action"] == "cloudtrail:LookupEvents"][-1]
    assert (logged["status"], logged["error"], logged["fault"]) == (400, "ThrottlingException", "throttled")
    account("cloudtrail").describe_trails()
    account("ec2").describe_vpcs()
    account.ask("buckets", {"enforced": True})
    began = time.monotonic()
    passed = sum(until(lambda: tries(look)) for _ in range(5))
    assert passed == 5 and time.monotonic() - began >= 1, "tokens come back once a second, two of them"


def tries(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ThrottlingException"
        return False
    return True


def test_other_accounts_and_regions_have_their_own_buckets(account: Account) -> None:
    account.ask("buckets", {"enforced": True, "sizes": {"DescribeVpcs": [1, 0]}})
    account("ec2").describe_vpcs()
    assert refused(account("ec2").describe_vpcs) == "RequestLimitExceeded"
    elsewhere = Account({**account.about, "region": "eu-west-1"})
    elsewhere("ec2").describe_vpcs()
    Account({**account.about, "accessKeyId": "999999999999"})("ec2").describe_vpcs()


def test_a_bucket_that_there_is_not_is_refused(account: Account) -> None:
    with pytest.raises(urllib.error.HTTPError):
        account.ask("buckets", {"enforced": True, "sizes": {"ec2:CreateTags": [1, 0]}})


@pytest.mark.parametrize("version", ["", ":1"])
def test_a_function_that_runs_as_often_as_is_reserved_refuses_the_next(account: Account, version: str) -> None:
    account("lambda").put_function_concurrency(FunctionName="cordon-notify", ReservedConcurrentExecutions=0)
    arn = account("lambda").get_function(FunctionName="cordon-notify")["Configuration"]["FunctionArn"] + version
    task: dict[str, Any] = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Arguments": {"FunctionName": arn, "Payload": {}}, "End": True}
    ended = account.execution({"StartAt": "T", "States": {"T": task}})
    assert (ended["status"], ended["error"]) == ("FAILED", "Lambda.TooManyRequestsException"), ended
    retried = {**task, "Retry": [{"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 1, "MaxAttempts": 60, "MaxDelaySeconds": 1}]}
    execution = account("stepfunctions").start_execution(stateMachineArn=account.machine("queued", {"StartAt": "T", "States": {"T": retried}}))["executionArn"]
    until(lambda: sum(call["error"] == "Lambda.TooManyRequestsException" for call in account.calls() if call["action"] == "lambda:Invoke") > 2)
    account("lambda").delete_function_concurrency(FunctionName="cordon-notify")
    look = account("stepfunctions").describe_execution
    ended = until(lambda: (found := look(executionArn=execution))["status"] != "RUNNING" and found)
    # It ran, and refused what it was given.
    assert ended["error"] == "Invalid", json.dumps(ended, default=str)
