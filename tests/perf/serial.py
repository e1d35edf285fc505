"""What Cordon is measured against: the same changes by a careful script, one call after the other.

    python -m perf.serial INSTANCE BUCKET

It looks, saves what was there, finds or makes the two groups and their rules, moves every interface into the first and then
into the second, and looks again. Endpoint and credentials come from the environment, as boto3 has them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3

ROLE = "serial:role"
ALL_V4: dict[str, Any] = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
ALL_V6: dict[str, Any] = {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}


def main() -> int:
    instance, bucket = sys.argv[1:]
    ec2, s3 = boto3.client("ec2"), boto3.client("s3")
    before = describe(ec2, instance)
    s3.put_object(Bucket=bucket, Key=f"{instance}.json", Body=json.dumps(before, default=str).encode())
    conversion, isolation = groups(ec2, before["VpcId"])
    interfaces = [interface["NetworkInterfaceId"] for interface in before["NetworkInterfaces"]]
    for group in (conversion, isolation):
        for interface in interfaces:
            ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group])
    after = [[group["GroupId"] for group in interface["Groups"]] for interface in describe(ec2, instance)["NetworkInterfaces"]]
    if after != [[isolation]] * len(interfaces):
        print(f"the interfaces are in {after}, not in {isolation}", file=sys.stderr)
        return 1
    return 0


def describe(ec2: Any, instance: str) -> dict[str, Any]:
    return dict(ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0])


def groups(ec2: Any, vpc: str) -> tuple[str, str]:
    """The group that makes flows untracked, and the one without rules."""
    found = look(ec2, vpc)
    for role in ("conversion", "isolation"):
        if role not in found:
            tags = [{"ResourceType": "security-group", "Tags": [{"Key": ROLE, "Value": role}]}]
            ec2.create_security_group(GroupName=f"serial-{role}", Description=f"The script's {role} group", VpcId=vpc, TagSpecifications=tags)
    if len(found) < 2:
        found = look(ec2, vpc)
    conversion, isolation = found["conversion"], found["isolation"]
    if missing := without(conversion["IpPermissions"]):
        ec2.authorize_security_group_ingress(GroupId=conversion["GroupId"], IpPermissions=missing)
    if missing := without(conversion["IpPermissionsEgress"]):
        ec2.authorize_security_group_egress(GroupId=conversion["GroupId"], IpPermissions=missing)
    if isolation["IpPermissions"]:
        ec2.revoke_security_group_ingress(GroupId=isolation["GroupId"], IpPermissions=isolation["IpPermissions"])
    if isolation["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=isolation["GroupId"], IpPermissions=isolation["IpPermissionsEgress"])
    return conversion["GroupId"], isolation["GroupId"]


def look(ec2: Any, vpc: str) -> dict[str, Any]:
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": f"tag:{ROLE}", "Values": ["conversion", "isolation"]}]
    seen = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    return {next(tag["Value"] for tag in group["Tags"] if tag["Key"] == ROLE): group for group in seen}


def without(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Which of the two rules that allow everything are not there."""
    v4 = any(item["CidrIp"] == "0.0.0.0/0" for rule in rules if rule["IpProtocol"] == "-1" for item in rule.get("IpRanges", []))
    v6 = any(item["CidrIpv6"] == "::/0" for rule in rules if rule["IpProtocol"] == "-1" for item in rule.get("Ipv6Ranges", []))
    return [rule for rule, there in ((ALL_V4, v4), (ALL_V6, v6)) if not there]


if __name__ == "__main__":
    sys.exit(main())
