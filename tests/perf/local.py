"""A local cloud of our own for a benchmark, and the incidents that are run on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

import demo

from . import template
from .paths import ROOT

PATIENCE_SECONDS = 180
# Waits of the state machine take a hundredth of their length; the steps see the whole of it.
WAIT_SCALE = 0.01


class Broken(Exception):
    """What was to be measured did not work, so that a time would be worth nothing."""


@dataclass(frozen=True)
class Incident:
    """One execution, ended."""

    instance: str
    sent: float
    """When the finding was sent, in seconds since 1970, as the call log has its times."""
    status: str
    output: dict[str, Any]
    definition: dict[str, Any]
    history: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    """Every call to AWS from the finding to the end, by whomever."""


class Account:
    """One account of the local cloud, with Cordon deployed in it."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.about["endpoint"], region_name=self.about["region"], aws_access_key_id=self.about["accessKeyId"],
            aws_secret_access_key=self.about["secretAccessKey"], config=Config(retries={"max_attempts": 0}),
        )

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Asks the cloud's own interface, `/_cordon/…`, about this account."""
        content = None if body is None else json.dumps({"account": self.about["accountId"], **body}).encode()
        where = path if content else f"{path}?account={self.about['accountId']}"
        request = urllib.request.Request(f"{self.about['endpoint']}/_cordon/{where}", content, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def set_policy(self, policy: dict[str, Any]) -> None:
        """Replaces the policy. What it leaves out has its default."""
        self.client("ssm").put_parameter(Name="/cordon/policy", Value=json.dumps({"schema": "cordon.policy.v1", **policy}), Overwrite=True)

    def delay(self, milliseconds: int) -> None:
        """Makes every answer of AWS to a function, or to a program that calls the same actions, so much later. Answers are
        late at the same time, as they would be on a network, and not one after the other."""
        rules = [{"action": action, "kind": "delay", "seconds": milliseconds / 1000, "count": -1} for action in sorted(template.actions())]
        self.ask("faults", {"faults": rules if milliseconds else []})

    def targets(self, count: int, interfaces: int) -> list[str]:
        """New instances in a VPC of their own."""
        return list(self.ask("targets", {"count": count, "interfaces": interfaces})["instances"])

    def incident(self, instance: str) -> Incident:
        """Sends what GuardDuty would send of `instance`, and waits until the execution has ended as it should."""
        sfn = self.client("stepfunctions")
        before = set(self._executions(sfn))
        sent = time.time()
        detail = demo.finding(self.about, instance)
        self.ask("event", {"source": "aws.guardduty", "detailType": "GuardDuty Finding", "detail": detail, "resources": []})
        execution = until("the finding starts an execution", lambda: next(iter(set(self._executions(sfn)) - before), None))

        def ended() -> dict[str, Any] | None:
            look = sfn.describe_execution(executionArn=execution)
            return None if look["status"] == "RUNNING" else dict(look)

        look = until(f"{execution} ends", ended)
        output = json.loads(look.get("output") or "{}")
        if look["status"] != "SUCCEEDED" or not output.get("caseId"):
            raise Broken(f"the incident of {instance} ended {look['status']}: {look.get('cause') or output}")
        history = [event for page in sfn.get_paginator("get_execution_history").paginate(executionArn=execution) for event in page["events"]]
        definition = json.loads(sfn.describe_state_machine(stateMachineArn=self.about["stateMachineArn"])["definition"])
        return Incident(instance, sent, look["status"], output, definition, history, self.calls(sent))

    def calls(self, since: float) -> list[dict[str, Any]]:
        return sorted((call for call in self.ask("calls") if call["t"] >= since), key=lambda call: float(call["t"]))

    def _executions(self, sfn: Any) -> list[str]:
        return [execution["executionArn"] for execution in sfn.list_executions(stateMachineArn=self.about["stateMachineArn"])["executions"]]


def until(what: str, look: Callable[[], Any], patience: float = PATIENCE_SECONDS, every: float = 0.1) -> Any:
    """What `look` gives as soon as it gives something."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        if seen := look():
            return seen
        # Seldom enough to leave the emulator to those whom we measure.
        time.sleep(every)
    raise Broken(f"this did not happen within {patience} s: {what}")


@contextmanager
def cloud(name: str, binaries: Path, wait_scale: float = WAIT_SCALE) -> Iterator[Account]:
    """A local cloud while the block runs; its log stays below target/perf."""
    folder = ROOT / "target" / "perf" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    description, log = folder / "cloud.json", folder / "cloud.log"
    command = [sys.executable, "-m", "cloud", "--until-stdin-closes", "--dir", str(folder), "--binaries", str(binaries), "--wait-scale", str(wait_scale)]
    environment = {"PYTHONPATH": str(ROOT / "tests"), "PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)
    try:

        def deployed() -> bool:
            if process.poll() is not None:
                raise Broken(f"the local cloud did not start:\n{log.read_text()}")
            return description.exists()

        until("the local cloud is deployed", deployed)
        yield Account(json.loads(description.read_text()))
    finally:
        process.terminate()
        process.wait(timeout=30)
