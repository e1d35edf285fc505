"""EC2 where moto is too kind about groups and interfaces."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.responses import EC2Response

from .patching import replace


def install() -> None:
    replace(InstanceBackend, "modify_instance_security_groups", _one_interface_only)
    replace(EC2Response, "modify_network_interface_attribute", _groups_of_the_vpc)


def _one_interface_only(original: Any) -> Any:
    """AWS refuses to change the groups of an instance that has several interfaces; moto adds the group to it."""

    def modify(self: Any, instance_id: str, new_group_id_list: list[str]) -> Any:
        instance = self.get_instance(instance_id)
        if len(instance.nics) > 1:
            raise EC2ClientError("InvalidInstanceID", f"There are multiple interfaces attached to instance '{instance_id}'. Please specify an interface ID for the operation instead.")
        return original(self, instance_id, new_group_id_list)

    return modify


def _groups_of_the_vpc(original: Any) -> Any:
    """AWS refuses groups of another VPC; moto takes any."""

    def modify(self: Any) -> Any:
        groups = self._get_param("Groups") or self._get_param("SecurityGroupIds") or []
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        for group_id in groups if isinstance(groups, list) else [groups]:
            group = self.ec2_backend.get_security_group_from_id(group_id)
            if group is None:
                raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
            if group.vpc_id != interface.subnet.vpc_id:
                raise EC2ClientError("InvalidParameterValue", f"You have specified two resources that belong to different networks: {group_id}, {interface.id}")
        return original(self)

    return modify

