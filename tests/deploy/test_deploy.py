"""The deployment, against the local cloud: SAM, the change set, the collector, the key."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import settings
from botocore.exceptions import ClientError
from cloud.conftest import BINARIES
from cloud.deploy import ARCHITECTURE, COLLECTORS, stripped
from cloud.harness import ask, until

from .conftest import OTHER, ROOT, Person, program, sam


@pytest.fixture
def real(person: Person) -> Person:
    """With the binaries of `make build`, as the local cloud itself deploys them."""
    for name in settings.functions():
        (person.binaries / name / "bootstrap").write_bytes(stripped(BINARIES / name))
    (person.binaries / "collectors" / f"collector-{ARCHITECTURE}").write_bytes(stripped(BINARIES / "collector"))
    return person


def test_a_deployment_of_the_real_binaries_answers_the_drill_of_the_handbook(real: Person, tmp_path: Path) -> None:
    # The whole of infra/deploy.sh but for the build, with an environment of Python that is the tests' own.
    policy = tmp_path / "policy.json"
    policy.write_text('{"drills": {"enabled": true}}')
    bin = tmp_path / "venv" / "bin"
    bin.mkdir(parents=True)
    for name, command in {"python": sys.executable, "sam": str(sam())}.items():
        (bin / name).write_text(f'#!/bin/sh\nexec "{command}" "$@"\n')
        (bin / name).chmod(0o755)
    answer = subprocess.run([str(ROOT / "infra" / "deploy.sh"), str(tmp_path / "venv")], env=real.environment(YES="1", POLICY=str(policy), PARAMETERS="RequireTls=false Drills=ENABLED"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "aws sns subscribe" in answer.stdout and "cordon verify" in answer.stdout

    collector = (real.binaries / "collectors" / f"collector-{ARCHITECTURE}").read_bytes()
    digest, outputs = hashlib.sha256(collector).hexdigest(), real.outputs()
    assert real("s3").get_object(Bucket=outputs["EvidenceBucketName"], Key=f"tools/{digest}/collector-{ARCHITECTURE}")["Body"].read() == collector
    assert digest in real("ssm").get_document(Name="cordon-capture")["Content"]
    assert json.loads(real("ssm").get_parameter(Name="/cordon/policy")["Parameter"]["Value"]) == json.loads(policy.read_text())

    target = ask(real.endpoint, "targets", {"account": real.number, "count": 1, "tags": {"cordon:drill": "yes"}})["instances"][0]
    sent = real("events").put_events(Entries=[{"Source": "cordon.drill", "DetailType": "GuardDuty Finding", "Detail": json.dumps(drill(target))}])
    assert sent["FailedEntryCount"] == 0
    states, s3 = real("stepfunctions"), real("s3")
    execution = until(lambda: states.list_executions(stateMachineArn=outputs["StateMachineArn"])["executions"])[0]["executionArn"]
    try:
        # `make demo` and the journeys go on to the end; here it is enough that the drill opened a case for this target.
        until(lambda: s3.list_objects_v2(Bucket=outputs["EvidenceBucketName"], Prefix=f"cases/{target}-").get("Contents"))
    finally:
        states.stop_execution(executionArn=execution)


def drill(target: str) -> dict[str, Any]:
    """The finding that docs/operate.md has one send."""
    page = (ROOT / "docs" / "operate.md").read_text()
    return json.loads(page.split("```json\n", 1)[1].split("```", 1)[0].replace("INSTANCE", target))


def test_nothing_is_made_before_somebody_agrees(person: Person) -> None:
    assert "there is no terminal" in person.stopped("deploy.py")
    assert person.stack()["StackStatus"] == "REVIEW_IN_PROGRESS"
    refused = person.run("deploy.py", typed="y")
    assert refused.returncode == 1 and "nothing was changed. The change set cordon-" in refused.stderr
    assert person.stack()["StackStatus"] == "REVIEW_IN_PROGRESS" and not person.key.exists()
    agreed = person.run("deploy.py", typed="yes")
    assert agreed.returncode == 0, agreed.stdout + agreed.stderr
    assert "Add     AWS::S3::Bucket" in agreed.stdout and person.stack()["StackStatus"] == "CREATE_COMPLETE"


def test_run_again_it_changes_nothing_and_keeps_what_was_given_before(person: Person, tmp_path: Path) -> None:
    policy = tmp_path / "mine.json"
    policy.write_text('{"drills": {"enabled": true}}')
    person.done("deploy.py", YES="1", POLICY=str(policy), PARAMETERS="RequireTls=false Drills=ENABLED")
    again = person.done("deploy.py", PARAMETERS="")
    assert "the policy stays as it was deployed" in again and "   nothing\n" in again and "already there: s3://" in again

    program(person.binaries / "triage" / "bootstrap", ARCHITECTURE, "a newer one")
    program(person.binaries / "collectors" / f"collector-{ARCHITECTURE}", ARCHITECTURE, "a newer one")
    upgraded = person.done("deploy.py", PARAMETERS="", YES="1")
    assert f"parameter {COLLECTORS[ARCHITECTURE]}: " in upgraded and "Modify  AWS::Lambda::Function               TriageFunction" in upgraded
    assert "IsolateFunction\n" not in upgraded, "a binary that has not changed is not deployed again"
    before, after = upgraded.split("== executing", 1)
    assert "published s3://" in before and "already there" in after, "the collector is there before a function asks for it"
    parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in person.stack()["Parameters"]}
    assert (parameters["Drills"], parameters["RequireTls"], parameters["Policy"]) == ("ENABLED", "false", '{"drills":{"enabled":true}}')
    assert len(person("s3").list_objects_v2(Bucket=person.outputs()["EvidenceBucketName"], Prefix="tools/")["Contents"]) == 2, "the old one stays"


def test_a_collector_that_is_missing_is_said_loudly_and_has_no_digest(person: Person) -> None:
    person("s3").create_bucket(Bucket="uploads-of-ours")
    printed = person.done("deploy.py", YES="1", CODE_BUCKET="uploads-of-ours")
    assert person("s3").list_objects_v2(Bucket="uploads-of-ours", Prefix="cordon/")["KeyCount"] > 1
    assert f"!! there is no collector for {OTHER}: memory of {OTHER} instances CANNOT be captured" in printed
    parameters = {entry["ParameterKey"]: entry.get("ParameterValue", "") for entry in person.stack()["Parameters"]}
    assert parameters[COLLECTORS[OTHER]] == "" and len(parameters[COLLECTORS[ARCHITECTURE]]) == 64


def test_a_collector_that_somebody_has_replaced_stops_it(person: Person) -> None:
    person.done("deploy.py", YES="1")
    s3, bucket = person("s3"), person.outputs()["EvidenceBucketName"]
    key = s3.list_objects_v2(Bucket=bucket, Prefix="tools/")["Contents"][0]["Key"]
    s3.put_object(Bucket=bucket, Key=key, Body=b"another one")
    assert "is not what its name says" in person.stopped("deploy.py", YES="1")


def test_the_key_is_what_openssl_reads_and_another_deployments_key_is_never_replaced(person: Person) -> None:
    printed = person.done("deploy.py", YES="1")
    der = subprocess.run(["openssl", "pkey", "-pubin", "-in", str(person.key), "-outform", "der"], capture_output=True, check=True).stdout
    assert hashlib.sha256(der).hexdigest() in printed
    person.key.write_text("another deployment's")
    assert "was left as it is" in person.stopped("deploy.py")
    assert person.key.read_text() == "another deployment's"
    person.done("deploy.py", PUBLIC_KEY=str(person.folder / "second.pem"))


@pytest.mark.parametrize(("settings", "said"), [
    ({"AWS_REGION": ""}, "export AWS_REGION"),
    ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}, "there are no AWS credentials"),
    ({"AWS_PROFILE": "absent"}, "AWS_PROFILE names a profile"),
    ({"POLICY": "/absent.json"}, "the policy cannot be read"),
    ({"PARAMETERS": "Drill=ENABLED"}, "the template has no Drill"),
    ({"ARCH": OTHER}, f"is for {ARCHITECTURE}, and ARCH={OTHER}"),
    ({"PARAMETERS": "RequireTls=false LogRetentionDays=x EvidenceDays=0"}, "AWS refused CreateChangeSet"),
])
def test_what_is_wrong_is_said_in_a_sentence_and_nothing_is_made(person: Person, settings: dict[str, str], said: str) -> None:
    assert said in person.stopped("deploy.py", YES="1", **settings)
    with pytest.raises(ClientError, match="does not exist"):
        person.stack()


def test_a_binary_that_was_not_built_is_named(person: Person) -> None:
    os.remove(person.binaries / "notify" / "bootstrap")
    assert "there is no binary of notify" in person.stopped("deploy.py", YES="1")


def test_checking_alone_changes_nothing(person: Person) -> None:
    assert "the stack is new" in person.done("deploy.py", "--only-check")
    with pytest.raises(ClientError, match="does not exist"):
        person.stack()
