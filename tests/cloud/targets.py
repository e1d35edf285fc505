"""Instances to respond to, one for each kind of trouble."""

from __future__ import annotations

import json
from typing import Any

from moto.ec2 import ec2_backends

from .deploy import ARCHITECTURE, REGION, client
from .keys import MANAGED

# An Amazon Linux image, and a type that it runs on.
IMAGES = {"x86_64": ("ami-03c3da4cfa8e8943a", "t3.micro"), "arm64": ("ami-0ae8605ed708e3c3e", "t4g.micro")}
PROFILE = "web"
# What the web server was given to run. A secret in it is what such scripts have.
USER_DATA = "#!/bin/sh\nexport DATABASE_PASSWORD=not-for-anybody-elses-eyes\nexec /opt/web/start\n"


def usual(endpoint: str, account: str) -> dict[str, str]:
    """web: two interfaces in a VPC with IPv6, two volumes, a role, user data, logs of its VPC, and endpoints for Systems Manager and S3. sibling: elsewhere,
    with the same role. single: one of each, and no endpoints; as have spot, terminated, and one for drills."""
    ec2 = client(endpoint, account, "ec2")
    _role(client(endpoint, account, "iam"))
    vpc, subnet, group = _network(ec2, "10.70.0.0/16", ipv6=True)
    _endpoints(ec2, vpc, subnet, "10.70.0.0/16")
    _logs(ec2, client(endpoint, account, "route53resolver"), account, vpc, subnet)
    _, plain_subnet, plain_group = _network(ec2, "10.71.0.0/16", ipv6=False)
    _, sibling_subnet, sibling_group = _network(ec2, "10.73.0.0/16", ipv6=False)
    instances = {
        "web": _run(ec2, subnet, group, interfaces=2, volumes=2, profile=PROFILE, user_data=USER_DATA),
        "sibling": _run(ec2, sibling_subnet, sibling_group, profile=PROFILE),
        "single": _run(ec2, plain_subnet, plain_group),
        "spot": _run(ec2, plain_subnet, plain_group),
        "terminated": _run(ec2, plain_subnet, plain_group),
        "drill": _run(ec2, plain_subnet, plain_group, tags={"cordon:drill": "true"}),
    }
    _make_spot(account, instances["spot"])
    ec2.terminate_instances(InstanceIds=[instances["terminated"]])
    return instances


def many(endpoint: str, account: str, count: int, tags: dict[str, str] | None = None, interfaces: int = 1, key: str | None = None, volumes: int = 1) -> list[str]:
    """Plain instances. With `key` their volumes are encrypted: under EBS's own key with `alias/aws/ebs`, or under one of a customer."""
    ec2 = client(endpoint, account, "ec2")
    _, subnet, group = _network(ec2, "10.72.0.0/16", ipv6=False)
    return [_run(ec2, subnet, group, interfaces=interfaces, volumes=volumes, tags=tags, key=key) for _ in range(count)]


def _role(iam: Any) -> None:
    """What the application may do; and what an intruder may do who takes its credentials."""
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    # Of AmazonSSMManagedInstanceCore, what an agent needs for a command.
    agent = ["ssm:UpdateInstanceInformation", *(f"ssmmessages:{name}" for name in ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"))]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:ListAllMyBuckets", "s3:GetObject", *agent], "Resource": "*"}]}
    iam.create_role(RoleName=PROFILE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=PROFILE, PolicyName="application", PolicyDocument=json.dumps(allowed))
    iam.create_instance_profile(InstanceProfileName=PROFILE)
    iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)


def _endpoints(ec2: Any, vpc: str, subnet: str, block: str) -> None:
    """The ways to Systems Manager and S3 that do not leave the VPC."""
    group = ec2.create_security_group(GroupName="endpoints", Description="what reaches the endpoints", VpcId=vpc)["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": block}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    for service in ("ssm", "ssmmessages", "ec2messages"):
        ec2.create_vpc_endpoint(VpcId=vpc, VpcEndpointType="Interface", ServiceName=f"com.amazonaws.{REGION}.{service}", SubnetIds=[subnet], SecurityGroupIds=[group], PrivateDnsEnabled=True)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    ec2.create_vpc_endpoint(VpcId=vpc, VpcEndpointType="Gateway", ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[table])


def _logs(ec2: Any, resolver: Any, account: str, vpc: str, subnet: str) -> None:
    """Where the VPC's flows and DNS queries are logged."""
    role = f"arn:aws:iam::{account}:role/flow-logs"
    for kind, resource in (("VPC", vpc), ("Subnet", subnet)):
        ec2.create_flow_logs(ResourceType=kind, ResourceIds=[resource], TrafficType="ALL", LogGroupName=f"flows-{kind.lower()}", DeliverLogsPermissionArn=role)
    destination = f"arn:aws:logs:{REGION}:{account}:log-group:dns-queries"
    config = resolver.create_resolver_query_log_config(Name="web", DestinationArn=destination, CreatorRequestId="web")["ResolverQueryLogConfig"]["Id"]
    resolver.associate_resolver_query_log_config(ResolverQueryLogConfigId=config, ResourceId=vpc)


def _network(ec2: Any, block: str, ipv6: bool) -> tuple[str, str, str]:
    vpc = ec2.create_vpc(CidrBlock=block, AmazonProvidedIpv6CidrBlock=ipv6)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=block.replace("/16", "/24"))["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="app", Description="what the application allows", VpcId=vpc)["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    return vpc, subnet, group


def _run(ec2: Any, subnet: str, group: str, interfaces: int = 1, volumes: int = 1, tags: dict[str, str] | None = None, profile: str | None = None, user_data: str | None = None,
         key: str | None = None) -> str:
    image, kind = IMAGES[ARCHITECTURE]
    devices = [f"/dev/xvd{chr(ord('a') + index)}" for index in range(volumes)]
    given = [{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}] if tags else []
    # Where no key is named, EBS takes its own.
    encrypted: dict[str, Any] = {"Encrypted": True, **({} if key == MANAGED else {"KmsKeyId": key})} if key else {}
    answer = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, InstanceType=kind, TagSpecifications=given,
        NetworkInterfaces=[{"DeviceIndex": index, "SubnetId": subnet, "Groups": [group]} for index in range(interfaces)],
        BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"VolumeSize": 8, **encrypted}} for device in devices],
        **({"IamInstanceProfile": {"Name": profile}} if profile else {}), **({"UserData": user_data} if user_data else {}),
    )
    return answer["Instances"][0]["InstanceId"]


def _make_spot(account: str, instance: str) -> None:
    ec2_backends[account][REGION].get_instance(instance).lifecycle = "spot"
