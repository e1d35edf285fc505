"""Answers of people, really signed: the script of docs/operate.md, and what the permission function refuses."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import settings
from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cloud.harness import Account, ended, until

from .test_verify_page import closed_case

BODY = "Action=GetCallerIdentity&Version=2011-06-15"
POLICY = {"schema": "cordon.policy.v1", "disposition": "ask", "memory": {"capture": False}}


class Case:
    """A case whose execution asks people."""

    def __init__(self, account: Account, target: str = "web", **policy: Any) -> None:
        self.account = account
        account("ssm").put_parameter(Name="/cordon/policy", Value=json.dumps({**POLICY, **policy}), Overwrite=True)
        instance = account.about["instances"][target]
        started = account("stepfunctions").start_execution(stateMachineArn=account.about["stateMachineArn"], input=json.dumps({"instanceId": instance, "reason": "a test"}))
        self.execution = started["executionArn"]
        notice = until(lambda: self.told("permission"), 90)[0]
        self.id = notice["caseId"]
        self.manifest = account("s3").get_object(Bucket=account.about["bucket"], Key=f"cases/{self.id}/manifest-evidence.json")["Body"].read()
        self.deployment = json.loads(account("ssm").get_parameter(Name="/cordon/deployment")["Parameter"]["Value"])

    def told(self, kind: str) -> list[dict[str, Any]]:
        notices = [json.loads(json.loads(notice["message"])["default"]) for notice in self.account.ask("notices")]
        return [notice for notice in notices if notice["kind"] == kind]

    def kinds(self) -> set[str]:
        """What the guard has against the end, when the function is run by hand."""
        visit = {"execution": self.execution, "state": "Terminate", "entered": _now(), "retry": 0}
        answer = self.account("lambda").invoke(FunctionName="cordon-terminate:live", Payload=json.dumps({"visit": visit, "plan": self.plan(), "sealed": self.sealed()}))
        termination = json.load(answer["Payload"])
        assert termination.get("status") == "refused", termination
        return {refusal["kind"] for refusal in termination["refusals"]}

    def plan(self) -> dict[str, Any]:
        return json.load(self._object("plan.json")["Body"])

    def sealed(self) -> dict[str, Any]:
        version = self._versions("manifest-evidence.json")[-1]
        key, digest = f"cases/{self.id}/manifest-evidence.json", hashlib.sha256(self.manifest).hexdigest()
        return {"manifest": {"key": key, "versionId": version, "sha256": digest, "size": len(self.manifest)}, "complete": True, "missing": []}

    def _object(self, name: str) -> dict[str, Any]:
        return self.account("s3").get_object(Bucket=self.account.about["bucket"], Key=f"cases/{self.id}/{name}")

    def _versions(self, name: str) -> list[str]:
        listed = self.account("s3").list_object_versions(Bucket=self.account.about["bucket"], Prefix=f"cases/{self.id}/{name}")
        return [version["VersionId"] for version in listed["Versions"] if version["Key"].endswith(f"/{name}")]

    def put(self, name: str, body: bytes) -> None:
        """As somebody whom no policy holds: the local cloud's root."""
        self.account("s3").put_object(Bucket=self.account.about["bucket"], Key=f"cases/{self.id}/{name}", Body=body)

    def put_answer(self, user: str, **said: Any) -> None:
        """An answer that looks as if the function had written it."""
        number, statement = self.account.about["accountId"], self.statement(**said)
        person = f"{number}/user/{user}"
        answer = {
            "schema": "cordon.answer.v1", "caseId": self.id, "execution": self.execution, "statement": statement, "person": person, "arn": f"arn:aws:iam::{number}:user/{user}",
            "account": number, "signedAt": "20261125T100000Z", "at": _now(), "by": "cordon-permission:1",
        }
        self.put(f"approvals/{statement['decision']}-sha256-{hashlib.sha256(person.encode()).hexdigest()}.json", json.dumps(answer).encode())

    def person(self, **who: str) -> Credentials:
        given = self.account.ask("person", who)
        return Credentials(given["accessKeyId"], given["secretAccessKey"], given["sessionToken"])

    def statement(self, **changed: Any) -> dict[str, Any]:
        digest = hashlib.sha256(self.manifest).hexdigest()
        return {"schema": "cordon.statement.v1", "caseId": self.id, "manifest": digest, "decision": "approve", "waive": [], "because": "why", **changed}

    def answer(self, who: Credentials, said: dict[str, Any], *, signed: dict[str, Any] | None = None, leave_out: str = "", host: str = "", ago: int = 0, forge: bool = False) -> dict[str, Any]:
        """Sends an answer whose signature is of `signed`, where that is another statement."""
        text, bound_to = json.dumps(said, separators=(",", ":")), signed or said
        bound = {
            "x-cordon-case": bound_to["caseId"], "x-cordon-decision": bound_to["decision"], "x-cordon-manifest": bound_to["manifest"],
            "x-cordon-statement": hashlib.sha256(json.dumps(bound_to, separators=(",", ":")).encode()).hexdigest(),
        }
        bound.pop(leave_out, None)
        host = host or self.deployment["stsHost"]
        request = AWSRequest("POST", f"https://{host}/", {"content-type": "application/x-www-form-urlencoded", **bound}, BODY)
        _sign(who, request, ago)
        authorization = request.headers["Authorization"]
        if forge:
            authorization = authorization[:-8] + ("00000000" if authorization[-8:] != "00000000" else "11111111")
        proof = {"host": host, "date": request.headers["X-Amz-Date"], "authorization": authorization}
        if who.token:
            proof["securityToken"] = who.token
        answer = self.account("lambda").invoke(FunctionName=self.deployment["permissionFunction"], Payload=json.dumps({"mode": "answer", "statement": text, "proof": proof}))
        return {"failed": "FunctionError" in answer, **json.load(answer["Payload"])}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sign(who: Credentials, request: AWSRequest, ago: int) -> None:
    """As of so many minutes ago."""
    signer = SigV4Auth(who.get_frozen_credentials(), "sts", "us-east-1")
    if not ago:
        signer.add_auth(request)
        return
    then = datetime.now(timezone.utc) - timedelta(minutes=ago)

    class Earlier(datetime):
        @classmethod
        def utcnow(cls) -> datetime:
            return then.replace(tzinfo=None)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return then if tz else then.replace(tzinfo=None)

    patch = pytest.MonkeyPatch()
    with patch.context() as at:
        if hasattr(auth, "get_current_datetime"):
            at.setattr(auth, "get_current_datetime", lambda remove_tzinfo=True: then.replace(tzinfo=None) if remove_tzinfo else then)
        else:
            at.setattr(auth.datetime, "datetime", Earlier)
        signer.add_auth(request)


def test_what_is_not_this_persons_word_about_this_case_is_refused_recorded_and_told(account: Account) -> None:
    case = Case(account)
    alice, said = case.person(user="alice"), case.statement()
    other_case = case.id[:-12] + "0" * 12
    cases: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
        "forged": ("Refused", lambda: case.answer(alice, said, forge=True)),
        "signed for another case": ("Refused", lambda: case.answer(alice, said, signed=case.statement(caseId=other_case))),
        "signed for another manifest": ("Refused", lambda: case.answer(alice, said, signed=case.statement(manifest="0" * 64))),
        "signed for another decision": ("Refused", lambda: case.answer(alice, said, signed=case.statement(decision="deny"))),
        "signed with other words": ("Refused", lambda: case.answer(alice, said, signed=case.statement(because="other"))),
        "about another manifest": ("Refused", lambda: case.answer(alice, case.statement(manifest="0" * 64))),
        "about a case that does not ask": ("Refused", lambda: case.answer(alice, case.statement(caseId=other_case))),
        "not bound to the case": ("Refused", lambda: case.answer(alice, said, leave_out="x-cordon-case")),
        "not bound to the words": ("Refused", lambda: case.answer(alice, said, leave_out="x-cordon-statement")),
        "for another host": ("Refused", lambda: case.answer(alice, said, host="sts.eu-west-1.amazonaws.com")),
        "expired": ("Refused", lambda: case.answer(alice, said, ago=20)),
        "by an instance": ("Refused", lambda: case.answer(case.person(role="web2", session="i-0123456789abcdef0"), said)),
        "waives what is not missing": ("Refused", lambda: case.answer(alice, case.statement(waive=[{"item": "memory", "because": "why"}]))),
        "says nothing": ("Invalid", lambda: case.answer(alice, case.statement(schema="v2"))),
    }
    for what, (fault, send) in cases.items():
        answer = send()
        assert answer["failed"] and answer["errorType"] == fault, f"{what}: {answer}"
    assert account("stepfunctions").describe_execution(executionArn=case.execution)["status"] == "RUNNING"
    assert len(case.told("refusedAnswer")) >= len(cases) - 1, "people must hear of each"
    # The same statement, rightly signed, still counts; and once only.
    assert case.answer(alice, said)["status"] == "approved"
    over = until(lambda: ended(account("stepfunctions"), case.execution), 60)
    output = json.loads(over["output"])
    assert (output["permission"], output["termination"], output["asPlanned"]) == ("approved", "terminated", True), over
    assert case.answer(alice, said)["failed"], "a replay after the end must be refused"


def test_the_guard_is_moved_by_no_payload(account: Account) -> None:
    """Whoever may run the function itself, with whatever payload, gets no permit out of it."""
    case = Case(account)
    plan, sealed = case.plan(), case.sealed()

    def end(plan: dict[str, Any] = plan, **changed: Any) -> Any:
        visit = {"execution": case.execution, "state": "Terminate", "entered": _now(), "retry": 0}
        given = {**sealed, "manifest": {**sealed["manifest"], **changed}}
        answer = account("lambda").invoke(FunctionName="cordon-terminate:live", Payload=json.dumps({"visit": visit, "plan": plan, "sealed": given}))
        return json.load(answer["Payload"])

    standing = {**plan, "disposition": {**plan["disposition"], "decision": "terminate"}}
    nobody = {**plan, "disposition": {**plan["disposition"], "persons": 0}}
    answers = {
        "nobody has approved": (end(), "approvalMissing"),
        "a standing permission that was never sealed": (end(standing), "approvalMissing"),
        "a plan that asks nobody": (end(nobody), "approvalMissing"),
        "another version of the manifest": (end(versionId="0" * 32), "noManifest"),
        "another digest of the manifest": (end(sha256="0" * 64), "noManifest"),
        "another object": (end(key=f"cases/{case.id}/report.json"), "noManifest"),
    }
    for what, (answer, kind) in answers.items():
        assert answer.get("status") == "refused" and kind in [refusal["kind"] for refusal in answer["refusals"]], f"{what}: {answer}"
    assert case.answer(case.person(user="alice"), case.statement(decision="deny", because="no"))["status"] == "denied"
    over = until(lambda: ended(account("stepfunctions"), case.execution), 60)
    output = json.loads(over["output"])
    assert (output["permission"], output["termination"]) == ("denied", None), over
    assert not [call for call in account.calls() if call["action"] == "ec2:TerminateInstances" and call["app"] == "terminate"]


def test_the_guard_sees_what_was_done_to_a_case_and_by_whom(account: Account) -> None:
    """Each change adds its refusal; nobody whom a policy holds could make one of them."""
    case = Case(account, permission={"persons": 2})
    s3, bucket = account("s3"), account.about["bucket"]

    def fails(action: str, code: str, status: int) -> Callable[[], Any]:
        return lambda: account.ask("faults", {"faults": [{"action": action, "kind": "before", "code": code, "status": status, "function": "terminate", "count": -1}]})

    def unlock() -> None:
        soon = datetime.now(timezone.utc) + timedelta(days=1)
        s3.put_object_retention(Bucket=bucket, Key=f"cases/{case.id}/snapshots.json", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": soon}, BypassGovernanceRetention=True)

    assert case.kinds() == {"approvalMissing"}
    passing = {"targetUnknown": fails("ec2:DescribeInstances", "UnauthorizedOperation", 403), "snapshotNotCompleted": fails("ec2:DescribeSnapshots", "InvalidSnapshot.NotFound", 400)}
    for kind, change in passing.items():
        change()
        assert case.kinds() > {"approvalMissing"} and kind in case.kinds(), kind
    account.ask("faults", {"faults": []})
    case.put_answer("alice")
    case.put_answer("Alice")
    assert case.kinds() == {"approvedTwiceByOne"}
    lasting: dict[str, Callable[[], Any]] = {
        "approvalForged": lambda: case.put("approvals/approve-mallory.json", b"{}"),
        "approvalStale": lambda: case.put_answer("carol", manifest="0" * 64),
        "denied": lambda: case.put_answer("dave", decision="deny", because="no"),
        "evidenceUnlocked": unlock,
        "evidenceChanged": lambda: case.put("finding.json", b"{}"),
        "manifestForged": lambda: case.put("manifest-evidence.json.sig", b"0"),
    }
    for kind, change in lasting.items():
        before = case.kinds()
        change()
        assert kind in case.kinds() - before, f"{kind}: {before} {case.kinds()}"
    assert not [call for call in account.calls() if call["action"] == "ec2:TerminateInstances" and call["app"] == "terminate"]


def test_a_target_that_is_to_stay_in_quarantine_stays(account: Account, tmp_path: Path) -> None:
    folder = closed_case(account, tmp_path)
    key, plan, manifest = f"cases/{folder.name}/manifest-evidence.json", json.loads((folder / "plan.json").read_text()), (folder / "manifest-evidence.json").read_bytes()
    version = account("s3").head_object(Bucket=account.about["bucket"], Key=key)["VersionId"]
    sealed = {"manifest": {"key": key, "versionId": version, "sha256": hashlib.sha256(manifest).hexdigest(), "size": len(manifest)}, "complete": True, "missing": []}
    visit = {"execution": plan["execution"], "state": "Terminate", "entered": _now(), "retry": 0}
    answer = account("lambda").invoke(FunctionName="cordon-terminate:live", Payload=json.dumps({"visit": visit, "plan": plan, "sealed": sealed}))
    assert {"notPlanned", "otherCaseOpen"} <= {refusal["kind"] for refusal in json.load(answer["Payload"])["refusals"]}


def test_nobody_can_do_without_what_they_did_not_waive(account: Account) -> None:
    # Without endpoints there is no way for memory.
    case = Case(account, "single", memory={"capture": True})
    case.put_answer("alice")
    assert case.kinds() == {"evidenceMissing"}


def test_the_script_of_the_handbook_answers(account: Account, tmp_path: Path) -> None:
    page = (settings.ROOT / "docs" / "operate.md").read_text()
    script = tmp_path / "answer.py"
    script.write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])
    case = Case(account)
    who = case.person(role="responders", session="alice")
    environment = {
        "AWS_ENDPOINT_URL": account.about["endpoint"], "AWS_DEFAULT_REGION": account.about["region"], "AWS_ACCESS_KEY_ID": who.access_key, "AWS_SECRET_ACCESS_KEY": who.secret_key,
        "AWS_SESSION_TOKEN": who.token,
    }
    run = lambda *words: subprocess.run([sys.executable, str(script), *words], env=environment, capture_output=True, text=True, timeout=60)
    wrong = run(case.id, "approve", "why", "memory")
    assert wrong.returncode == 1 and "Refused" in wrong.stdout, wrong
    right = run(case.id, "approve", "nothing is missing")
    assert right.returncode == 0 and "approved" in right.stdout, right
    over = until(lambda: ended(account("stepfunctions"), case.execution), 60)
    assert json.loads(over["output"])["termination"] == "terminated", over
