"""Whether packets of an instance would get out to where a capture sends them. Nothing here filters packets: the groups,
endpoints and routes that EC2 knows are read instead, whenever an instance would speak."""

from __future__ import annotations

import ipaddress
from typing import Any

from moto.ec2 import ec2_backends

from .deploy import REGION
from .joint import MOTO_LOCK

ANYWHERE = {"0.0.0.0/0", "::/0"}
PORT = 443
# The agent needs both: one to report, the other to be told.
SYSTEMS_MANAGER = ("ssm", "ssmmessages")


def reaches_systems_manager(account: str, instance: str) -> bool:
    """Whether some interface lets the agent's connections out."""
    return _some_interface(account, instance, lambda ec2, nic: all(_by_interface_endpoint(ec2, nic, service) for service in SYSTEMS_MANAGER))


def reaches_s3(account: str, instance: str) -> bool:
    return _some_interface(account, instance, lambda ec2, nic: _by_gateway(ec2, nic) or _by_interface_endpoint(ec2, nic, "s3"))


def _some_interface(account: str, instance: str, by_endpoint: Any) -> bool:
    with MOTO_LOCK:
        ec2 = ec2_backends[account][REGION]
        interfaces = ec2.get_instance(instance).nics.values()
        return any(_anywhere(nic) or by_endpoint(ec2, nic) for nic in interfaces)


def _rules(nic: Any) -> list[Any]:
    """What lets TCP to port 443 out of an interface."""
    rules = [rule for group in nic.group_set for rule in group.egress_rules]
    return [rule for rule in rules if rule.ip_protocol == "-1" or (rule.ip_protocol == "tcp" and rule.from_port <= PORT <= rule.to_port)]


def _anywhere(nic: Any) -> bool:
    return any(ANYWHERE & {rule.cidr_ipv4, rule.cidr_ipv6} for rule in _rules(nic))


def _by_interface_endpoint(ec2: Any, nic: Any, service: str) -> bool:
    """An endpoint in the interface's VPC whose name leads to it, that it is let out to, and that lets it in."""
    rules = _rules(nic)
    for endpoint in _endpoints(ec2, nic, "Interface", service):
        groups = [ec2.get_security_group_from_id(group) for group in endpoint.security_group_ids]
        addresses = [ec2.enis[eni].private_ip_address for eni in endpoint.network_interface_ids if eni in ec2.enis]
        out = any(rule.source_group.get("GroupId") in endpoint.security_group_ids or any(_within(address, rule.cidr_ipv4) for address in addresses) for rule in rules)
        let_in = any(_lets_in(group, nic) for group in groups if group)
        if endpoint.private_dns_enabled and out and let_in:
            return True
    return False


def _lets_in(group: Any, nic: Any) -> bool:
    own = {worn.id for worn in nic.group_set}
    for rule in group.ingress_rules:
        if rule.ip_protocol == "-1" or (rule.ip_protocol == "tcp" and rule.from_port <= PORT <= rule.to_port):
            if _within(nic.private_ip_address, rule.cidr_ipv4) or rule.source_group.get("GroupId") in own:
                return True
    return False


def _by_gateway(ec2: Any, nic: Any) -> bool:
    """A gateway endpoint in the route table of the interface's subnet, whose prefix list it is let out to."""
    tables = [table for table in ec2.route_tables.values() if table.vpc_id == nic.subnet.vpc_id]
    of_subnet = [table for table in tables if nic.subnet.id in table._associations.values()] or [table for table in tables if table.main_association_id]
    routed, allowed = {table.id for table in of_subnet}, {rule.prefix_list_id for rule in _rules(nic)}
    return any(endpoint.destination_prefix_list_id in allowed and routed & set(endpoint.route_table_ids) for endpoint in _endpoints(ec2, nic, "Gateway", "s3"))


def _endpoints(ec2: Any, nic: Any, kind: str, service: str) -> list[Any]:
    name = f"com.amazonaws.{REGION}.{service}"
    every = ec2.vpc_end_points.values()
    return [e for e in every if e.vpc_id == nic.subnet.vpc_id and e.service_name == name and (e.vpc_endpoint_type or "Gateway") == kind and e.state == "available"]


def _within(address: str, block: str | None) -> bool:
    return bool(block) and ipaddress.ip_address(address) in ipaddress.ip_network(block, strict=False)
