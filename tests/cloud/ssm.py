"""Systems Manager's Run Command as AWS has it: documents that are pinned, parameters that are checked, and commands that take
time, end in many ways, and cannot be sent twice without running twice."""

from __future__ import annotations

import datetime
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import ec2_backends
from moto.ssm.exceptions import InvalidDocument, InvalidDocumentVersion, SSMException, ValidationException
from moto.ssm.models import SimpleSystemManagerBackend
from moto.ssm.responses import SimpleSystemManagerResponse

from . import agents
from .patching import add, replace, require

# The first characters of each output that Systems Manager gives [facts 57].
OUTPUT_LIMIT = 24_000
ERRORS_LIMIT = 8_000
DOCUMENT_LIMIT = 64 << 10
COMMENT_LIMIT = 100
DELIVERY_SECONDS = range(30, 2_592_001)
EXECUTION_SECONDS = 3600
# For so long after SendCommand nobody knows the invocation [facts 59].
APPEARS_AFTER = 0.2
PAGE = 50
_ID = re.compile(r"i-(\w{8}|\w{17})")
_END = {"Success", "Failed", "TimedOut", "Cancelled"}


@dataclass
class Command:
    """One SendCommand."""

    identifier: str
    document: str
    version: str
    comment: str
    parameters: dict[str, list[str]]
    step: str
    delivery_seconds: int
    execution_seconds: int
    orders: dict[str, agents.Order] = field(default_factory=dict)
    requested: float = field(default_factory=time.time)

    @property
    def status(self) -> tuple[str, str]:
        """Of all its invocations: as bad as the worst, once all have ended."""
        states = [(order.status, order.details) for order in self.orders.values()]
        going = [state for state in states if state[0] not in _END]
        order = ("Failed", "TimedOut", "Cancelled", "Success")
        return going[0] if going else min(states, key=lambda state: order.index(state[0]))


_commands: dict[str, list[Command]] = {}


def install() -> None:
    require(SimpleSystemManagerBackend, "_get_documents")
    replace(SimpleSystemManagerBackend, "create_document", _not_too_long)
    replace(SimpleSystemManagerBackend, "update_document", _not_too_long)
    replace(SimpleSystemManagerResponse, "send_command", lambda original: send_command)
    replace(SimpleSystemManagerResponse, "list_commands", lambda original: list_commands)
    replace(SimpleSystemManagerResponse, "get_command_invocation", lambda original: get_command_invocation)
    add(SimpleSystemManagerResponse, "describe_instance_information", describe_instance_information)
    add(SimpleSystemManagerResponse, "list_command_invocations", list_command_invocations)
    add(SimpleSystemManagerResponse, "cancel_command", cancel_command)


def _not_too_long(original: Any) -> Any:
    def make(self: Any, content: str, *args: Any, **kwargs: Any) -> Any:
        if len(content.encode()) > DOCUMENT_LIMIT:
            raise SSMException("MaxDocumentSizeExceeded", "The size limit of a document is 64 KB.")
        return original(self, content, *args, **kwargs)

    return make


def describe_instance_information(self: Any) -> ActionResult:
    wanted = {item["Key"]: item["Values"] for item in self._get_param("Filters") or []}
    wanted |= {item["key"]: item["valueSet"] for item in self._get_param("InstanceInformationFilterList") or []}
    found = []
    for instance in _instances(self.current_account, self.region):
        if ping := agents.of(self.current_account, instance.id).ping():
            tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
            about = {
                "InstanceId": instance.id, "PingStatus": ping, "LastPingDateTime": _time(time.time() - (0 if ping == "Online" else 600)),
                "AgentVersion": "3.3.2299.0", "IsLatestVersion": True, "PlatformType": "Linux", "PlatformName": "Amazon Linux", "PlatformVersion": "2023",
                "ResourceType": "EC2Instance", "IPAddress": instance.private_ip, "ComputerName": instance.id, "SourceId": instance.id,
                "SourceType": "AWS::EC2::Instance",
            }
            if all(_informs(key, values, about, tags) for key, values in wanted.items()):
                found.append(about)
    return _page(self, "InstanceInformationList", found)


def _informs(key: str, values: list[str], about: dict[str, Any], tags: dict[str, str]) -> bool:
    fields = {"InstanceIds": "InstanceId", "PingStatus": "PingStatus", "PlatformTypes": "PlatformType", "AgentVersion": "AgentVersion", "ResourceType": "ResourceType"}
    if key.startswith("tag:"):
        return tags.get(key.removeprefix("tag:")) in values
    if key == "tag-key":
        return any(value in tags for value in values)
    if key not in fields:
        raise SSMException("InvalidFilterKey", f"The filter key {key} is not valid.")
    if key == "InstanceIds" and not all(_ID.fullmatch(value) for value in values):
        raise SSMException("InvalidInstanceId", f"Instance ids are not valid: {values}")
    return about[fields[key]] in values


def send_command(self: Any) -> ActionResult:
    account, name = self.current_account, self._get_param("DocumentName").rsplit("/", 1)[-1]
    comment, delivery = self._get_param("Comment") or "", int(self._get_param("TimeoutSeconds") or 3600)
    if len(comment) > COMMENT_LIMIT:
        raise ValidationException("1 validation error detected: Value at 'comment' failed to satisfy constraint: Member must have length less than or equal to 100")
    if delivery not in DELIVERY_SECONDS:
        raise ValidationException("1 validation error detected: Value at 'timeoutSeconds' failed to satisfy constraint: Member must have value between 30 and 2592000")
    document = _document(self.ssm_backend, name, self._get_param("DocumentVersion"))
    digest = self._get_param("DocumentHash")
    if digest and (self._get_param("DocumentHashType") != "Sha256" or digest != document.hash):
        raise InvalidDocument(f"document hash {digest} does not match {self._get_param('DocumentHashType')}.")
    parameters = _checked(document.content_json.get("parameters") or {}, self._get_param("Parameters") or {})
    step, script, execution = _script(document.content_json, parameters)
    instances = _addressed(self)
    command = Command(str(uuid.uuid4()), name, document.document_version, comment, parameters, step, delivery, execution)
    for instance in instances:
        command.orders[instance] = agents.Order(command.identifier, instance, script, delivery, execution)
    _commands.setdefault(account, []).append(command)
    answer = ActionResult({"Command": _described(command)})
    for instance, order in command.orders.items():
        agents.of(account, instance).take(order)
    return answer


def _document(backend: Any, name: str, version: str | None) -> Any:
    documents = backend._get_documents(name)
    version = {None: documents.default_version, "$DEFAULT": documents.default_version, "$LATEST": documents.latest_version}.get(version, version)
    document = documents.find_by_version(version)
    if document is None:
        raise InvalidDocumentVersion("The document version is not valid or does not exist.")
    if document.document_type not in (None, "Command"):
        raise InvalidDocument(f"Document {name} is not a Command document.")
    return document


def _checked(known: dict[str, Any], given: dict[str, Any]) -> dict[str, list[str]]:
    """The parameters, if they are exactly what the document asks for."""

    def refused(why: str) -> SSMException:
        return SSMException("InvalidParameters", why)

    if unknown := sorted(set(given) - set(known)):
        raise refused(f"Parameter {unknown} is not defined in the document.")
    values: dict[str, list[str]] = {}
    for name, rule in known.items():
        if name not in given:
            if "default" not in rule:
                raise refused(f"Required parameter {name} is missing.")
            continue
        value = values[name] = given[name]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise refused(f"Parameter {name} must be a list of strings.")
        if rule["type"] == "String" and len(value) != 1:
            raise refused(f"Parameter {name} must have exactly one value.")
        for item in value:
            # Anywhere in the value: a document that relies on its pattern must anchor it.
            if "allowedPattern" in rule and not re.search(rule["allowedPattern"], item):
                raise refused(f"Parameter {name} does not match its allowedPattern: {rule['allowedPattern']}")
            if "allowedValues" in rule and item not in rule["allowedValues"]:
                raise refused(f"Parameter {name} is not one of its allowedValues.")
    return values


def _script(content: dict[str, Any], parameters: dict[str, list[str]]) -> tuple[str, str, int]:
    """The one step's name, what it runs, and for how long at most."""
    steps = content.get("mainSteps") or []
    if len(steps) != 1 or steps[0]["action"] != "aws:runShellScript":
        raise InvalidDocument("The local cloud runs documents of one aws:runShellScript step.")
    inputs, rules = steps[0]["inputs"], content.get("parameters") or {}

    def filled(text: str) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name not in rules:
                raise InvalidDocument(f"The document uses a parameter that it does not define: {name}")
            return " ".join(parameters[name]) if name in parameters else str(rules[name]["default"])

        return re.sub(r"\{\{\s*(\w+)\s*\}\}", value, text)

    return steps[0]["name"], "\n".join(map(filled, inputs["runCommand"])) + "\n", int(filled(str(inputs.get("timeoutSeconds", EXECUTION_SECONDS))))


def _addressed(self: Any) -> list[str]:
    """The instances of a call; all of them must be known to Systems Manager, and listening."""
    named, targets = self._get_param("InstanceIds") or [], self._get_param("Targets") or []
    if bool(named) == bool(targets) or any(target["Key"] != "InstanceIds" for target in targets):
        raise ValidationException("Give either InstanceIds or Targets; the local cloud knows Targets by InstanceIds alone.")
    instances = named or [value for target in targets for value in target["Values"]]
    if len(set(instances)) != len(instances):
        raise SSMException("DuplicateInstanceId", "You cannot specify an instance ID in more than one association.")
    deaf = [instance for instance in instances if not _ID.fullmatch(instance) or agents.of(self.current_account, instance).ping() != "Online"]
    if deaf:
        raise SSMException("InvalidInstanceId", f"Instances [{deaf}] not in a valid state for account {self.current_account}")
    return instances


def get_command_invocation(self: Any) -> ActionResult:
    command, order = _invocation(self)
    if time.time() - command.requested < APPEARS_AFTER:
        raise SSMException("InvocationDoesNotExist", "")
    if self._get_param("PluginName") not in (None, command.step):
        raise SSMException("InvalidPluginName", "The plugin name is not valid.")
    begun, ended = order.began, order.ended
    return ActionResult({
        **_invoked(command, order), "PluginName": command.step, "ResponseCode": order.code,
        "ExecutionStartDateTime": _iso(begun), "ExecutionEndDateTime": _iso(ended), "ExecutionElapsedTime": f"PT{ended - begun:.3f}S" if begun and ended else "",
        "StandardOutputContent": order.output[:OUTPUT_LIMIT], "StandardOutputUrl": "", "StandardErrorContent": order.errors[:ERRORS_LIMIT], "StandardErrorUrl": "",
        "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": False},
    })


def list_commands(self: Any) -> ActionResult:
    return _page(self, "Commands", [_described(command) for command in _matching(self)])


def list_command_invocations(self: Any) -> ActionResult:
    instance, detailed = self._get_param("InstanceId"), self._get_param("Details")
    found = []
    for command in _matching(self):
        for order in command.orders.values():
            if instance in (None, order.instance):
                step = {"Name": command.step, "Status": order.status, "StatusDetails": order.details, "ResponseCode": order.code, "Output": order.output[:2500]}
                found.append({**_invoked(command, order), "RequestedDateTime": _time(command.requested), "CommandPlugins": [step] if detailed else []})
    return _page(self, "CommandInvocations", found)


def cancel_command(self: Any) -> ActionResult:
    command = _command(self)
    for instance in self._get_param("InstanceIds") or list(command.orders):
        if instance not in command.orders:
            raise SSMException("InvalidInstanceId", f"The command was not sent to {instance}.")
        agents.of(self.current_account, instance).cancel(command.orders[instance])
    return ActionResult({})


def _command(self: Any) -> Command:
    identifier = self._get_param("CommandId")
    for command in _commands.get(self.current_account, []):
        if command.identifier == identifier:
            return command
    raise SSMException("InvalidCommandId", "The command ID is not valid.")


def _invocation(self: Any) -> tuple[Command, agents.Order]:
    try:
        command = _command(self)
        return command, command.orders[self._get_param("InstanceId")]
    except (SSMException, KeyError):
        raise SSMException("InvocationDoesNotExist", "") from None


def _matching(self: Any) -> list[Command]:
    """The commands that a call asks for, the newest first."""
    identifier, instance = self._get_param("CommandId"), self._get_param("InstanceId")
    found = list(reversed(_commands.get(self.current_account, [])))
    if identifier and all(command.identifier != identifier for command in found):
        raise SSMException("InvalidCommandId", "The command ID is not valid.")
    found = [command for command in found if identifier in (None, command.identifier) and (instance is None or instance in command.orders)]
    for item in self._get_param("Filters") or []:
        key, value = item["key"], item["value"]
        if key in ("InvokedAfter", "InvokedBefore"):
            moment, after = datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp(), key == "InvokedAfter"
            found = [command for command in found if (command.requested > moment) == after]
        elif key == "Status":
            found = [command for command in found if command.status[0] == value]
        elif key == "DocumentName":
            found = [command for command in found if command.document == value]
        else:
            raise SSMException("InvalidFilterKey", f"The filter key {key} is not valid.")
    return found


def _described(command: Command) -> dict[str, Any]:
    status, details = command.status
    states = [order.status for order in command.orders.values()]
    return {
        "CommandId": command.identifier, "DocumentName": command.document, "DocumentVersion": command.version, "Comment": command.comment,
        "Parameters": command.parameters, "InstanceIds": list(command.orders), "Targets": [], "RequestedDateTime": _time(command.requested),
        "ExpiresAfter": _time(command.requested + command.delivery_seconds + command.execution_seconds), "Status": status, "StatusDetails": details,
        "MaxConcurrency": "50", "MaxErrors": "0", "TargetCount": len(states), "CompletedCount": sum(state in _END for state in states),
        "ErrorCount": sum(state in ("Failed", "TimedOut") for state in states), "DeliveryTimedOutCount": 0, "TimeoutSeconds": command.delivery_seconds,
    }


def _invoked(command: Command, order: agents.Order) -> dict[str, Any]:
    return {
        "CommandId": command.identifier, "InstanceId": order.instance, "Comment": command.comment, "DocumentName": command.document,
        "DocumentVersion": command.version, "Status": order.status, "StatusDetails": order.details,
    }


def _page(self: Any, name: str, items: list[dict[str, Any]]) -> ActionResult:
    """One page of the answer; the token is where the next one begins."""
    token, size = self._get_param("NextToken") or "0", int(self._get_param("MaxResults") or PAGE)
    if not token.isdecimal():
        raise SSMException("InvalidNextToken", "The specified token is not valid.")
    begin, end = int(token), int(token) + size
    return ActionResult({name: items[begin:end], **({"NextToken": str(end)} if end < len(items) else {})})


def _instances(account: str, region: str) -> list[Any]:
    return [instance for reservation in ec2_backends[account][region].all_reservations() for instance in reservation.instances]


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def _iso(seconds: float | None) -> str:
    return "" if seconds is None else _time(seconds).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
