"""Run Command as on AWS: what is refused, how commands come and go, and guests that are real but own nothing of ours."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from .harness import Account, refused, until

DOCUMENT = "tested"
PARAMETERS = {"Word": {"type": "String", "allowedPattern": "^[a-z]+$"}, "Many": {"type": "StringList", "default": "none"}}


class Runner:
    """A document in an account, and commands with it on one instance."""

    def __init__(self, account: Account, *lines: str, instance: str = "web", timeout: int = 3600) -> None:
        self.ssm, self.account, self.instance = account("ssm"), account, account.about["instances"][instance]
        step = {"action": "aws:runShellScript", "name": "step", "inputs": {"timeoutSeconds": str(timeout), "runCommand": list(lines)}}
        content = {"schemaVersion": "2.2", "parameters": PARAMETERS, "mainSteps": [step]}
        self.hash = self.ssm.create_document(Name=DOCUMENT, DocumentType="Command", Content=json.dumps(content))["DocumentDescription"]["Hash"]

    def send(self, **extra: Any) -> str:
        given = {"DocumentName": DOCUMENT, "InstanceIds": [self.instance], "Parameters": {"Word": ["hello"]}, **extra}
        return str(self.ssm.send_command(**given)["Command"]["CommandId"])

    def look(self, command: str) -> dict[str, Any]:
        try:
            return self.ssm.get_command_invocation(CommandId=command, InstanceId=self.instance)
        except self.ssm.exceptions.InvocationDoesNotExist:
            return {"Status": "unknown"}

    def until(self, command: str, *states: str) -> dict[str, Any]:
        return until(lambda: (seen := self.look(command)) and seen["Status"] in states and seen)

    def guest(self, **behaviour: Any) -> dict[str, Any]:
        return self.account.ask("guest", {"instance": self.instance, **behaviour})

    def ping(self) -> str | None:
        found = self.ssm.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": [self.instance]}])["InstanceInformationList"]
        return found[0]["PingStatus"] if found else None


def test_a_command_runs_and_says_what_it_did(account: Account) -> None:
    run = Runner(account, "echo '{{ Word }}' '{{Many}}'", "printf '%30000s' end", "printf '%9000s' wrong >&2", "exit 3")
    command = run.send(Comment="first", Parameters={"Word": ["hello"], "Many": ["a", "b"]})
    assert refused(lambda: run.ssm.get_command_invocation(CommandId=command, InstanceId=run.instance)) == "InvocationDoesNotExist", "AWS needs a moment"
    seen = run.until(command, "Failed")
    assert seen["StandardOutputContent"].startswith("hello a b\n") and len(seen["StandardOutputContent"]) == 24_000
    assert len(seen["StandardErrorContent"]) == 8_000
    assert (seen["ResponseCode"], seen["StatusDetails"], seen["PluginName"], seen["DocumentVersion"]) == (3, "Failed", "step", "1")

    other = run.send(Comment="second")
    listed = run.ssm.list_commands(InstanceId=run.instance)["Commands"]
    assert [(item["CommandId"], item["Comment"]) for item in listed] == [(other, "second"), (command, "first")], "the newest come first"
    assert len(run.ssm.list_commands(MaxResults=1)["Commands"]) == 1 and "NextToken" in run.ssm.list_commands(MaxResults=1)
    for name, value, commands in (("DocumentName", DOCUMENT, 2), ("DocumentName", "none", 0), ("InvokedAfter", "2020-01-01T00:00:00Z", 2), ("InvokedBefore", "2020-01-01T00:00:00Z", 0)):
        assert len(run.ssm.list_commands(Filters=[{"key": name, "value": value}])["Commands"]) == commands, name
    run.until(other, "Failed")
    detailed = run.ssm.list_command_invocations(CommandId=other, Details=True)["CommandInvocations"]
    assert [(item["InstanceId"], item["Status"], item["CommandPlugins"][0]["ResponseCode"]) for item in detailed] == [(run.instance, "Failed", 3)]
    assert run.ssm.list_command_invocations(InstanceId=account.about["instances"]["single"])["CommandInvocations"] == []


def test_what_aws_would_refuse_is_refused_and_runs_nowhere(account: Account) -> None:
    run, single = Runner(account, "echo {{ Word }}"), account.about["instances"]["single"]
    described = run.ssm.describe_document(Name=DOCUMENT)["Document"]
    content = run.ssm.get_document(Name=DOCUMENT)["Content"]
    assert described["Hash"] == run.hash == hashlib.sha256(content.encode()).hexdigest() and described["HashType"] == "Sha256"
    wrong = [
        ({"DocumentName": "none"}, "InvalidDocument"),
        ({"DocumentVersion": "2"}, "InvalidDocumentVersion"),
        ({"DocumentHash": "0" * 64, "DocumentHashType": "Sha256"}, "InvalidDocument"),
        ({"DocumentHash": run.hash, "DocumentHashType": "Sha1"}, "InvalidDocument"),
        ({"Parameters": {}}, "InvalidParameters"),
        ({"Parameters": {"Word": ["hello"], "Wrod": ["x"]}}, "InvalidParameters"),
        ({"Parameters": {"Word": ["two", "words"]}}, "InvalidParameters"),
        ({"Parameters": {"Word": ["$(id)"]}}, "InvalidParameters"),
        ({"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceId"),
        ({"InstanceIds": [account.about["instances"]["terminated"]]}, "InvalidInstanceId"),
        ({"InstanceIds": [single, single]}, "DuplicateInstanceId"),
        ({"InstanceIds": []}, "ValidationException"),
        ({"Comment": "x" * 101}, "ValidationException"),
        ({"TimeoutSeconds": 30, "InstanceIds": [], "Targets": [{"Key": "tag:a", "Values": ["b"]}]}, "ValidationException"),
    ]
    for extra, code in wrong:
        assert refused(lambda extra=extra: run.send(**extra)) == code, extra
    assert run.ssm.list_commands()["Commands"] == []
    too_long = json.dumps({"schemaVersion": "2.2", "mainSteps": [], "description": "x" * 65_536})
    assert refused(lambda: run.ssm.create_document(Name="long", DocumentType="Command", Content=too_long)) == "MaxDocumentSizeExceeded"
    right = run.send(DocumentHash=run.hash, DocumentHashType="Sha256", DocumentVersion="1", Comment="x" * 100)
    run.until(right, "Success")
    invoked = run.ssm.list_command_invocations(CommandId=right)["CommandInvocations"]
    assert [item["InstanceId"] for item in invoked] == [run.instance], "one instance was named, so one runs it"


def test_a_guest_has_its_own_view_and_nothing_of_ours(account: Account) -> None:
    run = Runner(account, "env", "[ -e behind ] && echo seen before", "echo left >behind", "grep -c CORDON-CANARY-$(cat proc/sys/kernel/hostname) memory", "cat sys/kernel/security/lockdown", "ls /proc | grep -c '^[0-9]'", timeout=60)
    seen = run.until(run.send(), "Success", "Failed")
    assert seen["Status"] == "Success", seen
    guest = run.guest()
    everything = json.dumps({name: value for name, value in guest.items() if name != "script"})
    assert not [name for name in guest["environment"] if name.startswith(("AWS", "CORDON", "PYTHON"))], guest["environment"]
    assert "AWS_" not in everything and "[none]" in everything and guest["files"]["root/memory"] == {"bytes": 12 << 20}
    assert guest["files"]["root/behind"] == "left\n" and "xmrig" in guest["files"]["root/proc/1337/cmdline"]
    run.guest(lockdown=True, memoryMiB=13)
    run.until(run.send(), "Failed", "Success")
    locked = run.guest()
    assert "root/memory" not in locked["files"] and "[confidentiality]" in locked["files"]["root/sys/kernel/security/lockdown"]
    assert "seen before" not in locked["output"], "each command finds the machine as it was"


def test_a_command_is_cancelled_or_runs_out_of_time(account: Account) -> None:
    run = Runner(account, "echo begun", "sleep 60", timeout=100)
    command = run.send()
    run.until(command, "InProgress")
    run.ssm.cancel_command(CommandId=command)
    seen = run.until(command, "Cancelled")
    assert (seen["StatusDetails"], seen["StandardOutputContent"]) == ("Cancelled", ""), "Systems Manager shows no output of what did not end by itself"
    run.guest(timeScale=0.01)
    assert run.until(run.send(), "TimedOut")["StatusDetails"] == "ExecutionTimedOut"
    assert refused(lambda: run.ssm.cancel_command(CommandId="0" * 36)) == "InvalidCommandId"


def test_an_agent_may_be_absent_lost_slow_or_lost_midway(account: Account) -> None:
    run = Runner(account, "sleep 4; echo done")
    assert run.ping() == "Online"
    for behaviour, ping in (({"agent": "absent"}, None), ({"agent": "lost"}, "ConnectionLost")):
        run.guest(**behaviour)
        assert run.ping() == ping and refused(run.send) == "InvalidInstanceId"
    lost = run.ssm.describe_instance_information(Filters=[{"Key": "PingStatus", "Values": ["ConnectionLost"]}])["InstanceInformationList"]
    assert [item["InstanceId"] for item in lost] == [run.instance]
    run.guest(agent="slow", seconds=2)
    command = run.send()
    assert run.until(command, "Pending", "InProgress", "Success")["Status"] == "Pending"
    assert run.until(command, "Success")["StandardOutputContent"] == "done\n"
    run.guest(agent="slow", seconds=1)
    undelivered = run.send(TimeoutSeconds=30)
    run.guest(agent="lost", timeScale=0.02)
    seen = run.until(undelivered, "TimedOut")
    assert (seen["StatusDetails"], seen["ResponseCode"]) == ("DeliveryTimedOut", -1)
    run.guest()
    run.guest(agent="online")
    midway = run.send()
    run.until(midway, "InProgress")
    run.guest(agent="lost")
    time.sleep(4.5)  # longer than it runs
    assert run.look(midway)["Status"] == "InProgress", "nobody can say how it ended"


def test_an_agent_needs_metadata_and_a_role_that_lets_it_speak(account: Account) -> None:
    run, ec2, iam = Runner(account, "echo done"), account("ec2"), account("iam")
    switch = lambda state: ec2.modify_instance_metadata_options(InstanceId=run.instance, HttpEndpoint=state)
    assert run.ping() == "Online"
    switch("disabled")
    assert run.ping() == "ConnectionLost" and refused(run.send) == "InvalidInstanceId"
    switch("enabled")
    policy = iam.get_role_policy(RoleName="web", PolicyName="application")["PolicyDocument"]
    for action in ("ssm:UpdateInstanceInformation", "ssmmessages:OpenDataChannel"):
        deny = {"Effect": "Deny", "Action": action, "Resource": "*"}
        iam.put_role_policy(RoleName="web", PolicyName="application", PolicyDocument=json.dumps({**policy, "Statement": [*policy["Statement"], deny]}))
        assert run.ping() == "ConnectionLost", action
    run.guest(dhmc=True)
    assert run.ping() == "Online", "the role that Systems Manager gives it is not the instance's"
    run.guest(dhmc=False)
    [association] = ec2.describe_iam_instance_profile_associations(Filters=[{"Name": "instance-id", "Values": [run.instance]}])["IamInstanceProfileAssociations"]
    ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
    assert run.ping() is None, "an agent without any role is unknown"


def test_an_agent_speaks_only_while_a_group_lets_it_out(account: Account) -> None:
    run, ec2 = Runner(account, "echo done"), account("ec2")
    interfaces = ec2.describe_instances(InstanceIds=[run.instance])["Reservations"][0]["Instances"][0]["NetworkInterfaces"]
    vpc = interfaces[0]["VpcId"]
    group = ec2.create_security_group(GroupName="isolated", Description="x", VpcId=vpc)["GroupId"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"])
    for interface in interfaces:
        assert run.ping() == "Online"
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[group])
    assert run.ping() == "ConnectionLost" and refused(run.send) == "InvalidInstanceId"
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    endpoints = ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]
    gate = {g["GroupId"] for endpoint in endpoints if endpoint["VpcEndpointType"] == "Interface" for g in endpoint["Groups"]}
    out = lambda **to: ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **to}])
    out(UserIdGroupPairs=[{"GroupId": gate.pop()}])
    assert run.ping() == "Online"
    single = account.about["instances"]["single"]
    account.ask("guest", {"instance": single, "dhmc": True})
    assert [item["PingStatus"] for item in run.ssm.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": [single]}])["InstanceInformationList"]] == ["Online"]

    # What a guest sends to S3 needs a way out of its own.
    url = account("s3").generate_presigned_url("get_object", {"Bucket": account.about["bucket"], "Key": f"work/{run.instance}-0123456789ab/memory/wave-2"})
    assert _status(url) == 503
    prefix = ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}])["PrefixLists"][0]["PrefixListId"]
    out(PrefixListIds=[{"PrefixListId": prefix}])
    assert _status(url) == 404
    calls = [call for call in account.calls() if "/memory/wave-2" in (call.get("key") or "")]
    assert [(call["status"], call["error"], call["reached"], call["app"]) for call in calls] == [(503, "NoWayOut", False, None), (404, "NoSuchKey", True, None)]


def test_a_target_dies_loses_its_agent_or_lies_at_the_part_that_was_asked_for(account: Account) -> None:
    s3, bucket = account("s3"), account.about["bucket"]
    run = Runner(account, "while :; do sleep 0.1; done")
    case = f"cases/{run.instance}-0123456789ab/memory"

    def put(name: str, part: int, body: bytes, upload: str) -> int:
        url = s3.generate_presigned_url("upload_part", {"Bucket": bucket, "Key": f"{case}/{name}", "UploadId": upload, "PartNumber": part})
        return _status(url, body)

    def begun(name: str) -> str:
        return str(s3.create_multipart_upload(Bucket=bucket, Key=f"{case}/{name}")["UploadId"])

    for behaviour, end, ping in (({"killAfterParts": 2}, "Failed", "Online"), ({"lostAfterParts": 2}, "InProgress", "ConnectionLost")):
        run.guest(**behaviour)
        command, upload = run.send(), begun("image.lime")
        run.until(command, "InProgress")
        assert [put("image.lime", part, b"x", upload) for part in (2, 3, 1, 3)] == [200, 503, 200, 503]
        until(lambda: run.guest().get("parts") == [1, 2])
        assert run.until(command, end)["Status"] == end and run.ping() == ping
    run.guest(lies={"result": {"bytes": 7}, "part": 1})
    upload, result = begun("image.lime"), begun("result.json")
    assert put("image.lime", 1, b"truth", upload) == 200 and put("image.lime", 2, b"truth", upload) == 200
    assert put("result.json", 1, b'{"bytes": 5, "ok": true}', result) == 200
    finish = lambda name, upload, numbers: s3.complete_multipart_upload(Bucket=bucket, Key=f"{case}/{name}", UploadId=upload, IfNoneMatch="*", MultipartUpload={"Parts": [
        {"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in s3.list_parts(Bucket=bucket, Key=f"{case}/{name}", UploadId=upload)["Parts"] if part["PartNumber"] in numbers]})
    finish("image.lime", upload, [1])
    assert s3.get_object(Bucket=bucket, Key=f"{case}/image.lime")["Body"].read() not in (b"", b"truth")
    finish("result.json", result, [1])
    assert json.load(s3.get_object(Bucket=bucket, Key=f"{case}/result.json")["Body"]) == {"bytes": 7, "ok": True}
    with pytest.raises(urllib.error.HTTPError):
        run.guest(killAfterPart=2)


def test_junk_comes_before_the_output_and_a_lie_in_its_last_line(account: Account) -> None:
    run = Runner(account, """echo '{"bytes": 5}'""")
    run.guest(junkBytes=100_000, lies={"result": {"bytes": 7}})
    seen = run.until(run.send(), "Success")
    assert "bytes\": 7" not in seen["StandardOutputContent"], "the first 24,000 characters are junk"
    assert run.guest()["output"].endswith('{"bytes": 5}\n'), "what it really printed"
    run.guest(lies={"result": {"bytes": 7}})
    assert run.until(run.send(), "Success")["StandardOutputContent"] == '{"bytes": 7}\n'


def test_an_agent_outside_takes_its_commands_and_says_how_they_ended(account: Account) -> None:
    run, about = Runner(account, "echo {{ Word }}"), account.about
    run.guest(agent="external")
    where = f"{about['endpoint']}/_cordon/agent/{{}}?account={about['accountId']}&instance={run.instance}"
    with urllib.request.urlopen(where.format("next")) as answer:
        assert answer.status == 204
    command = run.send()

    def taken() -> tuple[str, str] | None:
        with urllib.request.urlopen(where.format("next")) as answer:
            return (answer.headers["x-cordon-command"], answer.read().decode()) if answer.status == 200 else None

    assert until(taken) == (command, "echo hello\n")
    assert run.until(command, "InProgress")
    urllib.request.urlopen(urllib.request.Request(f"{where.format('done')}&command={command}&code=0", b"hello\n")).close()
    assert run.until(command, "Success")["StandardOutputContent"] == "hello\n"


def _status(url: str, body: bytes | None = None) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"}, method="GET" if body is None else "PUT")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
