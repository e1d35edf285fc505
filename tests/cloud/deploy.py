"""Deploys the template as `sam package` and `sam deploy` would: code and definition go to a bucket, then the stack."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import platform
import shutil
import subprocess
import tempfile
import time
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config

REGION = "us-east-1"
STACK = "cordon"
# The targets' processor: their guests are processes of this machine. And the template parameter of the collector for each.
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
COLLECTORS = {"x86_64": "CollectorSha256X86", "arm64": "CollectorSha256Arm64"}


class DeployError(Exception):
    """The stack could not be made."""


@dataclass(frozen=True)
class Collector:
    """The program that runs on targets, and what it is told there besides its plan."""

    binary: Path
    arguments: str


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms; in C, since each account reads the template."""


def _short_form(loader: yaml.CSafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "Ref":
        return {"Ref": value}
    if suffix == "GetAtt" and isinstance(value, str):
        return {"Fn::GetAtt": value.split(".", 1)}
    return {f"Fn::{suffix}" if suffix != "Condition" else "Condition": value}


_Loader.add_multi_constructor("!", _short_form)


def read(template: Path) -> dict[str, Any]:
    return yaml.load(template.read_text(), _Loader)


def client(endpoint: str, account: str, service: str) -> Any:
    # A 12-digit access key is the root of that account, here as in both emulators.
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id=account, aws_secret_access_key="test",
                        config=Config(retries={"max_attempts": 0}, signature_version="s3v4" if service == "s3" else None))


def deploy(endpoint: str, account: str, template: Path, binaries: Path, parameters: dict[str, str], collector: Collector) -> dict[str, str]:
    """Makes the stack in `account`, publishes the collector, and gives the stack's outputs."""
    body = read(template)
    bucket = f"cordon-code-{account}"
    s3 = client(endpoint, account, "s3")
    s3.create_bucket(Bucket=bucket)

    def upload(content: bytes, suffix: str) -> dict[str, str]:
        key = hashlib.sha256(content).hexdigest() + suffix
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        return {"Bucket": bucket, "Key": key}

    uploaded: dict[Path, dict[str, str]] = {}
    for resource in body["Resources"].values():
        properties = resource.get("Properties", {})
        if isinstance(properties.get("CodeUri"), str):
            binary = binaries / Path(properties["CodeUri"]).name
            if binary not in uploaded:
                uploaded[binary] = upload(packed(binary, _changed(binary)), ".zip")
            properties["CodeUri"] = uploaded[binary]
        if isinstance(properties.get("DefinitionUri"), str):
            properties["DefinitionUri"] = upload((template.parent / properties["DefinitionUri"]).read_bytes(), ".asl.json")
    known = body.get("Parameters", {})
    program = b""
    if COLLECTORS[ARCHITECTURE] in known:
        _changed(collector.binary)
        program = stripped(collector.binary)
        parameters = {COLLECTORS[ARCHITECTURE]: hashlib.sha256(program).hexdigest(), "CollectorArguments": collector.arguments, **parameters}
    given = [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items() if k in known]
    formation = client(endpoint, account, "cloudformation")
    # It is larger than what fits into the call itself.
    where = upload(json.dumps(body).encode(), ".template")
    formation.create_stack(StackName=STACK, TemplateURL=f"{endpoint}/{where['Bucket']}/{where['Key']}", Parameters=given, Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"])
    stack = _finished(formation)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [f"  {e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in events if "FAILED" in e["ResourceStatus"]]
        raise DeployError(f"the stack is {stack['StackStatus']}: {stack.get('StackStatusReason', '')}\n" + "\n".join(failed))
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if program:
        s3.put_object(Bucket=outputs["EvidenceBucketName"], Key=f"tools/{parameters[COLLECTORS[ARCHITECTURE]]}/collector-{ARCHITECTURE}", Body=program)
    return outputs


def _finished(formation: Any) -> dict[str, Any]:
    begun = time.monotonic()
    while time.monotonic() - begun < 120:
        stack = formation.describe_stacks(StackName=STACK)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack
        time.sleep(0.05)
    raise DeployError("the stack was not made within two minutes")


def _changed(binary: Path) -> float:
    if not binary.exists():
        raise DeployError(f"there is no {binary.name} in {binary.parent}: run `make build` first")
    return binary.stat().st_mtime


def stripped(binary: Path) -> bytes:
    """The binary without its debug symbols, the same bytes every time."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / binary.name
        shutil.copy(binary, copy)
        if shutil.which("strip"):
            subprocess.run(["strip", str(copy)], check=True)
        return copy.read_bytes()


@functools.cache
def packed(binary: Path, changed: float) -> bytes:
    """The binary as Lambda wants it: `bootstrap` in a zip, the same bytes every time. It is kept beside the binary until that has
    changed: packing all of them takes half a minute."""
    kept = binary.parent / "packed" / binary.name / f"{changed}.zip"
    with contextlib.suppress(FileNotFoundError):
        return kept.read_bytes()
    content = _packed(binary)
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Others may pack at the same time.
    written = kept.with_suffix(f".{uuid.uuid4().hex}")
    written.write_bytes(content)
    written.replace(kept)
    for other in kept.parent.glob("*.zip"):
        if other != kept:
            other.unlink(missing_ok=True)
    return content


def _packed(binary: Path) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        entry = zipfile.ZipInfo("bootstrap", (2020, 1, 1, 0, 0, 0))
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(entry, stripped(binary))
    return archive.getvalue()
