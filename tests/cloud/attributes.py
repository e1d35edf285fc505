"""Instance attributes as EC2 takes, keeps and heeds them: one of them in a call, refused where an instance cannot have it.
moto takes several, forgets some, and gives an instance its groups twice."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import VolumeAttachment
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response

from .patching import add, replace, require

# What ModifyInstanceAttribute changes, by the names of its parameters.
ATTRIBUTES = ("DisableApiTermination", "DisableApiStop", "InstanceInitiatedShutdownBehavior", "BlockDeviceMappings", "Groups", "InstanceType", "Kernel",
              "Ramdisk", "UserData", "EbsOptimized", "SourceDestCheck", "SriovNetSupport", "EnaSupport", "EnclaveOptions")
# Those of them that are ours; moto has the others.
_FLAGS = {"DisableApiTermination": "disable_api_termination", "DisableApiStop": "disable_api_stop"}
_BEHAVIOUR = "InstanceInitiatedShutdownBehavior"


def install() -> None:
    replace(EC2Response, "modify_instance_attribute", _one_at_a_time)
    replace(EC2Response, "run_instances", _protected_from_the_start)
    replace(EC2Response, "_parse_block_device_mapping", _without_its_root)
    replace(Instance, "setup_defaults", _root_of_the_image)
    replace(Instance, "add_block_device", _in_place_of_the_default)
    add(VolumeAttachment, "delete_on_termination", property(_goes_with_its_instance))
    # moto adds the groups that an instance was launched with to those of each interface, for ever.
    require(Instance, "prep_nics")
    replace(NetworkInterface, "group_set", lambda _union: property(lambda self: self._group_set))
    add(Instance, "security_groups", property(_groups_of_the_first_interface, _set_groups_of_the_first_interface))


def _one_at_a_time(original: Any) -> Any:
    """AWS refuses two attributes in one call, and what a Spot instance or one that is gone cannot have."""

    def modify(self: Any) -> Any:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        changed = _changed(self)
        if len(changed) != 1:
            raise EC2ClientError("InvalidParameterCombination", "Fields for multiple attribute types specified" if changed else "No attributes specified.")
        [(name, value)] = changed.items()
        if instance.state in ("shutting-down", "terminated"):
            raise EC2ClientError("IncorrectInstanceState", f"The instance '{instance.id}' is not in a state from which its attributes can be modified.")
        if name not in (*_FLAGS, _BEHAVIOUR, "BlockDeviceMappings"):
            return original(self)
        if instance.lifecycle == "spot" and (name == _BEHAVIOUR or (name == "DisableApiTermination" and value)):
            raise EC2ClientError("UnsupportedOperation", f"Modifying '{name[0].lower()}{name[1:]}' is not supported for spot instances.")
        self.error_on_dryrun()
        _change(instance, name, value)
        return EmptyResult()

    return modify


def _changed(response: Any) -> dict[str, Any]:
    """What a call changes, and to what; also where it names the attribute rather than giving it by its own parameter."""
    given = {name: response._get_param(name) for name in ATTRIBUTES}
    changed = {name: value["Value"] if isinstance(value, dict) and "Value" in value else value for name, value in given.items() if value is not None}
    if attribute := response._get_param("Attribute"):
        name, value = attribute[0].upper() + attribute[1:], response._get_param("Value")
        changed.setdefault(name, value == "true" if name in _FLAGS else value)
    return changed


def _change(instance: Any, name: str, value: Any) -> None:
    if name in _FLAGS:
        setattr(instance, _FLAGS[name], bool(value))
    elif name == _BEHAVIOUR:
        if value not in ("stop", "terminate"):
            raise EC2ClientError("InvalidParameterValue", f"Value ({value}) for parameter {_BEHAVIOUR} is invalid.")
        instance.instance_initiated_shutdown_behavior = value
    else:
        for mapping in value:
            if mapping.get("DeviceName") not in instance.block_device_mapping:
                raise EC2ClientError("InvalidInstanceAttributeValue", f"No device is currently mapped at {mapping.get('DeviceName')}")
        for mapping in value:
            instance.block_device_mapping[mapping["DeviceName"]].delete_on_termination = mapping.get("Ebs", {}).get("DeleteOnTermination", True)


def _protected_from_the_start(original: Any) -> Any:
    """moto forgets that a launch asked for termination protection."""

    def run(self: Any) -> ActionResult:
        answer = original(self)
        for instance in answer.result.instances:
            instance.disable_api_termination = bool(self._get_param("DisableApiTermination"))
        return answer

    return run


def _without_its_root(original: Any) -> Any:
    """The root goes with its instance unless the launch says otherwise; in moto every volume that is named stays."""

    def parse(self: Any) -> list[dict[str, Any]]:
        mappings = original(self)
        images = self.ec2_backend.describe_images(filters={"image-id": self._get_param("ImageId")})
        for mapping, given in zip(mappings, self._get_param("BlockDeviceMappings", []), strict=True):
            if "DeleteOnTermination" not in given.get("Ebs", {}):
                mapping["Ebs"]["DeleteOnTermination"] = any(image.root_device_name == mapping["DeviceName"] for image in images)
        return mappings

    return parse


def _root_of_the_image(_original: Any) -> Any:
    """The root is where its image has it; in moto it is /dev/sda1 always."""

    def setup(self: Any) -> None:
        volume = self.ec2_backend.create_volume(size=8, zone_name=self.placement.zone)
        self.ec2_backend.attach_volume(volume.id, self.id, self.root_device_name or "/dev/sda1", True)

    return setup


def _in_place_of_the_default(original: Any) -> Any:
    """A launch template that says how the root is replaces it; moto attaches two volumes to one device."""

    def attach(self: Any, size: int, device_path: str, *rest: Any, **named: Any) -> None:
        if there := self.block_device_mapping.get(device_path):
            self.ec2_backend.detach_volume(there.volume_id, self.id, device_path)
            self.ec2_backend.delete_volume(there.volume_id)
        original(self, size, device_path, *rest, **named)

    return attach


def _goes_with_its_instance(attachment: Any) -> bool:
    mapping = attachment.instance.block_device_mapping.get(attachment.device)
    return bool(mapping and mapping.delete_on_termination)


def _groups_of_the_first_interface(instance: Any) -> list[Any]:
    """An instance's groups are those of its first interface, whoever changed them."""
    nics = instance.__dict__.get("nics")
    return list(nics[0].group_set) if nics and 0 in nics else instance.__dict__.get("launched_with", [])


def _set_groups_of_the_first_interface(instance: Any, groups: list[Any]) -> None:
    nics = instance.__dict__.get("nics")
    if nics and 0 in nics:
        nics[0]._group_set = list(groups)
    else:
        instance.__dict__["launched_with"] = list(groups)
