"""What the tests of the local cloud share: one deployed account and its clients, and how to wait and to be refused."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError


class Account:
    """One deployed account and its clients."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about

    def __call__(self, service: str, **credentials: str) -> Any:
        keys = credentials or {"aws_access_key_id": self.about["accessKeyId"], "aws_secret_access_key": self.about["secretAccessKey"]}
        config = Config(retries={"max_attempts": 0}, signature_version="s3v4" if service == "s3" else None)
        return boto3.client(service, endpoint_url=self.about["endpoint"], region_name=self.about["region"], config=config, **keys)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return ask(self.about["endpoint"], path, {"account": self.about["accountId"], **(body or {})})

    def calls(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.about['endpoint']}/_cordon/calls?account={self.about['accountId']}") as answer:
            return json.load(answer)

    def machine(self, name: str, definition: dict[str, Any]) -> str:
        """A state machine, with a role that exists."""
        iam = self("iam")
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        role = iam.create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        return self("stepfunctions").create_state_machine(name=name, definition=json.dumps({"QueryLanguage": "JSONata", **definition}), roleArn=role)["stateMachineArn"]

    def execution(self, definition: dict[str, Any], given: Any = None) -> dict[str, Any]:
        """Runs a state machine to its end."""
        sfn = self("stepfunctions")
        execution = sfn.start_execution(stateMachineArn=self.machine("tested", definition), input=json.dumps(given or {}))["executionArn"]
        return until(lambda: ended(sfn, execution))


def ask(endpoint: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{endpoint}/_cordon/{path}", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def ended(sfn: Any, execution: str) -> dict[str, Any] | None:
    look = sfn.describe_execution(executionArn=execution)
    return None if look["status"] == "RUNNING" else look


def until(look: Callable[[], Any], seconds: float = 20) -> Any:
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if seen := look():
            return seen
        time.sleep(0.02)
    pytest.fail(f"nothing was seen within {seconds} s; the last look gave {seen!r}")


def refused(call: Callable[[], Any]) -> str:
    """The error code that a call is refused with."""
    with pytest.raises(ClientError) as error:
        call()
    return error.value.response["Error"]["Code"]
