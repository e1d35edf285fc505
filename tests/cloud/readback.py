"""After a deployment, what matters is read back by API: an emulator that drops a property says CREATE_COMPLETE too."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .deploy import STACK, DeployError, client, read


def check(endpoint: str, account: str, template: Path) -> None:
    """Raises with the names of all properties that the template has and the account has not."""

    @functools.cache
    def service(name: str) -> Any:
        return client(endpoint, account, name)

    stack = service("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    physical = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in stack}
    dropped = []
    for logical, resource in read(template)["Resources"].items():
        for name in _CHECKS.get(resource["Type"], {}):
            if name in resource.get("Properties", {}) and logical in physical:
                look = _CHECKS[resource["Type"]][name]
                try:
                    held = look(service, _subject(resource, physical) or physical[logical])
                except Exception as error:  # what cannot be read back counts as dropped
                    held, name = False, f"{name} ({error})"
                if not held:
                    dropped.append(f"{logical}.{name}")
    if dropped:
        raise DeployError("the deployment dropped, in silence: " + ", ".join(dropped))


def _subject(resource: dict[str, Any], physical: dict[str, str]) -> str | None:
    """A policy is read at the bucket that it is for."""
    bucket = resource["Properties"].get("Bucket")
    return physical.get(bucket["Ref"]) if isinstance(bucket, dict) and "Ref" in bucket else None


def _policy(iam: Any, arn: str) -> str:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return json.dumps(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _document_is_whole(ssm: Any, name: str) -> bool:
    """Whether its content is what its hash says, with every parameter of the template filled in."""
    content = ssm.get_document(Name=name)["Content"]
    return ssm.describe_document(Name=name)["Document"]["Hash"] == hashlib.sha256(content.encode()).hexdigest() and "${" not in content


Look = Callable[[Callable[[str], Any], str], bool]

_CHECKS: dict[str, dict[str, Look]] = {
    "AWS::S3::Bucket": {
        "ObjectLockEnabled": lambda c, b: c("s3").get_object_lock_configuration(Bucket=b)["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled",
        "VersioningConfiguration": lambda c, b: c("s3").get_bucket_versioning(Bucket=b).get("Status") == "Enabled",
        "PublicAccessBlockConfiguration": lambda c, b: all(c("s3").get_public_access_block(Bucket=b)["PublicAccessBlockConfiguration"].values()),
        "BucketEncryption": lambda c, b: bool(c("s3").get_bucket_encryption(Bucket=b)["ServerSideEncryptionConfiguration"]["Rules"]),
        "LifecycleConfiguration": lambda c, b: bool(c("s3").get_bucket_lifecycle_configuration(Bucket=b)["Rules"]),
    },
    "AWS::S3::BucketPolicy": {"PolicyDocument": lambda c, b: bool(c("s3").get_bucket_policy(Bucket=b)["Policy"])},
    "AWS::SNS::Topic": {"KmsMasterKeyId": lambda c, t: bool(c("sns").get_topic_attributes(TopicArn=t)["Attributes"].get("KmsMasterKeyId"))},
    "AWS::KMS::Key": {"KeyPolicy": lambda c, k: "Deny" in c("kms").get_key_policy(KeyId=k, PolicyName="default")["Policy"]},
    "AWS::Events::Rule": {
        "EventPattern": lambda c, r: bool(c("events").describe_rule(Name=r.split("/")[-1]).get("EventPattern")),
        "Targets": lambda c, r: all("DeadLetterConfig" in t and "RetryPolicy" in t for t in c("events").list_targets_by_rule(Rule=r.split("/")[-1])["Targets"]),
    },
    "AWS::Logs::LogGroup": {"RetentionInDays": lambda c, g: bool(c("logs").describe_log_groups(logGroupNamePrefix=g)["logGroups"][0].get("retentionInDays"))},
    "AWS::CloudWatch::Alarm": {"AlarmActions": lambda c, a: bool(c("cloudwatch").describe_alarms(AlarmNames=[a])["MetricAlarms"][0].get("AlarmActions"))},
    "AWS::IAM::ManagedPolicy": {"PolicyDocument": lambda c, p: '"Statement"' in _policy(c("iam"), p)},
    "AWS::IAM::Role": {
        "MaxSessionDuration": lambda c, r: c("iam").get_role(RoleName=r)["Role"]["MaxSessionDuration"] >= 3600,
        "AssumeRolePolicyDocument": lambda c, r: bool(c("iam").get_role(RoleName=r)["Role"]["AssumeRolePolicyDocument"]["Statement"]),
        "Policies": lambda c, r: bool(c("iam").list_role_policies(RoleName=r)["PolicyNames"]),
    },
    "AWS::SSM::Document": {"Content": lambda c, d: _document_is_whole(c("ssm"), d)},
    "AWS::SSM::Parameter": {"Value": lambda c, p: bool(c("ssm").get_parameter(Name=p)["Parameter"]["Value"])},
    "AWS::Serverless::Function": {
        "ReservedConcurrentExecutions": lambda c, f: "ReservedConcurrentExecutions" in c("lambda").get_function_concurrency(FunctionName=f),
        "Environment": lambda c, f: bool(c("lambda").get_function_configuration(FunctionName=f)["Environment"]["Variables"]),
        "Timeout": lambda c, f: c("lambda").get_function_configuration(FunctionName=f)["Timeout"] > 3,
        "Policies": lambda c, f: bool(c("iam").list_role_policies(RoleName=c("lambda").get_function_configuration(FunctionName=f)["Role"].split("/")[-1])["PolicyNames"]),
    },
    "AWS::Serverless::StateMachine": {
        "DefinitionUri": lambda c, m: "${" not in c("stepfunctions").describe_state_machine(stateMachineArn=m)["definition"],
        "Logging": lambda c, m: c("stepfunctions").describe_state_machine(stateMachineArn=m).get("loggingConfiguration", {}).get("level", "OFF") != "OFF",
    },
}
