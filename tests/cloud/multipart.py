"""S3's multipart uploads: a checksum of the whole object, the smallest part, and that an upload ends once."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import ministack.services.s3 as s3
from awscrt import checksums

from .patching import replace, require

Answer = tuple[int, dict[str, str], bytes]
SMALLEST_PART = 5 << 20  # but for the last one of an upload

# The checksums that S3 can make of a whole object from those of its parts, and their format. The others are made of the
# parts' digests (COMPOSITE).
_WHOLE: dict[str, tuple[Callable[[int, int, int], int], str]] = {
    "CRC64NVME": (checksums.combine_crc64nvme, ">Q"), "CRC32": (checksums.combine_crc32, ">I"), "CRC32C": (checksums.combine_crc32c, ">I"),
}


def install() -> None:
    require(s3, "_multipart_uploads")
    require(s3, "_completed_multipart_uploads")
    replace(s3, "_create_multipart_upload", _with_a_type)
    replace(s3, "_upload_part", _with_its_checksum)
    replace(s3, "_complete_multipart_upload", _whole)
    replace(s3, "_get_object_attributes", _typed_attributes)
    replace(s3, "_version_entry_from_record", _typed_version)
    replace(s3, "_object_record_from_version", _typed_version)


def _with_a_type(original: Any) -> Any:
    """Without a word about checksums, an object gets a CRC64NVME of the whole."""

    def create(bucket: str, key: str, headers: dict[str, str]) -> Answer:
        named = (headers.get("x-amz-checksum-algorithm") or headers.get("x-amz-sdk-checksum-algorithm") or "").upper()
        algorithm = named or "CRC64NVME"
        kind = headers.get("x-amz-checksum-type", "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE").upper()
        if kind == ("COMPOSITE" if algorithm == "CRC64NVME" else "FULL_OBJECT") and (algorithm == "CRC64NVME" or algorithm not in _WHOLE):
            return s3._error("InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.", 400)
        status, answered, body = original(bucket, key, headers)
        if status == 200:
            upload = s3._multipart_uploads[_between(body, "UploadId")]
            upload.update(checksum_algorithm=algorithm, checksum_type=kind, named_checksum=bool(named))
            if named:
                answered["x-amz-checksum-type"] = kind
        return status, answered, body

    return create


def _with_its_checksum(original: Any) -> Any:
    """An upload made for a composite checksum takes no part without it; a whole-object checksum S3 makes itself [facts 52]."""

    def put(bucket: str, key: str, body: bytes, query: dict[str, Any], headers: dict[str, str]) -> Answer:
        upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"))
        if upload and upload["named_checksum"] and upload["checksum_type"] == "COMPOSITE":
            algorithm = upload["checksum_algorithm"].lower()
            if not headers.get(f"x-amz-checksum-{algorithm}"):
                return s3._error("InvalidRequest", f"Checksum Type mismatch occurred, expected checksum Type: {algorithm}, actual checksum Type: null", 400)
        return original(bucket, key, body, query, headers)

    return put


def _whole(original: Any) -> Any:
    def complete(bucket: str, key: str, body: bytes, query: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
        identifier = s3._qp(query, "uploadId")
        upload = s3._multipart_uploads.get(identifier)
        if upload is None:
            return original(bucket, key, body, query, headers)
        if refused := _refused(upload, body, f"/{bucket}/{key}"):
            return refused
        value, algorithm = None, upload["checksum_algorithm"]
        if upload["checksum_type"] == "FULL_OBJECT":
            value = _checksum([upload["parts"][number] for number in _numbers(body) if number in upload["parts"]], algorithm)
            given = (headers or {}).get(f"x-amz-checksum-{algorithm.lower()}", value)
            if given != value:
                return s3._error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.", 400, f"/{bucket}/{key}")
            upload["checksum_algorithm"] = None  # the original would make a composite
        status, answered, answer = original(bucket, key, body, query, headers)
        upload["checksum_algorithm"] = algorithm
        if status == 200:
            # S3 takes an upload id once; the emulator would give the same answer for ever.
            s3._completed_multipart_uploads.pop(identifier, None)
            if value is not None:
                found = s3._buckets[bucket]["objects"][key]
                versions = [version for version in s3._object_versions.get((bucket, key), []) if version["version_id"] == found.get("version_id")]
                for record in (found, *versions):
                    record.update(checksums={algorithm: value}, checksum_type="FULL_OBJECT")
                added = f"<Checksum{algorithm}>{value}</Checksum{algorithm}><ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>"
                answer = answer.replace(b"</CompleteMultipartUploadResult>", added.encode())
        return status, answered, answer

    return complete


def _refused(upload: dict[str, Any], body: bytes, resource: str) -> Answer | None:
    numbers = _numbers(body)
    if not numbers:
        return s3._error("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema", 400, resource)
    if numbers != sorted(set(numbers)):
        return s3._error("InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in order by part number.", 400, resource)
    small = [number for number in numbers[:-1] if number in upload["parts"] and upload["parts"][number]["size"] < SMALLEST_PART]
    if small:
        return s3._error("EntityTooSmall", f"Your proposed upload is smaller than the minimum allowed size: part {small[0]}", 400, resource)
    return None


def _numbers(body: bytes) -> list[int]:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return []
    return [int(element.text or 0) for element in root.iter() if element.tag.rpartition("}")[2] == "PartNumber"]


def _checksum(parts: list[dict[str, Any]], algorithm: str) -> str:
    """The checksum of the joined parts, without joining them."""
    combine, form = _WHOLE[algorithm]
    value = 0
    for part in parts:
        held = part.get("checksums", {}).get(algorithm) or s3._compute_s3_checksum(algorithm, part["body"])
        value = combine(value, struct.unpack(form, base64.b64decode(held))[0], part["size"])
    return base64.b64encode(struct.pack(form, value)).decode()


def _typed_attributes(original: Any) -> Any:
    """The emulator takes every object of several parts for one with a composite checksum."""

    def attributes(bucket: str, key: str, headers: dict[str, str], query: dict[str, Any]) -> Answer:
        status, answered, body = original(bucket, key, headers, query)
        version = answered.get("x-amz-version-id")
        held = next((v for v in s3._object_versions.get((bucket, key), []) if v["version_id"] == version), None) or (s3._buckets.get(bucket) or {}).get("objects", {}).get(key)
        if status == 200 and held and held.get("checksum_type") == "FULL_OBJECT":
            body = body.replace(b"<ChecksumType>COMPOSITE<", b"<ChecksumType>FULL_OBJECT<")
        return status, answered, body

    return attributes


def _typed_version(original: Any) -> Any:
    """A version keeps the type of its checksum."""

    def entry(record: dict[str, Any], *rest: Any) -> dict[str, Any]:
        return {**original(record, *rest), "checksum_type": record.get("checksum_type")}

    return entry


def _between(body: bytes, element: str) -> str:
    found = re.search(rf"<{element}>([^<]+)</{element}>".encode(), body)
    return found[1].decode() if found else ""
