"""A whole incident on the local cloud, as a person would watch it.

Starts the local cloud, sends the event that GuardDuty would send, follows the execution, downloads the case, and lets
`cordon verify` check it without AWS. With DISPOSITION=ask a second person is asked whether the target may be terminated, and
approves. Exits 0 only if the incident went as planned and its case verifies.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

from perf import waves

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "target" / "demo"
BINARIES = ROOT / "target" / "debug"
PATIENCE_SECONDS = 110
MEMORY_MIB = 256
DISPOSITION = os.environ.get("DISPOSITION") or "quarantine"


def main() -> int:
    if DISPOSITION not in ("quarantine", "ask", "terminate"):
        sys.exit(f"DISPOSITION is quarantine, ask or terminate, not {DISPOSITION}")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    say("starting the local cloud and deploying infra/template.yaml in it")
    with (FOLDER / "cloud.log").open("w") as log:
        cloud = subprocess.Popen(
            [sys.executable, "-m", "cloud", "--until-stdin-closes", "--dir", str(FOLDER), "--binaries", str(BINARIES), "--wait-scale", "0.1", "--snapshot-seconds", "4", "--memory-mib", str(MEMORY_MIB),
             "--parameter", "Policy=" + json.dumps({"schema": "cordon.policy.v1", "disposition": DISPOSITION})],
            cwd=ROOT, env={"PYTHONPATH": str(ROOT / "tests"), "PATH": "/usr/bin:/bin"}, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
        )
    try:
        return incident(Cloud(cloud))
    finally:
        cloud.terminate()
        cloud.wait(timeout=20)


class Cloud:
    """The running local cloud, as `cloud.json` describes it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        description = FOLDER / "cloud.json"
        begun = time.monotonic()
        while not description.exists():
            if process.poll() is not None or time.monotonic() - begun > 60:
                sys.exit(f"the local cloud did not start:\n{(FOLDER / 'cloud.log').read_text()}")
            time.sleep(0.1)
        self.about = json.loads(description.read_text())

    def client(self, service: str):
        return boto3.client(
            service, endpoint_url=self.about["endpoint"], region_name=self.about["region"], aws_access_key_id=self.about["accessKeyId"],
            aws_secret_access_key=self.about["secretAccessKey"], config=Config(retries={"max_attempts": 2}),
        )

    def ask(self, path: str, body: dict | None = None):
        request = urllib.request.Request(f"{self.about['endpoint']}/_cordon/{path}", json.dumps(body).encode() if body else None, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


def incident(cloud: Cloud) -> int:
    instance = cloud.about["instances"]["web"]
    say(f"ready at {cloud.about['endpoint']}; the target is {instance}, with two interfaces and two volumes")
    before = groups(cloud, instance)
    say("GuardDuty finds: UnauthorizedAccess:EC2/TorClient, severity 8")
    sent = time.time()
    cloud.ask("event", {"account": cloud.about["accountId"], "source": "aws.guardduty", "detailType": "GuardDuty Finding", "detail": finding(cloud.about, instance), "resources": []})
    ended = follow(cloud, sent)
    case = json.loads(ended.get("output") or "{}").get("caseId")
    round_trips(cloud, sent)
    print()
    say(f"the execution ended {ended['status']}: {ended.get('output') or ended.get('cause')}")
    told(cloud)
    if not case:
        return 1
    folder = download(cloud, case)
    print()
    say(f"the case file: s3://{cloud.about['bucket']}/cases/{case}/")
    say(f"downloaded to {folder.relative_to(ROOT)}; checking it without AWS:")
    command = [str(BINARIES / "cordon"), "verify", str(folder), "--public-key", cloud.about["publicKeyPath"]]
    print(f"$ cordon verify {folder.relative_to(ROOT)} --public-key {Path(cloud.about['publicKeyPath']).name}", flush=True)
    verified = subprocess.run(command, check=False).returncode
    print()
    found = memory(folder, instance)
    if DISPOSITION == "quarantine":
        found = released(cloud, case, instance, before) and found
    else:
        state = cloud.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]
        say(f"EC2 says of {instance}: {state}")
        found = found and state in ("shutting-down", "terminated")
    return 0 if found and ended["status"] == "SUCCEEDED" and json.loads(ended["output"]).get("asPlanned") and verified == 0 else 1


def groups(cloud: Cloud, instance: str) -> dict[str, list[str]]:
    """The groups of each interface of an instance."""
    described = cloud.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return {nic["NetworkInterfaceId"]: sorted(group["GroupId"] for group in nic["Groups"]) for nic in described["NetworkInterfaces"]}


def released(cloud: Cloud, case: str, instance: str, before: dict[str, list[str]]) -> bool:
    """It was a false alarm after all: whether the target is given back, and its interfaces have the groups that they had."""
    environment = {"AWS_ENDPOINT_URL": cloud.about["endpoint"], "AWS_REGION": cloud.about["region"], "AWS_ACCESS_KEY_ID": cloud.about["accessKeyId"], "AWS_SECRET_ACCESS_KEY": cloud.about["secretAccessKey"]}
    print(f"\n$ cordon release {case} --reason 'a false alarm'", flush=True)
    done = subprocess.run([str(BINARIES / "cordon"), "release", case, "--reason", "a false alarm"], env=environment, check=False).returncode == 0
    same = groups(cloud, instance) == before
    print()
    say("every interface has the groups that it had before the finding" if same else "the interfaces do NOT have the groups that they had")
    return done and same


def follow(cloud: Cloud, sent: float) -> dict:
    """Prints each state as it is entered, with its time since the finding, until the execution has ended."""
    sfn = cloud.client("stepfunctions")
    seen: set[str] = set()
    execution, answered = None, False
    while time.time() - sent < PATIENCE_SECONDS:
        if execution is None:
            started = sfn.list_executions(stateMachineArn=cloud.about["stateMachineArn"])["executions"]
            execution = started[0]["executionArn"] if started else None
        else:
            entered = [call for call in cloud.ask(f"calls?account={cloud.about['accountId']}") if call["action"] == "lambda:Invoke"]
            for call in entered:
                key = f"{call['t']}"
                if key not in seen and call.get("answeredAt"):
                    seen.add(key)
                    print(f"  {call['answeredAt'] - sent:7.2f} s  {call.get('state') or call.get('function')}", flush=True)
            if not answered:
                answered = answer(cloud)
            look = sfn.describe_execution(executionArn=execution)
            if look["status"] != "RUNNING":
                return look
        time.sleep(0.1)
    sys.exit(f"the incident did not end within {PATIENCE_SECONDS} s; see {FOLDER.relative_to(ROOT)}/cloud.log")


def answer(cloud: Cloud) -> bool:
    """Whether people were asked; if so, a second person answers, with no right but to do that."""
    asked = [notice for notice in cloud.ask(f"notices?account={cloud.about['accountId']}") if json.loads(json.loads(notice["message"])["default"]).get("kind") == "permission"]
    if not asked:
        return False
    show(asked[0])
    case = json.loads(json.loads(asked[0]["message"])["default"])["caseId"]
    iam = cloud.client("iam")
    iam.create_user(UserName="second-person")
    policy = next(policy for page in iam.get_paginator("list_policies").paginate(Scope="Local") for policy in page["Policies"] if "ApproverPolicy" in policy["PolicyName"])
    iam.attach_user_policy(UserName="second-person", PolicyArn=policy["Arn"])
    key = iam.create_access_key(UserName="second-person")["AccessKey"]
    environment = {"AWS_ENDPOINT_URL": cloud.about["endpoint"], "AWS_REGION": cloud.about["region"], "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    print(f"\n$ cordon approve {case} --because 'nothing is missing'   # as user/second-person", flush=True)
    subprocess.run([str(BINARIES / "cordon"), "approve", case, "--because", "nothing is missing"], env=environment, check=True)
    print(flush=True)
    return True


def round_trips(cloud: Cloud, sent: float) -> None:
    """How long, and how many sequential AWS round trips, it took until the last interface was cut. What lock-down does later
    is not counted.

    The local cloud is one process, which what is sent at once reaches one after the other: what is counted here is too much.
    """
    every = cloud.ask(f"calls?account={cloud.about['accountId']}")
    isolated = [call["answeredAt"] for call in every if call.get("state") == "Isolate"]
    calls = [call for call in every if call.get("app") in ("triage", "isolate") and isolated and call["t"] < isolated[0]]
    if found := waves.containment(calls, sent):
        budget, _ = waves.BUDGETS["first"]
        say(f"finding to last interface cut: {found.seconds:.2f} s, {found.calls} AWS calls in at most {found.round_trips} sequential round trips. "
            f"Over a network they are {budget} at most, since this is the first incident in its VPC: its groups were made")


def told(cloud: Cloud) -> None:
    for notice in cloud.ask(f"notices?account={cloud.about['accountId']}"):
        show(notice)


def show(notice: dict) -> None:
    say(f"people were told: {notice['subject']}")
    for line in json.loads(notice["message"]).get("email", "").splitlines():
        print(f"      {line}")


def memory(folder: Path, instance: str) -> bool:
    """What an analyst does first: look for a string that was in the target's memory, in the sealed image alone."""
    image = folder / "memory" / "image.lime"
    if not image.exists():
        say("there is no image of the memory in the case")
        return False
    planted = f"CORDON-CANARY-{instance}".encode()
    with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        offset = content.find(planted)
        size = len(content)
    statement = json.loads((folder / "memory" / "capture.json").read_text())
    say(f"memory: {size / 2**20:.0f} MiB, zero blocks left out; S3 and the collector agree on its CRC-64/NVME: {statement['image']['crc64nvme']}")
    if offset < 0:
        say("the string that was planted in the target's memory is not in the image")
        return False
    say(f"the string planted in the target's memory is in the sealed image, at offset {offset:#x}")
    return True


def download(cloud: Cloud, case: str) -> Path:
    s3 = cloud.client("s3")
    folder = FOLDER / "case" / case
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=cloud.about["bucket"], Prefix=f"cases/{case}/"):
        for item in page["Contents"]:
            path = folder / item["Key"].removeprefix(f"cases/{case}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(cloud.about["bucket"], item["Key"], str(path))
    return folder


def finding(about: dict, instance: str) -> dict:
    """What GuardDuty sends, as far as it matters here."""
    return {
        "schemaVersion": "2.0", "accountId": about["accountId"], "region": about["region"], "partition": "aws", "id": "4cb5f7a2c1d84b5f8b0e6c2d9a7f1e30",
        "type": "UnauthorizedAccess:EC2/TorClient", "severity": 8, "title": f"EC2 instance {instance} is communicating with a Tor entry node.",
        "description": f"EC2 instance {instance} is communicating with an IP address on the Tor network.",
        "createdAt": "2026-11-24T03:28:00.000Z", "updatedAt": "2026-11-24T03:28:30.000Z",
        "resource": {"resourceType": "Instance", "instanceDetails": {"instanceId": instance, "instanceState": "running", "networkInterfaces": [], "tags": []}},
        "service": {
            "serviceName": "guardduty", "resourceRole": "TARGET", "archived": False, "count": 1, "additionalInfo": {"value": "{}", "type": "default"},
            "eventFirstSeen": "2026-11-24T03:20:00.000Z", "eventLastSeen": "2026-11-24T03:28:00.000Z",
            "action": {"actionType": "NETWORK_CONNECTION", "networkConnectionAction": {"connectionDirection": "OUTBOUND", "protocol": "TCP", "blocked": False}},
        },
    }


def say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
