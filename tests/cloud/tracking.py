"""How long EC2 remembers an idle connection of an interface; moto knows nothing of it. Nothing here tracks connections: the
setting is kept and shown."""

from __future__ import annotations

from typing import Any

from moto.core.responses import EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.responses import EC2Response

from .patching import add, replace

# In seconds [facts 4].
_RANGES = {"TcpEstablishedTimeout": (60, 432_000), "UdpStreamTimeout": (60, 180), "UdpTimeout": (30, 60)}
# What ModifyNetworkInterfaceAttribute changes, by the names of its parameters.
_ATTRIBUTES = ("Description", "SourceDestCheck", "Groups", "Attachment", "ConnectionTrackingSpecification", "EnaSrdSpecification", "EnablePrimaryIpv6",
               "AssociatePublicIpAddress", "AssociatedSubnetIds")


def install() -> None:
    # Both DescribeInstances and DescribeNetworkInterfaces read it from here. While it is None they leave it out.
    add(NetworkInterface, "connection_tracking_configuration", None)
    replace(EC2Response, "modify_network_interface_attribute", _one_at_a_time)


def _one_at_a_time(original: Any) -> Any:
    """AWS refuses two attributes in one call; moto takes what it knows."""

    def modify(self: Any) -> Any:
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        changed = [name for name in _ATTRIBUTES if self._get_param(name) is not None]
        if len(changed) != 1:
            raise EC2ClientError("InvalidParameterCombination", "Multiple attributes specified" if changed else "No attributes specified.")
        if changed != ["ConnectionTrackingSpecification"]:
            return original(self)
        wanted = self._get_param("ConnectionTrackingSpecification")
        for name, value in wanted.items():
            least, most = _RANGES[name]
            if not least <= int(value) <= most:
                raise EC2ClientError("InvalidParameterValue", f"Value ({value}) for parameter {name} is invalid. It is {least} to {most}.")
        self.error_on_dryrun()
        # What a call leaves out stays as it was.
        interface.connection_tracking_configuration = {**(interface.connection_tracking_configuration or {}), **{name: int(value) for name, value in wanted.items()}}
        return EmptyResult()

    return modify
