"""S3: what a bucket policy sees of a conditional or locked write, and the checksum that S3 makes itself."""

from __future__ import annotations

from typing import Any

import ministack.core.iam_actions as iam_actions
import ministack.services.s3 as s3

from .patching import replace


def install() -> None:
    replace(iam_actions, "s3_service_context", _conditions_of_a_write)
    replace(iam_actions, "s3_additional_checks", _versions_in_a_batch)
    replace(s3, "_resolve_object_checksums", _checksum_by_default)


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
        checksums, error = original(body, headers)
        if not checksums and not error:
            checksums = {"CRC64NVME": s3._compute_s3_checksum("CRC64NVME", body)}
        return checksums, error

    return resolve
