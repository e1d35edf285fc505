"""CloudFormation: properties that ministack drops in silence, and what must be where Systems Manager is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

import ministack.services.iam as iam
import ministack.services.lambda_svc as lambda_svc
import ministack.services.s3 as s3
import ministack.services.sns as sns
import ministack.services.stepfunctions as stepfunctions
from ministack.core import responses
from ministack.services.cloudformation import provisioners
from moto.ssm.exceptions import DuplicateDocumentContent
from moto.ssm.models import ssm_backends

from .joint import MOTO_LOCK
from .patching import Drift, replace, require

_HANDLERS = require(provisioners, "_RESOURCE_HANDLERS")


def install() -> None:
    _after("AWS::IAM::Role", _role)
    _after("AWS::Lambda::Function", _function)
    _after("AWS::S3::Bucket", _bucket)
    _after("AWS::SNS::Topic", _topic)
    _after("AWS::SSM::Parameter", _parameter)
    _after("AWS::StepFunctions::StateMachine", _machine)
    if "AWS::SSM::Document" in _HANDLERS:
        raise Drift("ministack makes AWS::SSM::Document by now: remove the local cloud's own")
    _HANDLERS["AWS::SSM::Document"] = {"create": _make_document, "update": _change_document, "delete": _delete_document}
    replace(lambda_svc, "invalidate_worker", _of_this_account)


def _of_this_account(original: Any) -> Any:
    """A deployment in one account must not kill the functions of the same name in the others."""

    def invalidate(name: str, qualifier: str | None = None, account: str | None = None, region: str | None = None) -> Any:
        return original(name, qualifier, account or responses.get_account_id(), region or responses.get_region())

    return invalidate


def _after(kind: str, complete: Callable[[str, dict[str, Any]], None]) -> None:
    """Runs `complete` after a resource of this kind was made or changed."""
    handler = _HANDLERS[kind] = dict(_HANDLERS[kind])
    create, update = handler["create"], handler.get("update")

    def made(logical: str, properties: dict[str, Any], stack: str, *rest: Any) -> Any:
        answer = create(logical, properties, stack, *rest)
        complete(answer[0] if isinstance(answer, tuple) else answer, properties)
        return answer

    handler["create"] = made
    if update:

        def changed(physical: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
            answer = update(physical, old, new, *rest)
            complete(physical, new)
            return answer

        handler["update"] = changed


def _role(name: str, properties: dict[str, Any]) -> None:
    if "PermissionsBoundary" in properties:
        iam._roles[name.split("/")[-1]]["PermissionsBoundary"] = properties["PermissionsBoundary"]


def _function(name: str, properties: dict[str, Any]) -> None:
    function = lambda_svc._functions[name.split(":")[-1]]
    if "ReservedConcurrentExecutions" in properties:
        function["concurrency"] = int(properties["ReservedConcurrentExecutions"])
    if "DeadLetterConfig" in properties:
        function["config"]["DeadLetterConfig"] = properties["DeadLetterConfig"]


def _topic(arn: str, properties: dict[str, Any]) -> None:
    if "KmsMasterKeyId" in properties:
        sns._topics[arn]["attributes"]["KmsMasterKeyId"] = properties["KmsMasterKeyId"]


def _parameter(name: str, properties: dict[str, Any]) -> None:
    backend = ssm_backends[responses.get_account_id()][responses.get_region()]
    backend.put_parameter(name, properties.get("Description"), properties["Value"], properties["Type"], properties.get("AllowedPattern"), properties.get("KeyId"),
                          True, [], properties.get("DataType", "text"), properties.get("Tier") or "Standard", None)


def _content(properties: dict[str, Any]) -> str:
    content = properties["Content"]
    return content if isinstance(content, str) else json.dumps(content)


def _make_document(logical: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
    name = properties.get("Name") or f"{stack}-{logical}"
    with MOTO_LOCK:
        ssm_backends[responses.get_account_id()][responses.get_region()].create_document(
            content=_content(properties), requires=properties.get("Requires"), attachments=None, name=name, version_name=properties.get("VersionName"),
            document_type=properties.get("DocumentType", "Command"), document_format=properties.get("DocumentFormat", "JSON"),
            target_type=properties.get("TargetType"), tags=properties.get("Tags") or [])
    return name, {}


def _change_document(name: str, _old: dict[str, Any], properties: dict[str, Any], stack: str, logical: str | None = None) -> tuple[str, dict[str, Any]]:
    """A new version, which becomes the default; or, as is CloudFormation's default, another document in its place."""
    if properties.get("UpdateMethod") != "NewVersion":
        _delete_document(name, properties)
        return _make_document(logical or name, {**properties, "Name": name}, stack)
    with MOTO_LOCK:
        backend = ssm_backends[responses.get_account_id()][responses.get_region()]
        try:
            made = backend.update_document(
                content=_content(properties), attachments=None, name=name, version_name=properties.get("VersionName"), document_version="$LATEST",
                document_format=properties.get("DocumentFormat", "JSON"), target_type=properties.get("TargetType"))
        except DuplicateDocumentContent:  # nothing but tags has changed
            return name, {}
        backend.update_document_default_version(name, made["DocumentVersion"])
    return name, {}


def _delete_document(name: str, _properties: dict[str, Any]) -> None:
    with MOTO_LOCK:
        ssm_backends[responses.get_account_id()][responses.get_region()]._documents.pop(name, None)


def _machine(arn: str, properties: dict[str, Any]) -> None:
    logging = properties.get("LoggingConfiguration")
    if logging:
        kept = {"level": logging.get("Level", "OFF"), "includeExecutionData": logging.get("IncludeExecutionData", False)}
        stepfunctions._state_machines[arn]["loggingConfiguration"] = kept


def _bucket(name: str, properties: dict[str, Any]) -> None:
    if str(properties.get("ObjectLockEnabled", "")).lower() == "true":
        rule = (properties.get("ObjectLockConfiguration") or {}).get("Rule") or {}
        default = rule.get("DefaultRetention")
        s3._bucket_versioning[name] = "Enabled"
        s3._bucket_object_lock[name] = {"enabled": True, "default_retention": {k: v if k == "Mode" else int(v) for k, v in default.items()} if default else None}
    for rule in (properties.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration", []):
        s3._put_bucket_encryption(name, _encryption(rule).encode())
    rules = (properties.get("LifecycleConfiguration") or {}).get("Rules", [])
    if rules:
        s3._put_bucket_lifecycle(name, f"<LifecycleConfiguration>{''.join(map(_lifecycle, rules))}</LifecycleConfiguration>".encode())


def _encryption(rule: dict[str, Any]) -> str:
    default = rule["ServerSideEncryptionByDefault"]
    key = default.get("KMSMasterKeyID")
    key = f"<KMSMasterKeyID>{escape(key)}</KMSMasterKeyID>" if key else ""
    enabled = str(rule.get("BucketKeyEnabled", False)).lower()
    return (f"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{default['SSEAlgorithm']}</SSEAlgorithm>{key}"
            f"</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>{enabled}</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>")


def _lifecycle(rule: dict[str, Any]) -> str:
    parts = [f"<ID>{escape(rule.get('Id', 'rule'))}</ID>", f"<Filter><Prefix>{escape(rule.get('Prefix', ''))}</Prefix></Filter>", f"<Status>{rule['Status']}</Status>"]
    if "ExpirationInDays" in rule:
        parts.append(f"<Expiration><Days>{rule['ExpirationInDays']}</Days></Expiration>")
    if "NoncurrentVersionExpiration" in rule:
        parts.append(f"<NoncurrentVersionExpiration><NoncurrentDays>{rule['NoncurrentVersionExpiration']['NoncurrentDays']}</NoncurrentDays></NoncurrentVersionExpiration>")
    if "AbortIncompleteMultipartUpload" in rule:
        parts.append(f"<AbortIncompleteMultipartUpload><DaysAfterInitiation>{rule['AbortIncompleteMultipartUpload']['DaysAfterInitiation']}</DaysAfterInitiation></AbortIncompleteMultipartUpload>")
    return f"<Rule>{''.join(parts)}</Rule>"
