"""The account and Region of the AWS environment, and the clients for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError

from console import Stop


@dataclass(frozen=True)
class Account:
    """Where everything is done, and by whom."""

    number: str
    region: str
    caller: str
    session: boto3.Session

    def __call__(self, service: str) -> Any:
        # Signature version 4 of S3 names its Region in every partition.
        return self.session.client(service, config=Config(signature_version="s3v4") if service == "s3" else Config(retries={"mode": "standard", "max_attempts": 8}))

    def console(self, path: str) -> str:
        """The address of a page of the AWS console."""
        suffix = {"aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}.get(self.session.get_partition_for_region(self.region), "aws.amazon.com")
        return f"https://{self.region}.console.{suffix}/{path}"


def of_environment() -> Account:
    """Asks AWS who we are, before anything else is done."""
    try:
        # Unlike the other SDKs and tools, boto3 does not read AWS_REGION.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        if not session.region_name:
            raise Stop("no Region is set: export AWS_REGION, for example AWS_REGION=eu-central-1")
        identity = session.client("sts").get_caller_identity()
    except ProfileNotFound as error:
        raise Stop(f"{error}: AWS_PROFILE names a profile that ~/.aws/config does not have") from None
    except (NoCredentialsError, PartialCredentialsError):
        raise Stop("there are no AWS credentials: set AWS_PROFILE, or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
    except TokenRetrievalError as error:
        raise Stop(f"{error}: sign in again with `aws sso login`") from None
    except ClientError as error:
        raise Stop(f"AWS does not take these credentials ({error.response['Error'].get('Code')}): sign in again, or set AWS_PROFILE to another profile") from None
    return Account(identity["Account"], session.region_name, identity["Arn"], session)
