"""Load balancers, of both generations, where moto is unlike AWS about what is registered with them.

Here a target that is deregistered is gone at once; on AWS it may be `draining` for as long as its target group says.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import ec2_backends
from moto.elb.exceptions import ELBClientError, NoActiveLoadBalancerFoundError
from moto.elb.models import ELBBackend
from moto.elb.responses import ELBResponse
from moto.elbv2.exceptions import InvalidTargetError, TargetNotRunning, ValidationError
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup
from moto.elbv2.responses import ELBV2Response

from .patching import replace, require

# What a page of DescribeTargetGroups has unless the call says otherwise, and at most.
_PAGE = 400


def install() -> None:
    require(FakeHealthStatus, "target")
    replace(FakeTargetGroup, "register", _what_can_be_registered)
    replace(FakeTargetGroup, "deregister", _whatever_is_registered)
    replace(FakeTargetGroup, "deregister_terminated_instances", _on_every_port)
    replace(FakeTargetGroup, "health_for", _as_it_is_registered)
    replace(ELBV2Response, "describe_target_groups", _by_pages)
    replace(ELBBackend, "register_instances", _once)
    replace(ELBBackend, "deregister_instances", _however_it_came)
    for action in ("register_instances_with_load_balancer", "deregister_instances_from_load_balancer"):
        replace(ELBResponse, action, _with_who_is_left)


class _Health(FakeHealthStatus):
    """With the zone that an address was registered with."""

    def __init__(self, target: dict[str, Any], health_port: str | None, status: str, reason: str | None = None, description: str | None = None) -> None:
        super().__init__(target["Id"], target["Port"], health_port, status, reason, description)
        self._zone = target.get("AvailabilityZone")

    @property
    def target(self) -> dict[str, str]:
        return {**super().target, **({"AvailabilityZone": self._zone} if self._zone else {})}


def _key(group: Any, target: dict[str, Any]) -> tuple[str, int]:
    """What is registered is a target with a port: one target may be there several times."""
    return target["Id"], int(target.get("Port") or group.port or 0)


def _what_can_be_registered(_original: Any) -> Any:
    def register(self: Any, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            _check(self, target["Id"])
        for target in targets:
            port = target.get("Port") or self.port
            self.targets[_key(self, target)] = {**target, "Port": port}

    return register


def _check(group: Any, identifier: str) -> None:
    if group.target_type == "instance":
        instance = group.ec2_backend.get_instance_by_id(identifier)
        if instance is None or instance.vpc_id != group.vpc_id:
            raise InvalidTargetError()
        if instance.state != "running":
            raise TargetNotRunning(instance_id=identifier)
    elif group.target_type == "ip":
        try:
            ipaddress.ip_address(identifier)
        except ValueError:
            raise ValidationError(f"The IP address '{identifier}' is not a valid IPv4 or IPv6 address") from None


def _whatever_is_registered(_original: Any) -> Any:
    """What is not registered is deregistered with success [facts 21]; moto refuses it."""

    def deregister(self: Any, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            self.targets.pop(_key(self, target), None)

    return deregister


def _on_every_port(_original: Any) -> Any:
    def deregister(self: Any, instance_ids: list[str]) -> None:
        for key in [key for key in self.targets if key[0] in instance_ids]:
            del self.targets[key]

    return deregister


def _as_it_is_registered(_original: Any) -> Any:
    """A target that is not registered is `unused`, and so is one whose target group no load balancer uses: the reason tells
    them apart. moto calls the one unavailable if it is an address, and the other healthy."""

    def health(self: Any, target: dict[str, Any], ec2_backend: Any) -> FakeHealthStatus:
        registered = self.targets.get(_key(self, target))
        if registered is None:
            about = {**target, "Port": target.get("Port") or self.port}
            return _Health(about, self.health_check_port, "unused", "Target.NotRegistered", "Target is not registered to the target group")
        if not self.load_balancer_arns:
            return _Health(registered, self.health_check_port, "unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")
        instance = ec2_backend.get_instance_by_id(registered["Id"])
        if instance and instance.state != "running":
            return _Health(registered, self.health_check_port, "unused", "Target.InvalidState", f"Target is in the {instance.state} state")
        return _Health(registered, self.health_check_port, "healthy")

    return health


def _by_pages(original: Any) -> Any:
    """moto gives all of them at once."""

    def describe(self: Any) -> ActionResult:
        groups = list(original(self).result["TargetGroups"])
        if marker := self._get_param("Marker"):
            groups = groups[[group.arn for group in groups].index(marker) + 1:]
        size = int(self._get_param("PageSize") or _PAGE)
        more = {"NextMarker": groups[size - 1].arn} if len(groups) > size else {}
        return ActionResult({"TargetGroups": groups[:size], **more})

    return describe


def _once(original: Any) -> Any:
    """AWS refuses what it does not find, and registers an instance once; moto does neither."""

    def register(self: Any, load_balancer_name: str, instance_ids: Any, from_autoscaling: bool = False) -> Any:
        balancer = _balancer(self, load_balancer_name)
        ec2 = ec2_backends[self.account_id][self.region_name]
        for identifier in instance_ids:
            instance = _found(ec2, identifier)
            if instance.vpc_id != balancer.vpc_id:
                raise ELBClientError("InvalidInstance", f"EC2 instance {identifier} is not in the same VPC as ELB.")
        new = [identifier for identifier in dict.fromkeys(instance_ids) if identifier not in balancer.instance_ids]
        return original(self, load_balancer_name, new, from_autoscaling)

    return register


def _however_it_came(original: Any) -> Any:
    """moto keeps those that a scaling group registered apart, and lets nobody else deregister them."""

    def deregister(self: Any, load_balancer_name: str, instance_ids: Any, from_autoscaling: bool = False) -> Any:
        _balancer(self, load_balancer_name)
        if not from_autoscaling:
            for identifier in instance_ids:
                _found(ec2_backends[self.account_id][self.region_name], identifier)
        original(self, load_balancer_name, instance_ids, not from_autoscaling)
        return original(self, load_balancer_name, instance_ids, from_autoscaling)

    return deregister


def _balancer(backend: Any, name: str) -> Any:
    if name not in backend.load_balancers:
        raise NoActiveLoadBalancerFoundError(name)
    return backend.load_balancers[name]


def _found(ec2: Any, identifier: str) -> Any:
    instance = ec2.get_instance_by_id(identifier)
    if instance is None:
        raise ELBClientError("InvalidInstance", f"Could not find EC2 instance {identifier}.")
    return instance


def _with_who_is_left(original: Any) -> Any:
    """moto's answer is a list in a list, which no client can read."""

    def changed(self: Any) -> ActionResult:
        original(self)
        return ActionResult({"Instances": self.elb_backend.get_load_balancer(self._get_param("LoadBalancerName")).instances})

    return changed
