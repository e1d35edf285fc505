"""What a deployment leaves: documents in Systems Manager, policies in IAM, and the collector where its document looks for it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .deploy import ARCHITECTURE
from .harness import Account, refused, until


def test_the_collector_lies_where_its_digest_says_and_the_document_runs_no_other(account: Account) -> None:
    s3, ssm, bucket = account("s3"), account("ssm"), account.about["bucket"]
    published = s3.list_objects_v2(Bucket=bucket, Prefix="tools/")["Contents"]
    assert len(published) == 1
    digest = hashlib.sha256(s3.get_object(Bucket=bucket, Key=published[0]["Key"])["Body"].read()).hexdigest()
    assert published[0]["Key"] == f"tools/{digest}/collector-{ARCHITECTURE}"
    content = ssm.get_document(Name="cordon-capture")["Content"]
    assert digest in content and "--root . --file memory" in content and "${" not in content


def test_a_document_of_a_stack_gets_versions_and_goes_with_it(account: Account) -> None:
    formation, ssm = account("cloudformation"), account("ssm")

    def template(line: str, as_text: bool = False) -> str:
        content: Any = {"schemaVersion": "2.2", "mainSteps": [{"action": "aws:runShellScript", "name": "s", "inputs": {"runCommand": [line]}}]}
        properties = {"Name": "of-a-stack", "DocumentType": "Command", "UpdateMethod": "NewVersion", "Content": json.dumps(content) if as_text else content}
        role = {"MaxSessionDuration": 7200, "RoleName": "of-a-stack", "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}}
        return json.dumps({"Resources": {"Document": {"Type": "AWS::SSM::Document", "Properties": properties}, "Role": {"Type": "AWS::IAM::Role", "Properties": role}}})

    def settled() -> str | None:
        status = formation.describe_stacks(StackName="documents")["Stacks"][0]["StackStatus"]
        return None if status.endswith("IN_PROGRESS") else status

    formation.create_stack(StackName="documents", TemplateBody=template("echo one"), Capabilities=["CAPABILITY_NAMED_IAM"])
    assert until(settled) == "CREATE_COMPLETE"
    assert account("iam").get_role(RoleName="of-a-stack")["Role"]["MaxSessionDuration"] == 7200
    formation.update_stack(StackName="documents", TemplateBody=template("echo two", as_text=True), Capabilities=["CAPABILITY_NAMED_IAM"])
    assert until(settled) == "UPDATE_COMPLETE"
    described = ssm.describe_document(Name="of-a-stack")["Document"]
    assert (described["DocumentVersion"], described["DefaultVersion"]) == ("2", "2")
    assert "echo two" in ssm.get_document(Name="of-a-stack")["Content"] and "echo one" in ssm.get_document(Name="of-a-stack", DocumentVersion="1")["Content"]
    formation.delete_stack(StackName="documents")
    until(lambda: all(item["Name"] != "of-a-stack" for item in ssm.list_documents(MaxResults=50)["DocumentIdentifiers"]))
    assert refused(lambda: ssm.get_document(Name="of-a-stack")) == "InvalidDocument"
