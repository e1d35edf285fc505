"""IAM as strict as AWS where the denial of credentials, and what the functions may do, rest on it."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from .harness import Account, ask, refused, until

S3 = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
# What the agent asks for, and what is spared in the first phase.
AGENT = {"Effect": "Allow", "Action": "ssm:DescribeDocument", "Resource": "*"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def root(account: Account) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account.about['accountId']}:root"}, "Action": "sts:AssumeRole"}


def role(account: Account, name: str, *statements: dict[str, Any], trust: dict[str, Any] | None = None, path: str = "/") -> str:
    """Makes a role, and gives its ARN."""
    arn = account("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=document(trust or root(account)))["Role"]["Arn"]
    if statements:
        account("iam").put_role_policy(RoleName=name, PolicyName="allowed", PolicyDocument=document(*statements))
    return str(arn)


@pytest.fixture(scope="module")
def shared(endpoint: str) -> Account:
    """An account for tests that make what they change, under names of their own."""
    return Account(ask(endpoint, "accounts", {}))


class Session:
    """One session of a role, and its clients."""

    def __init__(self, account: Account, keys: dict[str, str]) -> None:
        self._account, self._keys = account, keys

    def __call__(self, service: str) -> Any:
        return self._account(service, **self._keys)

    def reads_buckets(self) -> bool:
        return allowed(lambda: self("s3").list_buckets())

    def reaches_systems_manager(self) -> bool:
        return allowed(lambda: self("ssm").describe_document(Name="cordon-capture"))


def allowed(call: Any) -> bool:
    try:
        call()
    except Exception as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        assert code in ("AccessDenied", "AccessDeniedException"), f"it failed for another reason than a refusal: {error}"
        return False
    return True


def assume(account: Account, arn: str, name: str, by: Any = None, **given: Any) -> Session:
    keys = (by or account)("sts").assume_role(RoleArn=arn, RoleSessionName=name, **given)["Credentials"]
    return Session(account, {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"], "aws_session_token": keys["SessionToken"]})


def from_metadata(account: Account, target: str) -> Session:
    """What an intruder takes from the metadata service of this target."""
    given = account.ask("credentials", {"instance": account.about["instances"][target]})
    return Session(account, {"aws_access_key_id": given["accessKeyId"], "aws_secret_access_key": given["secretAccessKey"], "aws_session_token": given["sessionToken"]})


def function_role(account: Account, function: str) -> str:
    return str(account("lambda").get_function_configuration(FunctionName=function)["Role"])


def setting(account: Account, name: str) -> str:
    return str(account("lambda").get_function_configuration(FunctionName="cordon-credentials")["Environment"]["Variables"][name])


@pytest.mark.parametrize(
    ("why", "condition", "denied"),
    [
        ("the user id of a session is ROLE_ID:SESSION_NAME", {"StringLike": {"aws:userid": "AROA*:one"}}, True),
        ("of this session alone", {"StringLike": {"aws:userid": "*:two"}}, False),
        ("a variable has the value of the role's tag", {"StringLike": {"aws:userid": "*:${aws:PrincipalTag/who}"}}, True),
        ("also where a default is given", {"StringLike": {"aws:userid": "*:${aws:PrincipalTag/who, 'none'}"}}, True),
        ("the default stands for a tag that is not there", {"StringLike": {"aws:userid": "*:${aws:PrincipalTag/other, 'one'}"}}, True),
        ("and is compared as it stands", {"StringLike": {"aws:userid": "*:${aws:PrincipalTag/other, 'none'}"}}, False),
        ("without a default it matches nothing", {"StringLike": {"aws:userid": "*:one${aws:PrincipalTag/other}"}}, False),
        ("one value of several is enough", {"StringLike": {"aws:userid": ["*:${aws:PrincipalTag/other}", "*:${aws:PrincipalTag/who, 'none'}"]}}, True),
        ("without a value there is no inequality either", {"StringNotEquals": {"aws:userid": "${aws:PrincipalTag/other}"}}, False),
        ("what a tag brings is no pattern", {"StringLike": {"aws:userid": "*:${aws:PrincipalTag/star, 'none'}"}}, False),
        ("a variable in an ARN", {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/team/${aws:PrincipalTag/role, 'none'}"}}, True),
        ("the principal is the role with its path, not the session", {"ArnLike": {"aws:PrincipalArn": "arn:aws:sts::*:assumed-role/*"}}, False),
    ],
)
def test_conditions_are_met_as_aws_meets_them(shared: Account, why: str, condition: dict[str, Any], denied: bool) -> None:
    name = f"conditions-{abs(hash(why))}"
    arn = role(shared, name, S3, {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}, path="/team/")
    tags = {"who": "one", "star": "*", "role": name}
    shared("iam").tag_role(RoleName=name, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
    assert assume(shared, arn, "one").reads_buckets() is not denied, why


def test_a_tag_reaches_a_session_that_already_runs(shared: Account) -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/state": "cut"}}
    session = assume(shared, role(shared, "tagged", S3, {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}), "one")
    assert session.reads_buckets()
    shared("iam").tag_role(RoleName="tagged", Tags=[{"Key": "state", "Value": "cut"}])
    assert not session.reads_buckets()


def test_not_action_spares_what_it_names(shared: Account) -> None:
    deny = {"Effect": "Deny", "NotAction": ["ssm:DescribeDocument", "ec2messages:*"], "Resource": "*"}
    session = assume(shared, role(shared, "spared", S3, AGENT, deny), "one")
    assert session.reaches_systems_manager() and not session.reads_buckets()


def test_a_session_policy_takes_away_and_gives_nothing(shared: Account) -> None:
    arn = role(shared, "narrowed", S3)
    assert not assume(shared, arn, "less", Policy=document(AGENT)).reads_buckets()
    both = assume(shared, arn, "same", Policy=document(S3, AGENT))
    assert both.reads_buckets() and not both.reaches_systems_manager()


def test_a_trust_policy_is_asked_and_its_condition_is_on_the_role(shared: Account) -> None:
    """As the role that signs a capture's URLs trusts the function alone that makes them."""
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    made = {name: role(shared, name, allow, path=path) for name, path in {"maker-1": "/", "other-1": "/", "maker-2": "/team/"}.items()}
    condition = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{shared.about['accountId']}:role/maker-*"}}
    signer = role(shared, "signer", S3, trust={**root(shared), "Condition": condition})
    assert assume(shared, signer, "capture", by=assume(shared, made["maker-1"], "maker")).reads_buckets()
    for name in ("other-1", "maker-2"):
        by = assume(shared, made[name], "maker")
        assert refused(lambda by=by: assume(shared, signer, "capture", by=by)) == "AccessDenied", name
    assert refused(lambda: assume(shared, signer, "capture")) == "AccessDenied", "the root of the account has another ARN"
    upload = shared("cloudformation").describe_stack_resource(StackName="cordon", LogicalResourceId="UploadRole")["StackResourceDetail"]["PhysicalResourceId"]
    upload = shared("iam").get_role(RoleName=upload.rsplit("/", 1)[-1])["Role"]["Arn"]
    assert assume(shared, upload, "capture", by=assume(shared, function_role(shared, "cordon-memory-capture"), "function"))
    assert refused(lambda: assume(shared, upload, "capture", by=assume(shared, function_role(shared, "cordon-credentials"), "function"))) == "AccessDenied"


def test_only_what_metadata_handed_out_carries_its_instance(account: Account) -> None:
    instance = account.about["instances"]["web"]
    source = {"ArnLike": {"ec2:SourceInstanceARN": f"arn:*:ec2:*:*:instance/{instance}"}}
    account("iam").put_role_policy(RoleName="web", PolicyName="deny", PolicyDocument=document({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": source}))
    assert not from_metadata(account, "web").reads_buckets()
    assert from_metadata(account, "sibling").reads_buckets()
    named = account("iam").get_role(RoleName="web")["Role"]["Arn"]
    assert assume(account, named, instance).reads_buckets(), "a name is no instance"


def test_the_function_can_attach_what_only_denies_and_aim_it_and_nothing_else(account: Account) -> None:
    iam, deny = account("iam"), setting(account, "DENY_POLICY_ARN")
    role(account, "deep", path="/team/")
    admin = iam.create_policy(PolicyName="admin", PolicyDocument=document({"Effect": "Allow", "Action": "*", "Resource": "*"}))["Policy"]["Arn"]
    own = function_role(account, "cordon-isolate").rsplit("/", 1)[-1]
    may = assume(account, function_role(account, "cordon-credentials"), "function")("iam")
    tag = lambda name, *keys: may.tag_role(RoleName=name, Tags=[{"Key": key, "Value": "i-0123456789abcdef0"} for key in keys])
    for name in ("web", "deep"):
        may.attach_role_policy(RoleName=name, PolicyArn=deny)
        tag(name, "cordon-deny-1", "cordon-deny-all-5")
        assert may.list_role_tags(RoleName=name)["Tags"] and may.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert may.get_instance_profile(InstanceProfileName="web")["InstanceProfile"]["Roles"][0]["RoleName"] == "web"
    refusals = {
        "another policy": lambda: may.attach_role_policy(RoleName="web", PolicyArn=admin),
        "AWS's own policy": lambda: may.attach_role_policy(RoleName="web", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
        "another tag": lambda: tag("web", "team"),
        "another tag beside ours": lambda: tag("web", "cordon-deny-1", "team"),
        "a sixth slot": lambda: tag("web", "cordon-deny-6"),
        "no tag": lambda: may.tag_role(RoleName="web", Tags=[]),
        "a policy on a role of Cordon's": lambda: may.attach_role_policy(RoleName=own, PolicyArn=deny),
        "a tag on a role of Cordon's": lambda: tag(own, "cordon-deny-1"),
        "an inline policy": lambda: may.put_role_policy(RoleName="web", PolicyName="p", PolicyDocument=document(S3)),
        "another policy detached": lambda: may.detach_role_policy(RoleName="web", PolicyArn=admin),
        "another tag removed": lambda: may.untag_role(RoleName="web", TagKeys=["team"]),
        "a tag removed from a role of Cordon's": lambda: may.untag_role(RoleName=own, TagKeys=["cordon-deny-1"]),
        "a user's policy": lambda: may.attach_user_policy(UserName="u", PolicyArn=deny),
    }
    for what, call in refusals.items():
        assert refused(call) == "AccessDenied", what
    # For a release: just what it had set.
    may.untag_role(RoleName="deep", TagKeys=["cordon-deny-1", "cordon-deny-all-5"])
    may.detach_role_policy(RoleName="deep", PolicyArn=deny)
    assert not may.list_role_tags(RoleName="deep")["Tags"] and not may.list_attached_role_policies(RoleName="deep")["AttachedPolicies"]


def plan(account: Account, target: str) -> dict[str, Any]:
    about, instance = account.about, account.about["instances"][target]
    profile = account("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["IamInstanceProfile"]["Arn"]
    execution = f"arn:aws:states:{about['region']}:{about['accountId']}:execution:cordon-incident:{target}"
    return {
        "schema": "cordon.plan.v1", "caseId": f"{instance}-0123456789ab", "execution": execution, "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "guardDuty", "id": "f", "type": "t", "title": "t", "severity": 8, "account": about["accountId"], "region": about["region"]},
        "target": {"instanceId": instance, "account": about["accountId"], "region": about["region"], "state": "running", "interfaces": [], "volumes": [], "profile": profile, "spot": False,
                   "architecture": "x86_64", "windows": False, "memoryMib": 12, "metadata": None},
        "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"}, "memory": {"decision": "skip", "because": "policy", "reason": "none"}, "credentials": {"decision": "deny"},
        "snapshotLock": {"mode": "governance", "days": 1}, "retention": {"mode": "governance", "until": "2099-01-01T00:00:00Z"}, "disposition": {"decision": "quarantine", "reason": "text"},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T05:30:00Z"}, "earlierCase": None, "risks": [],
    }


def deny(account: Account, target: str, mode: str) -> dict[str, Any]:
    """Runs the real function."""
    planned = plan(account, target)
    visit = {"execution": planned["execution"], "state": f"Deny-{mode}", "entered": "2026-11-24T03:30:00.120Z", "retry": 0}
    answer = account("lambda").invoke(FunctionName="cordon-credentials", Payload=json.dumps({"mode": mode, "visit": visit, "plan": planned}))
    said = json.load(answer["Payload"])
    assert "FunctionError" not in answer, said
    return dict(said)


def test_every_secret_that_is_handed_out_is_known_by_its_value(account: Account) -> None:
    policy = document({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/key"})
    session = account("sts").assume_role(RoleArn=role(account, "narrowed"), RoleSessionName="narrowed", Policy=policy)["Credentials"]
    user, taken = account.ask("person", {"user": "ann"}), account.ask("credentials", {"instance": account.about["instances"]["web"]})
    known = {secret["secretAccessKey"]: secret for secret in account.ask("issued")}
    of_session = known[session["SecretAccessKey"]]
    assert of_session["sessionToken"] == session["SessionToken"] and of_session["policy"] == json.loads(policy)
    assert known[taken["secretAccessKey"]]["sessionToken"] == taken["sessionToken"] and known[user["secretAccessKey"]]["sessionToken"] is None

    account("ssm").put_parameter(Name="/leaked", Value=session["SecretAccessKey"], Type="String")
    asked = [call["request"] for call in account.calls() if call["action"] == "ssm:PutParameter"]
    assert session["SecretAccessKey"] in asked[-1], "what is asked of Systems Manager is kept, so that a leak is found"


def test_the_targets_sessions_are_denied_in_two_phases_and_its_siblings_go_on(account: Account) -> None:
    iam = account("iam")
    iam.put_role_policy(RoleName="web", PolicyName="agent", PolicyDocument=document(AGENT))
    instance = account.about["instances"]["web"]
    named = iam.get_role(RoleName="web")["Role"]["Arn"]
    stolen = [from_metadata(account, "web"), assume(account, named, instance)]
    sibling = from_metadata(account, "sibling")
    everyone = [*stolen, sibling]
    assert all(session.reads_buckets() and session.reaches_systems_manager() for session in everyone)
    pings = lambda: {item["InstanceId"]: item["PingStatus"] for item in account("ssm").describe_instance_information()["InstanceInformationList"]}
    twin = account.about["instances"]["sibling"]
    assert pings() == {instance: "Online", twin: "Online"}, "the targets with a role, and no other"

    first = deny(account, "web", "first")
    assert (first["status"], first["scope"], first["role"]) == ("denied", "allButSystemsManager", named), first
    stolen.append(from_metadata(account, "web"))
    for session in stolen:
        assert not session.reads_buckets() and session.reaches_systems_manager(), "all but the agent is denied, also to credentials that were taken before"
    assert pings() == {instance: "Online", twin: "Online"}, "so that the agent can still take the capture's command"

    full = deny(account, "web", "all")
    assert (full["status"], full["scope"]) == ("denied", "all"), full
    for session in [*stolen, from_metadata(account, "web")]:
        assert not session.reads_buckets() and not session.reaches_systems_manager()
    assert sibling.reads_buckets() and sibling.reaches_systems_manager(), "the role's other instances go on"
    assert pings() == {instance: "ConnectionLost", twin: "Online"}
    assert from_metadata(account, "sibling").reads_buckets()


def test_a_sibling_that_is_contained_too_gets_a_slot_of_its_own(account: Account) -> None:
    for target in ("web", "sibling"):
        assert deny(account, target, "first")["status"] == "denied"
    assert deny(account, "web", "all")["scope"] == "all"
    tags = {tag["Key"]: tag["Value"] for tag in account("iam").list_role_tags(RoleName="web")["Tags"]}
    web, sibling = account.about["instances"]["web"], account.about["instances"]["sibling"]
    assert tags == {"cordon-deny-1": web, "cordon-deny-all-1": web, "cordon-deny-2": sibling}
    assert not from_metadata(account, "sibling").reads_buckets()
    again = deny(account, "web", "all")
    assert (again["status"], {tag["Key"]: tag["Value"] for tag in account("iam").list_role_tags(RoleName="web")["Tags"]}) == ("denied", tags)


def test_the_policy_that_only_denies_fits_and_denies_nobody_by_default(account: Account) -> None:
    arn = setting(account, "DENY_POLICY_ARN")
    held = account("iam").get_policy_version(PolicyArn=arn, VersionId=account("iam").get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"])
    held = held["PolicyVersion"]["Document"]
    assert {statement["Effect"] for statement in held["Statement"]} == {"Deny"}
    assert len(json.dumps(held, separators=(",", ":"))) <= 6144, "a managed policy has 6,144 characters at most, without white space"
    account("iam").attach_role_policy(RoleName="web", PolicyArn=arn)
    assert from_metadata(account, "web").reads_buckets(), "without tags it denies nobody"


def test_a_session_may_be_made_to_end_sooner_than_it_was_asked_for(shared: Account) -> None:
    arn = role(shared, "short", S3)
    shared.ask("sessions", {"of": "soon-over", "seconds": 1})
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": ["arn:aws:s3:::soon-over", "*"]}]})
    make = lambda policy: shared("sts").assume_role(RoleArn=arn, RoleSessionName="short", Policy=policy, DurationSeconds=3600)["Credentials"]
    lasts = lambda given: (given["Expiration"] - datetime.now(timezone.utc)).total_seconds()
    other, short, after = make(policy.replace("soon-over", "other")), make(policy), make(policy)
    assert lasts(short) <= 1 and lasts(other) > 3500 and lasts(after) > 3500, "the next one that is named, and no other"
    s3 = lambda given: shared("s3", aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"], aws_session_token=given["SessionToken"])
    # What is said is cut to a whole second.
    until(lambda: lasts(short) < -1)
    assert refused(lambda: s3(short).list_buckets()) == "ExpiredToken"
    assert s3(after).list_buckets()["Buckets"]
