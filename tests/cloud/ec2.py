"""EC2 where moto is too kind about groups and instance metadata, or shows an interface as AWS does not."""

from __future__ import annotations

import time
from typing import Any

from moto.ec2 import ec2_backends
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import InstanceBackend, MetadataOptions
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.responses import EC2Response

from .patching import replace, require

# How long a change of the metadata options is on its way.
APPLIED_AFTER = 0.3


def install() -> None:
    require(MetadataOptions, "__init__")
    replace(InstanceBackend, "modify_instance_security_groups", _one_interface_only)
    replace(InstanceBackend, "modify_instance_metadata_options", _changed_options)
    replace(EC2Response, "modify_network_interface_attribute", _groups_of_the_vpc)
    # An interface without a public address has no association, not an empty one; and an address belongs to its interface's instance.
    replace(NetworkInterface, "association", lambda original: property(lambda self: original.fget(self) or None))
    replace(ElasticAddress, "instance_id", lambda original: property(lambda self: original.fget(self) or (self.eni and self.eni.instance and self.eni.instance.id) or ""))
    for direction in ("ingress", "egress"):
        replace(SecurityGroupBackend, f"authorize_security_group_{direction}", _known_peers)
        replace(EC2Response, f"authorize_security_group_{direction}", _all_or_nothing)


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


def _known_peers(original: Any) -> Any:
    """AWS refuses a group of another VPC, and a prefix list that there is not; moto takes any."""

    def authorize(self: Any, group_name_or_id: str, *args: Any, **kwargs: Any) -> Any:
        group = self.get_security_group_by_name_or_id(group_name_or_id, kwargs.get("vpc_id"))
        for named in kwargs.get("source_groups") or []:
            peer = self.get_security_group_from_id(named.get("GroupId"))
            if group and peer and peer.vpc_id != group.vpc_id:
                raise EC2ClientError("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
        for named in kwargs.get("prefix_list_ids") or []:
            if named["PrefixListId"] not in self.managed_prefix_lists:
                raise EC2ClientError("InvalidPrefixListID.NotFound", f"The prefix list ID '{named['PrefixListId']}' does not exist")
        return original(self, group_name_or_id, *args, **kwargs)

    return authorize


def _all_or_nothing(original: Any) -> Any:
    """A call that is refused for one of its permissions adds none; moto keeps those before it."""

    def authorize(self: Any) -> Any:
        identifier = self._get_param("GroupId")
        group = ec2_backends[self.current_account][self.region].get_security_group_from_id(identifier) if identifier else None
        before = (list(group.ingress_rules), list(group.egress_rules)) if group else None
        try:
            return original(self)
        except EC2ClientError:
            if group and before:
                group.ingress_rules[:], group.egress_rules[:] = before
            raise

    return authorize


class _Options(MetadataOptions):
    """Metadata options that are on their way for a moment."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._since = time.time()
        super().__init__(options)

    @property
    def state(self) -> str:
        return "pending" if time.time() - self._since < APPLIED_AFTER else "applied"

    @state.setter
    def state(self, _given: str) -> None:
        """Time alone says it."""


def _changed_options(original: Any) -> Any:
    """What a call leaves out stays as it was; moto forgets it."""

    def modify(self: Any, instance_id: str, http_tokens: str | None = None, hop_limit: int | None = None, http_endpoint: str | None = None,
               dry_run: bool | None = False, http_protocol: str | None = None, metadata_tags: str | None = None) -> Any:
        instance = self.get_instance(instance_id)
        if instance.state in ("shutting-down", "terminated"):
            raise EC2ClientError("IncorrectInstanceState", f"The instance '{instance_id}' is not in a state in which its metadata options can be changed")
        if hop_limit is not None and not 1 <= hop_limit <= 64:
            raise EC2ClientError("InvalidParameterValue", "The hop limit is 1 to 64")
        for given, known in ((http_tokens, ("optional", "required")), (http_endpoint, ("enabled", "disabled"))):
            if given not in (None, *known):
                raise EC2ClientError("InvalidParameterValue", f"Value ({given}) is invalid; it is one of {known}")
        old = instance.metadata_options
        instance.metadata_options = _Options({
            "HttpTokens": http_tokens or old.http_tokens, "HttpPutResponseHopLimit": hop_limit or old.http_put_response_hop_limit,
            "HttpEndpoint": http_endpoint or old.http_endpoint, "HttpProtocolIpv6": http_protocol or old.http_protocol_ipv6,
            "InstanceMetadataTags": metadata_tags or old.instance_metadata_tags,
        })
        return instance.metadata_options

    return modify
