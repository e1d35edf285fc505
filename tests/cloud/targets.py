"""Instances to respond to, one for each kind of trouble."""

from __future__ import annotations

from typing import Any

from moto.ec2 import ec2_backends

from .deploy import REGION, client

IMAGE = "ami-12c6146b"


def usual(endpoint: str, account: str) -> dict[str, str]:
    """web: two interfaces in a VPC with IPv6, two volumes. single: one of each. spot, terminated, and one for drills."""
    ec2 = client(endpoint, account, "ec2")
    subnet, group = _network(ec2, "10.70.0.0/16", ipv6=True)
    plain_subnet, plain_group = _network(ec2, "10.71.0.0/16", ipv6=False)
    instances = {
        "web": _run(ec2, subnet, group, interfaces=2, volumes=2),
        "single": _run(ec2, plain_subnet, plain_group),
        "spot": _run(ec2, plain_subnet, plain_group),
        "terminated": _run(ec2, plain_subnet, plain_group),
        "drill": _run(ec2, plain_subnet, plain_group, tags={"cordon:drill": "true"}),
    }
    _make_spot(account, instances["spot"])
    ec2.terminate_instances(InstanceIds=[instances["terminated"]])
    return instances


def many(endpoint: str, account: str, count: int, tags: dict[str, str] | None = None, interfaces: int = 1) -> list[str]:
    ec2 = client(endpoint, account, "ec2")
    subnet, group = _network(ec2, "10.72.0.0/16", ipv6=False)
    return [_run(ec2, subnet, group, interfaces=interfaces, tags=tags) for _ in range(count)]


def _network(ec2: Any, block: str, ipv6: bool) -> tuple[str, str]:
    vpc = ec2.create_vpc(CidrBlock=block, AmazonProvidedIpv6CidrBlock=ipv6)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=block.replace("/16", "/24"))["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="app", Description="what the application allows", VpcId=vpc)["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    return subnet, group


def _run(ec2: Any, subnet: str, group: str, interfaces: int = 1, volumes: int = 1, tags: dict[str, str] | None = None) -> str:
    devices = [f"/dev/xvd{chr(ord('a') + index)}" for index in range(volumes)]
    given = [{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}] if tags else []
    answer = ec2.run_instances(
        ImageId=IMAGE, MinCount=1, MaxCount=1, InstanceType="t3.micro", TagSpecifications=given,
        NetworkInterfaces=[{"DeviceIndex": index, "SubnetId": subnet, "Groups": [group]} for index in range(interfaces)],
        BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"VolumeSize": 8}} for device in devices],
    )
    return answer["Instances"][0]["InstanceId"]


def _make_spot(account: str, instance: str) -> None:
    ec2_backends[account][REGION].get_instance(instance).lifecycle = "spot"
