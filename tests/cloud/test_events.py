"""Snapshots say when they have ended, in the form in which EBS says it [facts 67]; who waits for a token waits as long as it
seems to the steps; and an event whose function fails comes again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from .harness import Account, until
from .test_time import waits_are_shortened


@pytest.fixture
def heard(account: Account) -> Callable[[], list[dict[str, Any]]]:
    """Every event about snapshots so far."""
    sqs, events = account("sqs"), account("events")
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.ec2"], "detail-type": ["EBS Snapshot Notification", "EBS Multi-Volume Snapshots Completion Status"]}
    events.put_rule(Name="heard", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="heard", Targets=[{"Id": "heard", "Arn": arn}])
    so_far: list[dict[str, Any]] = []

    def receive() -> list[dict[str, Any]]:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        so_far.extend(json.loads(message["Body"]) for message in messages)
        return so_far

    return receive


def taken(account: Account, role: str = "web") -> list[str]:
    """The snapshots of a set."""
    made = account("ec2").create_snapshots(InstanceSpecification={"InstanceId": account.about["instances"][role]})["Snapshots"]
    return [snapshot["SnapshotId"] for snapshot in made]


def volume(account: Account) -> str:
    return str(account("ec2").describe_volumes()["Volumes"][0]["VolumeId"])


def test_a_set_says_once_that_all_of_it_is_completed(account: Account, heard: Callable[[], list[dict[str, Any]]]) -> None:
    ids = taken(account)
    event = until(heard)[0]
    arns = [f"arn:aws:ec2::us-east-1:snapshot/{snapshot}" for snapshot in ids]
    assert (event["detail-type"], event["source"], event["account"]) == ("EBS Multi-Volume Snapshots Completion Status", "aws.ec2", account.about["accountId"])
    assert sorted(event["resources"]) == sorted(arns)
    detail = event["detail"]
    assert {"event", "result", "cause", "request-id", "startTime", "endTime", "snapshots"} == set(detail)
    assert (detail["event"], detail["result"]) == ("createSnapshots", "succeeded")
    assert sorted(member["snapshot_id"] for member in detail["snapshots"]) == sorted(arns)
    assert {member["status"] for member in detail["snapshots"]} == {"completed"}
    states = {snapshot["State"] for snapshot in account("ec2").describe_snapshots(SnapshotIds=ids)["Snapshots"]}
    assert states == {"completed"}, "an event comes when EC2 shows it"
    time.sleep(0.3)
    assert len(heard()) == 1, "its members say nothing by themselves"


def test_a_snapshot_by_itself_and_a_copy_say_so(account: Account, heard: Callable[[], list[dict[str, Any]]]) -> None:
    ec2 = account("ec2")
    single = ec2.create_snapshot(VolumeId=volume(account))["SnapshotId"]
    detail = until(heard)[0]["detail"]
    assert (detail["event"], detail["snapshot_id"].rsplit("/")[-1], detail["source"].rsplit("/")[-1]) == ("createSnapshot", single, volume(account))
    copy = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=single)["SnapshotId"]
    detail = until(lambda: heard()[1:])[0]["detail"]
    assert (detail["event"], detail["snapshot_id"].rsplit("/")[-1], detail["source"].rsplit("/")[-1]) == ("copySnapshot", copy, single)


def test_a_set_in_error_says_which_one_and_what_is_deleted_says_nothing(account: Account, heard: Callable[[], list[dict[str, Any]]]) -> None:
    account.ask("snapshots", {"rules": [{"outcome": "error", "seconds": 0.2}]})
    taken(account)
    detail = until(heard)[0]["detail"]
    assert detail["result"] == "failed" and "is in status error" in detail["cause"]
    assert {member["status"] for member in detail["snapshots"]} == {"error"}
    account.ask("snapshots", {"seconds": 0.5})
    gone = account("ec2").create_snapshot(VolumeId=volume(account))["SnapshotId"]
    account("ec2").delete_snapshot(SnapshotId=gone)
    time.sleep(1)
    assert len(heard()) == 1


@pytest.mark.parametrize(("events", "number"), [("lost", 0), ("twice", 2), ("once", 1)])
def test_events_may_be_lost_and_may_come_twice(account: Account, heard: Callable[[], list[dict[str, Any]]], events: str, number: int) -> None:
    account.ask("snapshots", {"seconds": 0.2, "events": events})
    taken(account)
    time.sleep(1)
    assert len(heard()) == number


def test_an_event_may_come_before_ec2_shows_what_it_says(account: Account, heard: Callable[[], list[dict[str, Any]]]) -> None:
    account.ask("snapshots", {"seconds": 1.5, "events": "early"})
    ids = taken(account)
    event = until(heard)[0]
    assert {member["status"] for member in event["detail"]["snapshots"]} == {"completed"}
    assert {snapshot["State"] for snapshot in account("ec2").describe_snapshots(SnapshotIds=ids)["Snapshots"]} == {"pending"}


def test_a_token_is_waited_for_as_shortly_as_anything_else_and_the_steps_see_the_whole_wait(account: Account, endpoint: str) -> None:
    function = account("lambda").get_function(FunctionName="cordon-wait-for-snapshot")["Configuration"]["FunctionArn"]
    # It hears of nothing that concerns it, so that it does nothing and sends no token.
    wait = {
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "TimeoutSeconds": 300, "End": True,
        "Arguments": {"FunctionName": function, "Payload": {"detail-type": "nothing", "token": "{% $states.context.Task.Token %}"}},
        "Catch": [{"ErrorEquals": ["States.Timeout"], "Output": {"entered": "{% $states.context.State.EnteredTime %}"}, "Next": "Later"}],
    }
    topic = account("sns").create_topic(Name="time")["TopicArn"]
    later = {
        "Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Arguments": {"TopicArn": topic, "Message": "x"}, "End": True,
        "Output": {"before": "{% $states.input.entered %}", "after": "{% $states.context.State.EnteredTime %}"},
    }
    began = time.monotonic()
    with waits_are_shortened(endpoint):
        ended = account.execution({"StartAt": "Wait", "States": {"Wait": wait, "Later": later}})
    assert ended["status"] == "SUCCEEDED", ended
    took = time.monotonic() - began
    before, after = (datetime.fromisoformat(json.loads(ended["output"])[name].replace("Z", "+00:00")) for name in ("before", "after"))
    assert took < 20 and 299 <= (after - before).total_seconds() <= 301 + took


def test_an_event_whose_function_fails_comes_again_twice(account: Account, endpoint: str) -> None:
    account.ask("faults", {"faults": [{"action": "s3:GetObject", "function": "wait-for-snapshot", "kind": "before", "code": "SlowDown", "status": 503, "count": -1}]})
    invoked = lambda: [call for call in account.calls() if call["action"] == "lambda:Invoke" and call["function"] == "cordon-wait-for-snapshot"]
    with waits_are_shortened(endpoint):
        taken(account)
        until(lambda: len(invoked()) == 3)
        time.sleep(1)
    assert [call["error"] for call in invoked()] == ["Transient"] * 3
