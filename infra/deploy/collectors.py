"""The collectors: the programs that run on targets, found in the evidence bucket by their digest."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from botocore.exceptions import ClientError

from account import Account
from console import Stop, loud, say
from package import machine

# The template's parameter for each processor.
PARAMETERS = {"x86_64": "CollectorSha256X86", "arm64": "CollectorSha256Arm64"}


def digests(folder: Path) -> dict[str, str]:
    """The template's parameters: each collector's SHA-256, or nothing where there is no collector."""
    found = {}
    for processor, parameter in PARAMETERS.items():
        path = folder / f"collector-{processor}"
        if path.is_file():
            if machine(path) != processor:
                raise Stop(f"{path} is for {machine(path)}: build it again")
            found[parameter] = hashlib.sha256(path.read_bytes()).hexdigest()
            say(f"collector for {processor}: sha256 {found[parameter]}")
        else:
            found[parameter] = ""
            loud(f"there is no collector for {processor}: memory of {processor} instances CANNOT be captured by this deployment")
    return found


def publish(account: Account, bucket: str, folder: Path) -> None:
    """Puts each collector under its digest, unless it is there. The document that runs on targets runs nothing else."""
    s3 = account("s3")
    for processor in PARAMETERS:
        path = folder / f"collector-{processor}"
        if not path.is_file():
            continue
        body = path.read_bytes()
        digest = hashlib.sha256(body)
        key = f"tools/{digest.hexdigest()}/collector-{processor}"
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*", ChecksumSHA256=base64.b64encode(digest.digest()).decode())
            say(f"published s3://{bucket}/{key}")
        except ClientError as error:
            if error.response["Error"].get("Code") != "PreconditionFailed":
                raise Stop(f"the collector cannot be put into s3://{bucket}/{key}: {error}. Memory cannot be captured before it is there; run it again with the right to s3:PutObject on tools/") from None
            if s3.get_object(Bucket=bucket, Key=key)["Body"].read() != body:
                raise Stop(f"s3://{bucket}/{key} is not what its name says. Targets refuse it, so no memory is captured. Find out who put it there (CloudTrail), delete it, and run it again") from None
            say(f"already there: s3://{bucket}/{key}")
