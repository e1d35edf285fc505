"""What AWS knows about a target is told here as AWS tells it: calls, findings, the console, and where logs go."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from .console import PICTURE
from .harness import Account, ask, refused, until
from .targets import USER_DATA
from .test_iam import assume, from_metadata, function_role


@pytest.fixture(scope="module")
def account(endpoint: str) -> Account:
    """One account for all: no test here reads what another one changes."""
    return Account(ask(endpoint, "accounts", {}))


def looked_up(account: Account, key: str, value: str, **more: Any) -> list[dict[str, Any]]:
    return account("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}], **more)["Events"]


def test_calls_about_an_instance_are_found_by_its_id_with_who_made_them(account: Account) -> None:
    web = account.about["instances"]["web"]
    account("ec2").create_tags(Resources=[web], Tags=[{"Key": "a", "Value": "b"}])
    account("ec2").describe_instances(InstanceIds=[web])
    names = [event["EventName"] for event in looked_up(account, "ResourceName", web)]
    assert names[0] == "CreateTags" and "RunInstances" in names, "the newest first, and what made it has it in its answer"
    assert "DescribeInstances" not in names, "reading names no resources"
    event = looked_up(account, "ResourceName", web)[0]
    record = json.loads(event["CloudTrailEvent"])
    assert (record["eventSource"], record["recipientAccountId"]) == ("ec2.amazonaws.com", account.about["accountId"])
    assert {"ResourceType": "AWS::EC2::Instance", "ResourceName": web} in event["Resources"]


def test_a_session_of_an_instances_role_is_found_by_the_instances_id(account: Account) -> None:
    web = account.about["instances"]["web"]
    session = from_metadata(account, "web")
    session("s3").list_buckets()
    refused(lambda: session("ec2").describe_instances())
    events = looked_up(account, "Username", web)
    assert [event["EventName"] for event in events] == ["DescribeInstances", "ListBuckets"]
    assert json.loads(events[0]["CloudTrailEvent"])["errorCode"] == "UnauthorizedOperation", "what was refused is told as well"
    key = events[1]["AccessKeyId"]
    assert looked_up(account, "AccessKeyId", key) == events
    assert looked_up(account, "Username", account.about["instances"]["sibling"]) == []


def test_the_start_of_an_execution_names_it(account: Account) -> None:
    machine = account.machine("started", {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    execution = account("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    records = [json.loads(event["CloudTrailEvent"]) for event in looked_up(account, "EventName", "StartExecution")]
    assert [record["responseElements"]["executionArn"] for record in records] == [execution]


def test_data_events_are_not_in_the_history(account: Account) -> None:
    account("s3").put_object(Bucket=account.about["bucket"], Key="work/x", Body=b"x")
    assert looked_up(account, "EventName", "PutObject") == []


def test_the_history_comes_in_pages_and_a_token_is_good_for_its_question(account: Account) -> None:
    trail = account("cloudtrail")
    by = [{"AttributeKey": "EventSource", "AttributeValue": "ec2.amazonaws.com"}]
    first = trail.lookup_events(LookupAttributes=by, MaxResults=2)
    second = trail.lookup_events(LookupAttributes=by, MaxResults=2, NextToken=first["NextToken"])
    ids = [event["EventId"] for page in (first, second) for event in page["Events"]]
    assert len(set(ids)) == 4
    other = [{"AttributeKey": "EventSource", "AttributeValue": "iam.amazonaws.com"}]
    assert refused(lambda: trail.lookup_events(LookupAttributes=other, NextToken=first["NextToken"])) == "InvalidNextTokenException"


def test_a_lookup_has_a_window(account: Account) -> None:
    web, now = account.about["instances"]["web"], time.time()
    assert looked_up(account, "ResourceName", web, EndTime=now - 86_400) == []
    assert looked_up(account, "ResourceName", web, StartTime=now + 86_400) == []
    assert looked_up(account, "ResourceName", web, StartTime=now - 86_400, EndTime=now) != []


@pytest.mark.parametrize(
    ("why", "given", "code"),
    [
        ("one attribute at a time", {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "a"}, {"AttributeKey": "Username", "AttributeValue": "b"}]}, "InvalidLookupAttributesException"),
        ("50 at most", {"MaxResults": 51}, "InvalidMaxResultsException"),
        ("an end after its begin", {"StartTime": 2, "EndTime": 1}, "InvalidTimeRangeException"),
        ("a token of ours", {"NextToken": "x"}, "InvalidNextTokenException"),
    ],
)
def test_a_lookup_that_cloudtrail_would_not_take(account: Account, why: str, given: dict[str, Any], code: str) -> None:
    assert refused(lambda: account("cloudtrail").lookup_events(**given)) in (code, "ParamValidationError"), why


def test_findings_are_found_by_their_instance_and_only_behind_the_detector(account: Account) -> None:
    guard, web = account("guardduty"), account.about["instances"]["web"]
    [detector] = guard.list_detectors()["DetectorIds"]
    about = lambda instance: {"Criterion": {"resource.instanceDetails.instanceId": {"Equals": [instance]}}}
    assert guard.list_findings(DetectorId=detector, FindingCriteria=about(web))["FindingIds"] == []
    finding = {"schemaVersion": "2.0", "id": "f1", "type": "t", "title": "t", "resource": {"resourceType": "Instance", "instanceDetails": {"instanceId": web}}, "service": {"archived": False}}
    account.ask("guardduty", {"findings": [finding, {**finding, "id": "f2"}]})
    account.ask("event", {"source": "aws.guardduty", "detailType": "GuardDuty Finding", "detail": {**finding, "id": "f3", "severity": 1}})
    page = guard.list_findings(DetectorId=detector, FindingCriteria=about(web), MaxResults=2)
    assert page["FindingIds"] == ["f1", "f2"]
    assert guard.list_findings(DetectorId=detector, FindingCriteria=about(web), MaxResults=2, NextToken=page["NextToken"])["FindingIds"] == ["f3"]
    assert guard.list_findings(DetectorId=detector, FindingCriteria=about(account.about["instances"]["single"]))["FindingIds"] == []
    found = guard.get_findings(DetectorId=detector, FindingIds=["f1", "gone"])["Findings"]
    assert [one["Resource"]["InstanceDetails"]["InstanceId"] for one in found] == [web]
    assert refused(lambda: guard.list_findings(DetectorId="0" * 32)) == "BadRequestException"
    account.ask("guardduty", {"on": False})
    assert guard.list_detectors()["DetectorIds"] == []
    account.ask("guardduty", {"on": True})


def test_a_console_has_what_was_printed_and_its_screen_is_shown_while_it_runs(account: Account) -> None:
    ec2, single = account("ec2"), account.about["instances"]["single"]
    account.ask("console", {"instance": single, "prints": "kernel panic\n"})
    output = ec2.get_console_output(InstanceId=single, Latest=True)["Output"]
    assert output.endswith("kernel panic\n")
    account.ask("console", {"instance": single, "prints": ""})
    assert "Output" not in ec2.get_console_output(InstanceId=single)
    assert base64.b64decode(ec2.get_console_screenshot(InstanceId=single)["ImageData"]) == PICTURE
    ec2.stop_instances(InstanceIds=[single])
    until(lambda: ec2.describe_instances(InstanceIds=[single])["Reservations"][0]["Instances"][0]["State"]["Name"] == "stopped")
    assert refused(lambda: ec2.get_console_screenshot(InstanceId=single)) == "IncorrectInstanceState"
    assert refused(lambda: ec2.get_console_output(InstanceId="i-00000000000000000")) == "InvalidInstanceID.NotFound"


def test_user_data_is_what_was_given(account: Account) -> None:
    read = lambda role: account("ec2").describe_instance_attribute(InstanceId=account.about["instances"][role], Attribute="userData").get("UserData", {})
    assert base64.b64decode(read("web")["Value"]).decode() == USER_DATA
    assert not read("single").get("Value")


def test_where_flows_and_dns_queries_are_logged_is_found_by_what_is_logged(account: Account) -> None:
    ec2 = account("ec2")
    vpc = ec2.describe_instances(InstanceIds=[account.about["instances"]["web"]])["Reservations"][0]["Instances"][0]["VpcId"]
    [log] = ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [vpc]}])["FlowLogs"]
    assert log["LogGroupName"] == "flows-vpc"
    resolver = account("route53resolver")
    associated = lambda vpc: resolver.list_resolver_query_log_config_associations(Filters=[{"Name": "ResourceId", "Values": [vpc]}])["ResolverQueryLogConfigAssociations"]
    [association] = associated(vpc)
    [config] = resolver.list_resolver_query_log_configs(Filters=[{"Name": "Id", "Values": [association["ResolverQueryLogConfigId"]]}])["ResolverQueryLogConfigs"]
    assert config["DestinationArn"].endswith(":log-group:dns-queries")
    assert associated("vpc-00000000000000000") == []


def test_nobody_is_told_who_may_not_ask(account: Account) -> None:
    """IAM knows these services' actions, and the step's role has just those that it needs."""
    step, other = (assume(account, function_role(account, name), "function") for name in ("cordon-context", "cordon-isolate"))
    by = [{"AttributeKey": "EventName", "AttributeValue": "RunInstances"}]
    [detector] = step("guardduty").list_detectors()["DetectorIds"]
    questions = [
        ("cloudtrail", lambda client: client.lookup_events(LookupAttributes=by)),
        ("guardduty", lambda client: client.list_findings(DetectorId=detector)),
        ("route53resolver", lambda client: client.list_resolver_query_log_configs()),
        ("ec2", lambda client: client.get_console_output(InstanceId=account.about["instances"]["single"])),
    ]
    for service, ask in questions:
        ask(step(service))
        assert refused(lambda: ask(other(service))) in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"), service
    assert refused(lambda: step("guardduty").delete_detector(DetectorId=detector)) == "AccessDeniedException"
    assert refused(lambda: step("ec2").create_tags(Resources=[account.about["instances"]["single"]], Tags=[{"Key": "a", "Value": "b"}])) == "UnauthorizedOperation"
