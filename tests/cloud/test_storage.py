"""S3 as a capture of memory needs it: parts by presigned URLs, a checksum of the whole object, and nothing beyond what was signed."""

from __future__ import annotations

import base64
import json
import os
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from awscrt.checksums import crc64nvme
from botocore.client import BaseClient

from .harness import Account, refused

PART = 5 << 20
KEY = "cases/c/memory/image.lime"


def whole(content: bytes) -> str:
    return base64.b64encode(struct.pack(">Q", crc64nvme(content))).decode()


def send(url: str, body: bytes | Iterator[bytes] | None = None, **headers: str) -> int:
    """The status that a request with a presigned URL ends with."""
    # Without a type, `urllib` would say that it is a form.
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream", **headers}, method="GET" if body is None else "PUT")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


class Upload:
    """A multipart upload, begun."""

    def __init__(self, s3: BaseClient, bucket: str, key: str = KEY, **extra: str) -> None:
        self.s3, self.named = s3, {"Bucket": bucket, "Key": key}
        self.id = s3.create_multipart_upload(**self.named, **extra)["UploadId"]

    def url(self, number: int, signer: Any = None, seconds: int = 300) -> str:
        return str((signer or self.s3).generate_presigned_url("upload_part", {**self.named, "UploadId": self.id, "PartNumber": number}, seconds))

    def parts(self, **page: int) -> dict[str, Any]:
        return self.s3.list_parts(**self.named, UploadId=self.id, **page)

    def complete(self, **extra: Any) -> dict[str, Any]:
        parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in self.parts()["Parts"]]
        return self.s3.complete_multipart_upload(**self.named, UploadId=self.id, MultipartUpload={"Parts": parts}, **extra)


def test_an_upload_without_a_word_about_checksums_gets_one_of_the_whole_object(account: Account) -> None:
    s3, content = account("s3"), os.urandom(2 * PART + 10)
    upload = Upload(s3, account.about["bucket"])
    for number in (2, 1, 3):
        assert send(upload.url(number), content[(number - 1) * PART : number * PART]) == 200
    page = upload.parts(MaxParts=2)
    assert [(part["PartNumber"], part["Size"]) for part in page["Parts"]] == [(1, PART), (2, PART)] and page["IsTruncated"]
    rest = upload.parts(PartNumberMarker=page["NextPartNumberMarker"])
    assert [(part["PartNumber"], part["Size"]) for part in rest["Parts"]] == [(3, 10)] and not rest["IsTruncated"]

    assert refused(lambda: upload.complete(IfNoneMatch="*", MpuObjectSize=len(content) + 1)) == "InvalidRequest"
    assert refused(lambda: upload.complete(IfNoneMatch="*", ChecksumCRC64NVME=whole(b"x"))) == "BadDigest"
    done = upload.complete(IfNoneMatch="*", MpuObjectSize=len(content))
    assert (done["ChecksumCRC64NVME"], done["ChecksumType"]) == (whole(content), "FULL_OBJECT")
    of_version = {**upload.named, "VersionId": done["VersionId"]}
    for named in (upload.named, of_version):
        head = s3.head_object(**named, ChecksumMode="ENABLED")
        assert (head["ChecksumCRC64NVME"], head["ChecksumType"], head["ContentLength"]) == (whole(content), "FULL_OBJECT", len(content))
        attributes = s3.get_object_attributes(**named, ObjectAttributes=["Checksum", "ObjectSize", "ObjectParts"])
        assert attributes["Checksum"] == {"ChecksumCRC64NVME": whole(content), "ChecksumType": "FULL_OBJECT"}
        assert (attributes["ObjectSize"], attributes["ObjectParts"]["TotalPartsCount"]) == (len(content), 3)
    assert s3.get_object(**upload.named)["Body"].read() == content

    assert refused(lambda: upload.s3.complete_multipart_upload(**upload.named, UploadId=upload.id, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "x"}]})) == "NoSuchUpload"
    assert refused(upload.parts) == "NoSuchUpload" and send(upload.url(1), b"x") == 404
    again = Upload(s3, account.about["bucket"])
    assert send(again.url(1), b"x") == 200
    assert refused(lambda: again.complete(IfNoneMatch="*")) == "PreconditionFailed", "what is there is not overwritten"
    s3.abort_multipart_upload(**again.named, UploadId=again.id)
    assert refused(again.parts) == "NoSuchUpload"

    until = "2031-01-01T00:00:00Z"
    s3.put_object_retention(**of_version, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until})
    assert s3.get_object_retention(**of_version)["Retention"]["Mode"] == "GOVERNANCE"


def test_an_upload_keeps_the_checksum_that_was_asked_for(account: Account) -> None:
    s3 = account("s3")
    for named, kind in (("CRC64NVME", "FULL_OBJECT"), ("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("SHA256", "COMPOSITE")):
        key = f"cases/c/memory/{named}-{kind}"
        upload = Upload(s3, account.about["bucket"], key, ChecksumAlgorithm=named, ChecksumType=kind)
        answer = s3.upload_part(**upload.named, UploadId=upload.id, PartNumber=1, Body=b"x" * 10, ChecksumAlgorithm=named)
        part = {"PartNumber": 1, "ETag": answer["ETag"], f"Checksum{named}": answer[f"Checksum{named}"]}
        # The target can name no checksum, since its URL was signed without one.
        assert send(upload.url(2), b"x") == (200 if kind == "FULL_OBJECT" else 400), (named, kind)
        done = s3.complete_multipart_upload(**upload.named, UploadId=upload.id, MultipartUpload={"Parts": [part]}, IfNoneMatch="*")
        assert done["ChecksumType"] == kind and done[f"Checksum{named}"].endswith("-1") == (kind == "COMPOSITE"), (named, kind)
    for named, kind in (("CRC64NVME", "COMPOSITE"), ("SHA256", "FULL_OBJECT")):
        assert refused(lambda named=named, kind=kind: Upload(s3, account.about["bucket"], KEY, ChecksumAlgorithm=named, ChecksumType=kind)) == "InvalidRequest"


def test_parts_but_the_last_have_a_smallest_size_and_an_order(account: Account) -> None:
    s3 = account("s3")
    upload = Upload(s3, account.about["bucket"])
    for number in (1, 2):
        assert send(upload.url(number), b"x" * (PART - 1)) == 200
    assert refused(lambda: upload.complete(IfNoneMatch="*")) == "EntityTooSmall"
    parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in reversed(upload.parts()["Parts"])]
    finish = lambda parts: s3.complete_multipart_upload(**upload.named, UploadId=upload.id, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    assert refused(lambda: finish(parts)) == "InvalidPartOrder"
    assert refused(lambda: finish([{"PartNumber": 7, "ETag": parts[0]["ETag"]}])) == "InvalidPart"
    assert refused(lambda: finish([{**parts[0], "ETag": '"00000000000000000000000000000000"'}])) == "InvalidPart"


def test_a_presigned_url_is_good_for_what_was_signed_and_for_so_long(account: Account) -> None:
    upload = Upload(account("s3"), account.about["bucket"])
    url = upload.url(1)
    assert send(url.replace("partNumber=1", "partNumber=2"), b"x") == 403
    assert send(url.replace("image.lime", "other.lime"), b"x") == 403
    assert send(url, b"x", **{"x-amz-checksum-crc32": "AAAAAA=="}) == 403, "a header that nobody signed"
    assert send(url, b"x", **{"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}) == 403
    assert send(url, iter([b"x"])) == 411, "a body of unknown length"
    assert send(url, b"x") == 200
    short = upload.url(1, seconds=1)
    time.sleep(1.1)
    assert send(short, b"x") == 403


def test_a_session_policy_limits_a_url_to_one_key_and_one_action(account: Account) -> None:
    s3, iam, about = account("s3"), account("iam"), account.about
    key = s3.get_bucket_encryption(Bucket=about["bucket"])["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{about['accountId']}:root"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="uploads", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="uploads", PolicyName="all", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}]}))

    def session(*statements: dict[str, Any]) -> Any:
        policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]})
        keys = account("sts").assume_role(RoleArn=role, RoleSessionName="capture", Policy=policy)["Credentials"]
        return account("s3", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])

    parts = {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{about['bucket']}/{KEY}"}
    encrypt = {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key}
    upload = Upload(s3, about["bucket"])
    one_key = session(parts, encrypt)
    url = upload.url(1, one_key)
    assert send(url, b"x") == 200
    assert send(one_key.generate_presigned_url("get_object", {"Bucket": about["bucket"], "Key": KEY})) == 403
    assert send(one_key.generate_presigned_url("put_object", {"Bucket": about["bucket"], "Key": "cases/c/plan.json"}), b"x") == 403
    assert send(upload.url(1, session(parts)), b"x") == 403, "to fill an encrypted upload needs its key"
    token = url.split("X-Amz-Security-Token=")[1].split("&")[0]
    assert send(url.replace(token, token[:-4] + "AAAA"), b"x") in (400, 403)
    assert [call["error"] for call in account.calls() if call["principal"].endswith("/uploads/capture") and call["status"] == 200] == [None]

    # Who may not list is told of no key whether it is there.
    reader = session({"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{about['bucket']}/work/*"}, encrypt)
    there = reader.generate_presigned_url("get_object", {"Bucket": about["bucket"], "Key": "work/c/wave-2"})
    assert send(there) == 403
    s3.put_object(Bucket=about["bucket"], Key="work/c/wave-2", Body=b"{}")
    assert send(there) == 200
    assert refused(lambda: s3.get_object(Bucket=about["bucket"], Key="work/c/none")) == "NoSuchKey"


def test_an_image_of_a_quarter_of_a_gibibyte_is_no_trouble(account: Account) -> None:
    part = os.urandom(32 << 20)
    upload = Upload(account("s3"), account.about["bucket"])
    began = time.monotonic()
    for number in range(1, 9):
        assert send(upload.url(number), part) == 200
    done = upload.complete(IfNoneMatch="*", MpuObjectSize=8 * len(part))
    assert done["ChecksumCRC64NVME"] == whole(part * 8)
    assert time.monotonic() - began < 60, "a checksum in pure Python would take minutes"
