"""Auto Scaling where moto is too kind about who leaves and joins a group, and forgets the load balancers that it leaves.

Here an instance leaves at once; on AWS it is `Detaching` until its connections are drained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import ASG_NAME_TAG, AutoScalingBackend, FakeAutoScalingGroup, InstanceState

from .patching import replace, require


def install() -> None:
    require(InstanceState, "__init__")
    replace(AutoScalingBackend, "detach_instances", _members_only)
    replace(AutoScalingBackend, "attach_instances", _up_to_the_maximum)
    replace(AutoScalingBackend, "enter_standby_instances", _into_standby)
    replace(AutoScalingBackend, "exit_standby_instances", _out_of_standby)
    replace(AutoScalingBackend, "update_attached_elbs", _balancers_follow)
    replace(AutoScalingBackend, "update_attached_target_groups", _target_groups_follow)
    replace(AutoScalingBackend, "terminate_instance", _whatever_protects_them)
    replace(FakeAutoScalingGroup, "set_desired_capacity", _whatever_protects_them)


def _members_only(original: Any) -> Any:
    """AWS refuses what is not in the group, and a group below its minimum; moto does neither."""

    def detach(self: Any, group_name: str, instance_ids: list[str], should_decrement: bool) -> Any:
        group = _group(self, group_name)
        _members(group, instance_ids, ("InService", "Standby"))
        if should_decrement:
            _not_below_the_minimum(group, len(instance_ids))
        return original(self, group_name, instance_ids, should_decrement)

    return detach


def _up_to_the_maximum(_original: Any) -> Any:
    """What joins is counted on top of the desired capacity. moto counts members, and asks nothing of what joins."""

    def attach(self: Any, group_name: str, instance_ids: list[str]) -> None:
        group = _group(self, group_name)
        instances = [_can_join(self, group, identifier) for identifier in instance_ids]
        _not_above_the_maximum(group, len(instances))
        for instance in instances:
            # moto remembers the group that it was in before.
            instance.autoscaling_group = group
            group.instance_states.append(InstanceState(instance, protected_from_scale_in=group.new_instances_protected_from_scale_in, autoscaling_group=group))
            self.ec2_backend.create_tags([instance.id], {ASG_NAME_TAG: group.name})
        group.desired_capacity += len(instances)
        self.update_attached_elbs(group.name)
        self.update_attached_target_groups(group.name)

    return attach


def _can_join(backend: Any, group: Any, identifier: str) -> Any:
    instance = backend.ec2_backend.get_instance_by_id(identifier)
    if instance is None:
        raise ValidationError(f"Invalid Instance ID(s): [{identifier}] specified.")
    if instance.state != "running":
        raise ValidationError(f"Instance {identifier} is not in correct state. Instance(s) must be in 'running' state.")
    for other in backend.autoscaling_groups.values():
        if any(state.instance.id == identifier for state in other.instance_states):
            raise ValidationError(f"Instance {identifier} is already part of AutoScalingGroup:{other.name}.")
    if instance.placement.zone not in group.availability_zones:
        raise ValidationError(f"The availability zone of instance {identifier} is not one of the Auto Scaling group {group.name}.")
    return instance


def _into_standby(original: Any) -> Any:
    def enter(self: Any, group_name: str, instance_ids: list[str], should_decrement: bool) -> Any:
        group = _group(self, group_name)
        _members(group, instance_ids, ("InService",))
        if should_decrement:
            _not_below_the_minimum(group, len(instance_ids))
        return original(self, group_name, instance_ids, should_decrement)

    return enter


def _out_of_standby(original: Any) -> Any:
    def leave(self: Any, group_name: str, instance_ids: list[str]) -> Any:
        group = _group(self, group_name)
        _members(group, instance_ids, ("Standby",))
        _not_above_the_maximum(group, len(instance_ids))
        return original(self, group_name, instance_ids)

    return leave


def _group(backend: Any, name: str) -> Any:
    group = backend.autoscaling_groups.get(name)
    if group is None:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return group


def _members(group: Any, instance_ids: list[str], allowed: tuple[str, ...]) -> None:
    states = {state.instance.id: state.lifecycle_state for state in group.instance_states}
    for identifier in instance_ids:
        if identifier not in states:
            raise ValidationError(f"The instance {identifier} is not part of Auto Scaling group {group.name}.")
        if states[identifier] not in allowed:
            raise ValidationError(f"The instance {identifier} is not in {' or '.join(allowed)}.")


def _not_below_the_minimum(group: Any, count: int) -> None:
    if group.desired_capacity - count < group.min_size:
        raise ValidationError(f"Currently, desired capacity is {group.desired_capacity}: {count} instance(s) less would violate group's min size constraint ({group.min_size}). "
                              "Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.")


def _not_above_the_maximum(group: Any, count: int) -> None:
    if group.desired_capacity + count > group.max_size:
        raise ValidationError(f"Desired capacity {group.desired_capacity} and {count} more would be above the max size ({group.max_size}) of the Auto Scaling group {group.name}.")


def _balancers_follow(_original: Any) -> Any:
    def update(self: Any, group_name: str) -> None:
        group = self.autoscaling_groups[group_name]
        for name in group.load_balancer_names:
            if name in self.elb_backend.load_balancers:
                _follow(group, name, lambda ids, name=name: self.elb_backend.register_instances(name, ids, from_autoscaling=True),
                        lambda ids, name=name: self.elb_backend.deregister_instances(name, ids, from_autoscaling=True))

    return update


def _target_groups_follow(_original: Any) -> Any:
    def update(self: Any, group_name: str) -> None:
        group = self.autoscaling_groups[group_name]
        for arn in group.target_group_arns:
            if arn in self.elbv2_backend.target_groups:
                _follow(group, arn, lambda ids, arn=arn: self.elbv2_backend.register_targets(arn, [{"Id": one} for one in ids]),
                        lambda ids, arn=arn: self.elbv2_backend.deregister_targets(arn, [{"Id": one} for one in ids]))

    return update


def _follow(group: Any, where: str, register: Callable[[list[str]], Any], deregister: Callable[[list[str]], Any]) -> None:
    """Who has come since the last time is registered, and who has gone is not any more. moto registers all of them whenever
    anything happens, so that one that somebody had deregistered would be back."""
    followed = group.__dict__.setdefault("followed", {})
    known, now = followed.get(where, []), [state.instance.id for state in group.active_instances()]
    register([identifier for identifier in now if identifier not in known])
    deregister([identifier for identifier in known if identifier not in now])
    followed[where] = now


def _whatever_protects_them(original: Any) -> Any:
    """A group ends its members whatever termination protection says [facts 19]; in moto it fails."""

    def ending(self: Any, *args: Any, **named: Any) -> Any:
        backend = getattr(self, "autoscaling_backend", self)
        members = [state.instance for group in backend.autoscaling_groups.values() for state in group.instance_states]
        protected = [instance for instance in members if instance.disable_api_termination]
        try:
            for instance in protected:
                instance.disable_api_termination = False
            return original(self, *args, **named)
        finally:
            for instance in protected:
                instance.disable_api_termination = True

    return ending
