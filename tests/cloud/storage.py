"""S3: what a policy sees of a write, the checksum and the key that S3 uses by itself, how strict a presigned URL is, and
that equal objects are held once."""

from __future__ import annotations

import hashlib
from typing import Any

import ministack.app as app
import ministack.core.iam_actions as iam_actions
import ministack.core.iam_evaluator as evaluator
import ministack.services.s3 as s3
from awscrt import checksums
from ministack.core import responses

from .patching import replace, require

Answer = tuple[int, dict[str, str], bytes]


def install() -> None:
    require(app, "AUTH")
    replace(iam_actions, "s3_service_context", _conditions_of_a_write)
    replace(iam_actions, "s3_additional_checks", _versions_in_a_batch)
    replace(s3, "_crc64nvme", lambda original: checksums.crc64nvme)  # in pure Python, 256 MiB would take minutes
    replace(s3, "_resolve_object_checksums", _checksum_by_default)
    replace(s3, "_verify_presigned_sigv4", _every_header_signed)
    replace(s3, "_dispatch", _as_the_caller_may)
    replace(s3, "_build_object_record", _held_once)


# The large objects in memory, by the hash of what they hold.
_held: dict[bytes, bytes] = {}


def _held_once(original: Any) -> Any:
    """Every account gets the same code: a copy for each of them, some 250 MB, would fill a machine in fifty journeys.

    Lambda takes its functions' code from here, and so holds the same bytes."""

    def record(body: bytes, *rest: Any, **named: Any) -> Any:
        if len(body) >= 1 << 20:
            body = _held.setdefault(hashlib.sha256(body).digest(), body)
        return original(body, *rest, **named)

    return record


def _conditions_of_a_write(original: Any) -> Any:
    def context(action: str, query: Any, path: str = "", headers: Any = None) -> dict[str, Any]:
        found = original(action, query, path, headers)
        if action == "s3:PutObject":
            headers, query = headers or {}, query or {}
            plain = ("if-none-match", "if-match", "x-amz-server-side-encryption-aws-kms-key-id")
            locks = ("x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold")
            found |= {f"s3:{name}": headers[name] for name in plain if headers.get(name)}
            found |= {f"s3:{name.removeprefix('x-amz-')}": headers[name] for name in locks if headers.get(name)}
            # Creating and filling a multipart upload makes no object yet.
            found["s3:ObjectCreationOperation"] = "false" if "uploads" in query or "partNumber" in query else "true"
        return found

    return context


def _versions_in_a_batch(original: Any) -> Any:
    """DeleteObjects with version ids needs s3:DeleteObjectVersion, as DeleteObject does."""

    def checks(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        found = original(method, path, headers, body, query)
        if method == "POST" and "delete" in (query or {}):
            targets = iam_actions._s3_batch_delete_targets(path.strip("/").split("/")[0], body)
            found += [("s3:DeleteObjectVersion", arn) for arn, version in targets[:1] if version]
        return found

    return checks


def _checksum_by_default(original: Any) -> Any:
    """S3 stores a CRC64NVME where the client sends no checksum."""

    def resolve(body: bytes, headers: Any) -> Any:
        found, error = original(body, headers)
        if not found and not error:
            found = {"CRC64NVME": s3._compute_s3_checksum("CRC64NVME", body)}
        return found, error

    return resolve


def _every_header_signed(original: Any) -> Any:
    """Who holds a presigned URL can add nothing to it: each `x-amz-` header and Content-MD5 must have been signed [facts 50]."""

    def verify(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> Any:
        error = original(method, path, headers, query)
        if error is None and (signed := s3._qp(query, "X-Amz-SignedHeaders")):
            added = [name for name in headers if (name.startswith("x-amz-") or name == "content-md5") and name not in signed.lower().split(";")]
            if added:
                return s3._error("AccessDenied", f"There were headers present in the request which were not signed: {', '.join(sorted(added))}", 403, path)
        return error

    return verify


def _as_the_caller_may(original: Any) -> Any:
    """What S3 asks of a caller besides the right to the action: to use the key that encrypts, and to know what is there."""

    def dispatch(method: str, bucket: str, key: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
        caller = s3._request_access_key(method, key, headers, query, body) if app.AUTH and key else ""
        if caller and (refused := _without_the_key(caller, method, bucket, key, headers, query)):
            return refused
        if method == "PUT" and key and "transfer-encoding" in headers and "x-amz-decoded-content-length" not in headers:
            return s3._error("MissingContentLength", "You must provide the Content-Length HTTP header.", 411, f"/{bucket}/{key}")
        answer: Answer = original(method, bucket, key, headers, body, query)
        # Who may not list a bucket is not told what it lacks.
        if caller and answer[0] == 404 and method in ("GET", "HEAD") and "uploadId" not in query and bucket in s3._buckets:
            if evaluator.enforce(caller, "s3:ListBucket", "s3", responses.get_region(), resource_arn=f"arn:aws:s3:::{bucket}"):
                return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}/{key}")
        return answer

    return dispatch


def _without_the_key(caller: str, method: str, bucket: str, key: str, headers: dict[str, str], query: dict[str, Any]) -> Answer | None:
    """The refusal where the caller may not use the KMS key: to write an object, to fill an upload (both ways), to read."""
    if method == "PUT" and not query.keys() & {"retention", "tagging", "legal-hold", "acl"} and "partNumber" not in query:
        encryption, actions = {**s3._bucket_default_sse_headers(bucket), **headers}, ("GenerateDataKey",)
    elif method == "POST" and "uploads" in query:
        encryption, actions = {**s3._bucket_default_sse_headers(bucket), **headers}, ("GenerateDataKey",)
    elif upload := s3._multipart_uploads.get(s3._qp(query, "uploadId")) if method in ("PUT", "POST") else None:
        encryption, actions = upload["preserved_headers"], ("GenerateDataKey", "Decrypt")
    elif method in ("GET", "HEAD") and not query.keys() & {"retention", "tagging", "legal-hold", "acl", "uploadId"}:
        found = (s3._buckets.get(bucket) or {}).get("objects", {}).get(key)
        encryption, actions = (found or {}).get("preserved_headers", {}), ("Decrypt",)
    else:
        return None
    arn = encryption.get("x-amz-server-side-encryption-aws-kms-key-id")
    for action in actions if arn else ():
        if denied := evaluator.enforce(caller, f"kms:{action}", "kms", responses.get_region(), resource_arn=arn):
            who = getattr(denied, "principal_arn", "the caller")
            return s3._error("AccessDenied", f"User: {who} is not authorized to perform: kms:{action} on resource: {arn}", 403, f"/{bucket}/{key}")
    return None
