"""EC2 where a capture relies on it: groups that name peers, endpoints and routes, instance metadata and what it hands out."""

from __future__ import annotations

import json
import time
import urllib.error
from typing import Any

import pytest

from .harness import Account, refused, until


def egress(account: Account, group: str, **to: Any) -> None:
    account("ec2").authorize_security_group_egress(GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **to}])


def instance(account: Account, role: str) -> dict[str, Any]:
    return account("ec2").describe_instances(InstanceIds=[account.about["instances"][role]])["Reservations"][0]["Instances"][0]


def test_a_rule_names_a_group_or_a_prefix_list_once_and_only_what_there_is(account: Account) -> None:
    ec2, vpc = account("ec2"), instance(account, "web")["VpcId"]
    group = ec2.create_security_group(GroupName="new", Description="x", VpcId=vpc)["GroupId"]
    peer = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["endpoints"]}, {"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"][0]["GroupId"]
    strange = ec2.create_security_group(GroupName="new", Description="x", VpcId=instance(account, "single")["VpcId"])["GroupId"]
    prefix = ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}])["PrefixLists"]
    listed = ec2.describe_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}])["PrefixLists"]
    assert len(prefix) == 1 and prefix[0]["OwnerId"] == "AWS" and [item["PrefixListId"] for item in listed] == [prefix[0]["PrefixListId"]]
    to_peer, to_s3 = {"UserIdGroupPairs": [{"GroupId": peer}]}, {"PrefixListIds": [{"PrefixListId": prefix[0]["PrefixListId"]}]}

    before = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    tcp = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    both = [{**tcp, **to_s3}, {**tcp, "UserIdGroupPairs": [{"GroupId": strange}]}]
    assert refused(lambda: ec2.authorize_security_group_egress(GroupId=group, IpPermissions=both)) == "InvalidGroup.NotFound"
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"] == before, "all or nothing"
    assert refused(lambda: egress(account, group, PrefixListIds=[{"PrefixListId": "pl-00000000"}])) == "InvalidPrefixListID.NotFound"
    assert refused(lambda: egress(account, group, UserIdGroupPairs=[{"GroupId": "sg-00000000000000000"}])) == "InvalidGroup.NotFound"

    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=before)
    for to in (to_peer, to_s3):
        egress(account, group, **to)
        assert refused(lambda to=to: egress(account, group, **to)) == "InvalidPermission.Duplicate"
    rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    assert [pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]] == [peer]
    assert [item["PrefixListId"] for rule in rules for item in rule["PrefixListIds"]] == [prefix[0]["PrefixListId"]]
    assert all((rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443) for rule in rules)
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=rules)
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"] == []
    assert refused(lambda: ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[{**tcp, **to_s3}])) == "InvalidPermission.NotFound"


def test_the_path_of_web_can_be_found_and_single_has_none(account: Account) -> None:
    ec2 = account("ec2")
    for role, kinds in (("web", {"ssm": "Interface", "ssmmessages": "Interface", "ec2messages": "Interface", "s3": "Gateway"}), ("single", {}), ("sibling", {})):
        about = instance(account, role)
        of_vpc = {"Name": "vpc-id", "Values": [about["VpcId"]]}
        endpoints = ec2.describe_vpc_endpoints(Filters=[of_vpc, {"Name": "vpc-endpoint-state", "Values": ["available"]}])["VpcEndpoints"]
        assert {e["ServiceName"].removeprefix("com.amazonaws.us-east-1."): e["VpcEndpointType"] for e in endpoints} == kinds
        tables = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [about["SubnetId"]]}])["RouteTables"]
        gateways = {table for e in endpoints for table in e.get("RouteTableIds", [])}
        assert {table["RouteTableId"] for table in tables} == gateways, "a subnet without a table of its own follows the main one"
        main = ec2.describe_route_tables(Filters=[of_vpc, {"Name": "association.main", "Values": ["true"]}])["RouteTables"]
        assert len(main) == 1 and main[0]["RouteTableId"] not in gateways
        for table in tables:
            assert [route["GatewayId"] for route in table["Routes"] if "DestinationPrefixListId" in route] == [e["VpcEndpointId"] for e in endpoints if e["VpcEndpointType"] == "Gateway"]
        for endpoint in endpoints:
            if endpoint["VpcEndpointType"] == "Interface":
                assert endpoint["PrivateDnsEnabled"] and len(endpoint["Groups"]) == 1
        kind = ec2.describe_instance_types(InstanceTypes=[about["InstanceType"]])["InstanceTypes"][0]
        assert about["Architecture"] in kind["ProcessorInfo"]["SupportedArchitectures"] and kind["MemoryInfo"]["SizeInMiB"] > 0
        assert about.get("Platform") is None, "a target must run Linux"


def test_metadata_options_keep_what_a_call_leaves_out_and_take_a_moment(account: Account) -> None:
    ec2, identifier = account("ec2"), account.about["instances"]["web"]
    change = lambda **options: ec2.modify_instance_metadata_options(InstanceId=identifier, **options)["InstanceMetadataOptions"]
    seen = lambda: instance(account, "web")["MetadataOptions"]
    assert (seen()["HttpEndpoint"], seen()["State"]) == ("enabled", "applied")
    assert change(HttpTokens="required", HttpPutResponseHopLimit=2)["State"] == "pending"
    changed = change(HttpEndpoint="disabled")
    assert (changed["HttpTokens"], changed["HttpPutResponseHopLimit"], changed["HttpEndpoint"]) == ("required", 2, "disabled")
    until(lambda: seen()["State"] == "applied")
    assert (seen()["HttpEndpoint"], seen()["HttpTokens"]) == ("disabled", "required")
    assert refused(lambda: change(HttpPutResponseHopLimit=65)) == "InvalidParameterValue"
    gone = account.about["instances"]["terminated"]
    assert refused(lambda: ec2.modify_instance_metadata_options(InstanceId=gone, HttpEndpoint="disabled")) == "IncorrectInstanceState"


def test_metadata_hands_out_a_session_of_the_instance_until_it_is_off(account: Account) -> None:
    ec2, iam, sessions = account("ec2"), account("iam"), {}
    for role in ("web", "sibling"):
        given = account.ask("credentials", {"instance": account.about["instances"][role]})
        keys = {"aws_access_key_id": given["accessKeyId"], "aws_secret_access_key": given["secretAccessKey"], "aws_session_token": given["sessionToken"]}
        caller = account("sts", **keys).get_caller_identity()
        assert caller["Arn"].endswith(f"assumed-role/web/{account.about['instances'][role]}")
        assert caller["UserId"] == f"{iam.get_role(RoleName='web')['Role']['RoleId']}:{account.about['instances'][role]}"
        sessions[role] = account("s3", **keys)
        assert sessions[role].list_buckets()["Buckets"]
        assert refused(lambda keys=keys: account("ec2", **keys).describe_instances()) == "UnauthorizedOperation"
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringLike": {"aws:userid": f"*:{account.about['instances']['web']}"}}}
    iam.put_role_policy(RoleName="web", PolicyName="deny", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    assert refused(sessions["web"].list_buckets) == "AccessDenied"
    assert sessions["sibling"].list_buckets()["Buckets"], "the role's other instances go on"
    ec2.modify_instance_metadata_options(InstanceId=account.about["instances"]["web"], HttpEndpoint="disabled")
    for role in ("web", "single"):
        with pytest.raises(urllib.error.HTTPError):
            account.ask("credentials", {"instance": account.about["instances"][role]})


def test_a_role_is_assumed_for_an_hour_at_most_by_another_role(account: Account) -> None:
    iam, about = account("iam"), account.about
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{about['accountId']}:root"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="chained", AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=7200)["Role"]["Arn"]
    iam.put_role_policy(RoleName="chained", PolicyName="all", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}))
    first = account("sts").assume_role(RoleArn=role, RoleSessionName="first", DurationSeconds=7200)["Credentials"]
    assert 7000 < first["Expiration"].timestamp() - time.time() <= 7200
    assert refused(lambda: account("sts").assume_role(RoleArn=role, RoleSessionName="long", DurationSeconds=7201)) == "ValidationError"
    second = account("sts", aws_access_key_id=first["AccessKeyId"], aws_secret_access_key=first["SecretAccessKey"], aws_session_token=first["SessionToken"])
    assert refused(lambda: second.assume_role(RoleArn=role, RoleSessionName="second", DurationSeconds=3601)) == "ValidationError"
    assert second.assume_role(RoleArn=role, RoleSessionName="second", DurationSeconds=3600)["Credentials"]
