"""EC2, Auto Scaling and load balancers where the protection of a target's evidence, and its release, rely on them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from .harness import Account, ask, refused

IMAGE = "ami-03c3da4cfa8e8943a"
# Names that nothing else in the account has.
names = (f"test-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def shared(endpoint: str) -> Account:
    """An account for tests that change only what they make."""
    return Account(ask(endpoint, "accounts", {}))


def instance(account: Account, identifier: str) -> dict[str, Any]:
    return account("ec2").describe_instances(InstanceIds=[identifier])["Reservations"][0]["Instances"][0]


def launched(account: Account, interfaces: int = 1, volumes: int = 1, **given: Any) -> str:
    """An instance beside `single`, of the test's own."""
    about = instance(account, account.about["instances"]["single"])
    nics = [{"DeviceIndex": index, "SubnetId": about["SubnetId"], "Groups": [about["SecurityGroups"][0]["GroupId"]]} for index in range(interfaces)]
    disks = [{"DeviceName": f"/dev/xvd{'ab'[index]}", "Ebs": {"VolumeSize": 8}} for index in range(volumes)]
    answer = account("ec2").run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, NetworkInterfaces=nics, BlockDeviceMappings=disks, **given)
    return str(answer["Instances"][0]["InstanceId"])


def volumes(account: Account, identifier: str) -> dict[str, dict[str, Any]]:
    """The volumes of an instance by device, as DescribeVolumes has them."""
    found = account("ec2").describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [identifier]}])["Volumes"]
    return {volume["Attachments"][0]["Device"]: volume for volume in found}


def attribute(account: Account, identifier: str, name: str) -> Any:
    answer = account("ec2").describe_instance_attribute(InstanceId=identifier, Attribute=name)
    return answer[name[0].upper() + name[1:]]["Value"]


def modify(account: Account, identifier: str, **attributes: Any) -> None:
    account("ec2").modify_instance_attribute(InstanceId=identifier, **attributes)


# ---- Instance attributes

@pytest.mark.parametrize(
    ("name", "before", "after", "change"),
    [
        ("disableApiTermination", False, True, {"DisableApiTermination": {"Value": True}}),
        ("disableApiStop", False, True, {"DisableApiStop": {"Value": True}}),
        ("instanceInitiatedShutdownBehavior", "stop", "terminate", {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}}),
        ("disableApiTermination", False, True, {"Attribute": "disableApiTermination", "Value": "true"}),
    ],
)
def test_an_attribute_is_kept_as_it_was_set(shared: Account, name: str, before: Any, after: Any, change: dict[str, Any]) -> None:
    target = launched(shared)
    groups = instance(shared, target)["SecurityGroups"]
    assert attribute(shared, target, name) == before
    for _ in range(2):
        modify(shared, target, **change)
        assert attribute(shared, target, name) == after
    assert instance(shared, target)["SecurityGroups"] == groups, "it changes nothing else"


@pytest.mark.parametrize(
    ("why", "target", "change", "code"),
    [
        ("two attributes", "single", {"DisableApiTermination": {"Value": True}, "DisableApiStop": {"Value": True}}, "InvalidParameterCombination"),
        ("an attribute and a volume's", "single", {"DisableApiStop": {"Value": True}, "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}}]}, "InvalidParameterCombination"),
        ("none", "single", {}, "InvalidParameterCombination"),
        ("a third behaviour", "single", {"InstanceInitiatedShutdownBehavior": {"Value": "sleep"}}, "InvalidParameterValue"),
        ("a device that there is not", "single", {"BlockDeviceMappings": [{"DeviceName": "/dev/xvdz", "Ebs": {"DeleteOnTermination": False}}]}, "InvalidInstanceAttributeValue"),
        ("termination protection of a Spot instance", "spot", {"DisableApiTermination": {"Value": True}}, "UnsupportedOperation"),
        ("shutdown behaviour of a Spot instance", "spot", {"InstanceInitiatedShutdownBehavior": {"Value": "stop"}}, "UnsupportedOperation"),
        ("one that is terminated", "terminated", {"DisableApiTermination": {"Value": True}}, "IncorrectInstanceState"),
        ("one that there is not", None, {"DisableApiTermination": {"Value": True}}, "InvalidInstanceID.NotFound"),
    ],
)
def test_what_ec2_refuses_of_an_attribute_is_refused(shared: Account, why: str, target: str | None, change: dict[str, Any], code: str) -> None:
    identifier = shared.about["instances"][target] if target else "i-00000000000000000"
    assert refused(lambda: modify(shared, identifier, **change)) == code, why
    if target == "single":
        assert not attribute(shared, identifier, "disableApiTermination") and not attribute(shared, identifier, "disableApiStop"), "nothing of it was done"


def test_a_spot_instance_may_have_stop_protection_and_be_rid_of_the_other(shared: Account) -> None:
    spot = shared.about["instances"]["spot"]
    modify(shared, spot, DisableApiStop={"Value": True})
    modify(shared, spot, DisableApiTermination={"Value": False})
    assert attribute(shared, spot, "disableApiStop") and not attribute(shared, spot, "disableApiTermination")


def test_a_protected_instance_is_neither_terminated_nor_stopped(shared: Account) -> None:
    ec2, target = shared("ec2"), launched(shared)
    ends = {"DisableApiTermination": ec2.terminate_instances, "DisableApiStop": ec2.stop_instances}
    for name, end in ends.items():
        modify(shared, target, **{name: {"Value": True}})
        assert refused(lambda end=end: end(InstanceIds=[target])) == "OperationNotPermitted", name
    assert instance(shared, target)["State"]["Name"] == "running"
    for name in ends:
        modify(shared, target, **{name: {"Value": False}})
    ec2.stop_instances(InstanceIds=[target])
    ec2.terminate_instances(InstanceIds=[target])
    assert instance(shared, target)["State"]["Name"] == "terminated"


def test_a_launch_may_ask_for_protection(shared: Account) -> None:
    target = launched(shared, DisableApiTermination=True, DisableApiStop=True, InstanceInitiatedShutdownBehavior="terminate")
    assert attribute(shared, target, "disableApiTermination") and attribute(shared, target, "disableApiStop")
    assert attribute(shared, target, "instanceInitiatedShutdownBehavior") == "terminate"


def test_a_root_goes_with_its_instance_until_it_is_told_to_stay(shared: Account) -> None:
    ec2, target = shared("ec2"), launched(shared, volumes=2)

    def seen() -> dict[str, bool]:
        mapped = {mapping["DeviceName"]: mapping["Ebs"]["DeleteOnTermination"] for mapping in instance(shared, target)["BlockDeviceMappings"]}
        assert mapped == {device: volume["Attachments"][0]["DeleteOnTermination"] for device, volume in volumes(shared, target).items()}, "both calls say the same"
        return mapped

    assert seen() == {"/dev/xvda": True, "/dev/xvdb": False}
    modify(shared, target, BlockDeviceMappings=[{"DeviceName": "/dev/xvdb", "Ebs": {"DeleteOnTermination": True}}])
    modify(shared, target, BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}}])
    assert seen() == {"/dev/xvda": False, "/dev/xvdb": True}, "only what a call names"
    before = {device: volume["VolumeId"] for device, volume in volumes(shared, target).items()}
    ec2.terminate_instances(InstanceIds=[target])
    assert ec2.describe_volumes(VolumeIds=[before["/dev/xvda"]])["Volumes"][0]["State"] == "available", "what stays is not attached any more"
    assert refused(lambda: ec2.describe_volumes(VolumeIds=[before["/dev/xvdb"]])) == "InvalidVolume.NotFound"


def test_a_root_is_where_its_image_has_it(shared: Account) -> None:
    plain = shared("ec2").run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    about = instance(shared, plain)
    assert [(mapping["DeviceName"], mapping["Ebs"]["DeleteOnTermination"]) for mapping in about["BlockDeviceMappings"]] == [(about["RootDeviceName"], True)]


# ---- Interfaces

def tracking(account: Account, identifier: str) -> list[Any]:
    """The connection tracking of each interface, as both calls have it."""
    about = instance(account, identifier)["NetworkInterfaces"]
    described = account("ec2").describe_network_interfaces(NetworkInterfaceIds=[nic["NetworkInterfaceId"] for nic in about])["NetworkInterfaces"]
    by_id = {nic["NetworkInterfaceId"]: nic.get("ConnectionTrackingConfiguration") for nic in described}
    about.sort(key=lambda nic: nic["Attachment"]["DeviceIndex"])
    assert all(nic.get("ConnectionTrackingConfiguration") == by_id[nic["NetworkInterfaceId"]] for nic in about), "both calls say the same"
    return [nic.get("ConnectionTrackingConfiguration") for nic in about]


def test_connection_tracking_is_shown_once_it_was_set_and_on_no_other_interface(shared: Account) -> None:
    ec2, target = shared("ec2"), launched(shared, interfaces=2)
    assert tracking(shared, target) == [None, None]
    first = next(nic for nic in instance(shared, target)["NetworkInterfaces"] if nic["Attachment"]["DeviceIndex"] == 0)
    change = lambda **given: ec2.modify_network_interface_attribute(NetworkInterfaceId=first["NetworkInterfaceId"], ConnectionTrackingSpecification=given)
    change(TcpEstablishedTimeout=60)
    assert tracking(shared, target) == [{"TcpEstablishedTimeout": 60}, None]
    change(UdpStreamTimeout=180, UdpTimeout=30)
    assert tracking(shared, target) == [{"TcpEstablishedTimeout": 60, "UdpStreamTimeout": 180, "UdpTimeout": 30}, None], "what a call leaves out stays"
    assert [group["GroupId"] for group in instance(shared, target)["SecurityGroups"]] == [group["GroupId"] for group in first["Groups"]]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ConnectionTrackingSpecification": {"TcpEstablishedTimeout": 59}}, "InvalidParameterValue"),
        ({"ConnectionTrackingSpecification": {"TcpEstablishedTimeout": 432_001}}, "InvalidParameterValue"),
        ({"ConnectionTrackingSpecification": {"UdpStreamTimeout": 59}}, "InvalidParameterValue"),
        ({"ConnectionTrackingSpecification": {"UdpStreamTimeout": 181}}, "InvalidParameterValue"),
        ({"ConnectionTrackingSpecification": {"UdpTimeout": 29}}, "InvalidParameterValue"),
        ({"ConnectionTrackingSpecification": {"TcpEstablishedTimeout": 60, "UdpTimeout": 61}}, "InvalidParameterValue"),
        ({"ConnectionTrackingSpecification": {"UdpTimeout": 30}, "Groups": ["own"]}, "InvalidParameterCombination"),
        ({"ConnectionTrackingSpecification": {"UdpTimeout": 30}, "NetworkInterfaceId": "eni-00000000000000000"}, "InvalidNetworkInterfaceID.NotFound"),
        ({}, "InvalidParameterCombination"),
    ],
)
def test_what_ec2_refuses_of_an_interface_is_refused(shared: Account, given: dict[str, Any], code: str) -> None:
    [nic] = instance(shared, shared.about["instances"]["single"])["NetworkInterfaces"]
    if "Groups" in given:
        given = {**given, "Groups": [nic["Groups"][0]["GroupId"]]}
    call = {"NetworkInterfaceId": nic["NetworkInterfaceId"], **given}
    assert refused(lambda: shared("ec2").modify_network_interface_attribute(**call)) == code
    assert tracking(shared, shared.about["instances"]["single"]) == [None], "nothing of it was done"


def test_an_instance_wears_the_groups_of_its_interface_and_no_others(shared: Account) -> None:
    """Also one that was launched with groups of its own, as Auto Scaling launches them."""
    ec2, about = shared("ec2"), instance(shared, shared.about["instances"]["single"])
    given, other = about["SecurityGroups"][0]["GroupId"], ec2.create_security_group(GroupName="other", Description="x", VpcId=about["VpcId"])["GroupId"]
    target = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, SubnetId=about["SubnetId"], SecurityGroupIds=[given])["Instances"][0]["InstanceId"]

    def worn() -> tuple[list[str], list[str]]:
        seen = instance(shared, target)
        return [group["GroupId"] for group in seen["SecurityGroups"]], [group["GroupId"] for group in seen["NetworkInterfaces"][0]["Groups"]]

    assert worn() == ([given], [given])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=instance(shared, target)["NetworkInterfaces"][0]["NetworkInterfaceId"], Groups=[other])
    assert worn() == ([other], [other])
    modify(shared, target, Groups=[given])
    assert worn() == ([given], [given])


def test_a_public_address_is_seen_on_the_interface_that_has_it(shared: Account) -> None:
    ec2, target = shared("ec2"), launched(shared, interfaces=2)
    nics = {nic["Attachment"]["DeviceIndex"]: nic["NetworkInterfaceId"] for nic in instance(shared, target)["NetworkInterfaces"]}
    address = ec2.allocate_address(Domain="vpc")
    association = ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=nics[1])["AssociationId"]
    seen = {nic["NetworkInterfaceId"]: nic["Association"]["PublicIp"] for nic in instance(shared, target)["NetworkInterfaces"] if "Association" in nic}
    assert seen == {nics[1]: address["PublicIp"]}
    described = ec2.describe_network_interfaces(NetworkInterfaceIds=[nics[1]])["NetworkInterfaces"][0]["Association"]
    assert (described["PublicIp"], described["AllocationId"], described["AssociationId"]) == (address["PublicIp"], address["AllocationId"], association)
    [held] = ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"]
    assert (held["NetworkInterfaceId"], held["AssociationId"], held["InstanceId"]) == (nics[1], association, target)
    ec2.disassociate_address(AssociationId=association)
    assert not any("Association" in nic for nic in instance(shared, target)["NetworkInterfaces"])


# ---- Auto Scaling

class Scaled:
    """A scaling group with its instances, and what they are registered with."""

    def __init__(self, account: Account, size: int = 1, least: int = 1, most: int = 3) -> None:
        self.name, self.account, self.scaling, self.ec2 = next(names), account, account("autoscaling"), account("ec2")
        self.v2, self.classic = account("elbv2"), account("elb")
        about = instance(account, account.about["instances"]["single"])
        self.subnet, self.vpc, self.security = about["SubnetId"], about["VpcId"], about["SecurityGroups"][0]["GroupId"]
        self.target_group = target_group(account, self.vpc)
        self.classic.create_load_balancer(LoadBalancerName=self.name, Subnets=[self.subnet], Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}])
        root = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9, "DeleteOnTermination": True}}
        data = {"ImageId": IMAGE, "InstanceType": "t3.micro", "SecurityGroupIds": [self.security], "BlockDeviceMappings": [root]}
        template = self.ec2.create_launch_template(LaunchTemplateName=self.name, LaunchTemplateData=data)["LaunchTemplate"]["LaunchTemplateId"]
        self.scaling.create_auto_scaling_group(AutoScalingGroupName=self.name, MinSize=least, MaxSize=most, DesiredCapacity=size, VPCZoneIdentifier=self.subnet,
                                               LaunchTemplate={"LaunchTemplateId": template}, TargetGroupARNs=[self.target_group], LoadBalancerNames=[self.name])

    def group(self) -> dict[str, Any]:
        return self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"][0]

    def members(self) -> list[str]:
        return [member["InstanceId"] for member in self.group()["Instances"]]

    def membership(self, identifier: str) -> tuple[str, str] | None:
        found = self.scaling.describe_auto_scaling_instances(InstanceIds=[identifier])["AutoScalingInstances"]
        return (found[0]["AutoScalingGroupName"], found[0]["LifecycleState"]) if found else None

    def tag(self, identifier: str) -> str | None:
        tags = {tag["Key"]: tag["Value"] for tag in instance(self.account, identifier).get("Tags", [])}
        return tags.get("aws:autoscaling:groupName")

    def registered(self) -> tuple[set[str], set[str]]:
        """In the target group, and with the classic load balancer."""
        health = self.v2.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"] for one in health}, set(with_classic(self.account, self.name))

    def detach(self, *identifiers: str, decrement: bool = False) -> Any:
        return self.scaling.detach_instances(InstanceIds=list(identifiers), AutoScalingGroupName=self.name, ShouldDecrementDesiredCapacity=decrement)

    def attach(self, *identifiers: str) -> None:
        self.scaling.attach_instances(InstanceIds=list(identifiers), AutoScalingGroupName=self.name)


def test_a_scaling_group_launches_instances_that_are_like_any_other(shared: Account) -> None:
    scaled = Scaled(shared, size=2)
    members = scaled.members()
    assert len(members) == 2 and scaled.registered() == (set(members), set(members))
    for member in members:
        assert scaled.membership(member) == (scaled.name, "InService") and scaled.tag(member) == scaled.name
        about = instance(shared, member)
        assert (about["State"]["Name"], about["SubnetId"]) == ("running", scaled.subnet)
        [root] = shared("ec2").describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [member]}])["Volumes"]
        assert (root["Attachments"][0]["Device"], root["Size"], root["Attachments"][0]["DeleteOnTermination"]) == (about["RootDeviceName"], 9, True), "one disk, as its template has it"
        assert [mapping["Ebs"]["VolumeId"] for mapping in about["BlockDeviceMappings"]] == [root["VolumeId"]]
        assert [group["GroupId"] for group in about["NetworkInterfaces"][0]["Groups"]] == [scaled.security]
    assert scaled.membership(shared.about["instances"]["single"]) is None


def test_a_detached_instance_lives_on_outside_and_is_replaced(shared: Account) -> None:
    scaled = Scaled(shared, size=1)
    [target] = scaled.members()
    assert len(scaled.detach(target)["Activities"]) == 1
    [replacement] = scaled.members()
    assert replacement != target and scaled.group()["DesiredCapacity"] == 1, "the capacity is kept"
    assert scaled.membership(target) is None and scaled.tag(target) is None and scaled.tag(replacement) == scaled.name
    assert instance(shared, target)["State"]["Name"] == "running"
    assert scaled.registered() == ({replacement}, {replacement})
    assert refused(lambda: scaled.detach(target)) == "ValidationError", "it is in no group any more"


def test_a_group_may_shrink_to_its_minimum_and_no_further(shared: Account) -> None:
    scaled = Scaled(shared, size=2, least=1)
    first, second = scaled.members()
    scaled.detach(first, decrement=True)
    assert (scaled.members(), scaled.group()["DesiredCapacity"]) == ([second], 1)
    assert refused(lambda: scaled.detach(second, decrement=True)) == "ValidationError"
    assert scaled.members() == [second] and scaled.registered() == ({second}, {second})


def test_only_members_of_a_group_that_there_is_leave_it(shared: Account) -> None:
    scaled, stranger = Scaled(shared), shared.about["instances"]["single"]
    with pytest.raises(scaled.scaling.exceptions.ClientError) as error:
        scaled.detach(stranger)
    said = error.value.response["Error"]
    assert said["Code"] == "ValidationError" and said["Message"].startswith(f"The instance {stranger} is not part of Auto Scaling group {scaled.name}")
    nowhere = lambda: scaled.scaling.detach_instances(InstanceIds=[stranger], AutoScalingGroupName="none", ShouldDecrementDesiredCapacity=False)
    assert refused(nowhere) == "ValidationError"
    assert refused(lambda: scaled.detach(scaled.members()[0], stranger)) == "ValidationError", "all or nothing"
    assert len(scaled.members()) == 1


def test_an_instance_that_is_attached_adds_to_the_capacity_up_to_the_maximum(shared: Account) -> None:
    scaled = Scaled(shared, size=1, most=2)
    [target] = scaled.members()
    scaled.detach(target)
    [replacement] = scaled.members()
    scaled.attach(target)
    assert set(scaled.members()) == {target, replacement} and scaled.group()["DesiredCapacity"] == 2
    assert scaled.membership(target) == (scaled.name, "InService") and scaled.tag(target) == scaled.name
    assert scaled.registered() == ({target, replacement}, {target, replacement})
    assert refused(lambda: scaled.attach(launched(shared))) == "ValidationError", "above the maximum"
    assert refused(lambda: scaled.attach(target)) == "ValidationError", "it is in the group"
    assert refused(lambda: scaled.attach(shared.about["instances"]["terminated"])) == "ValidationError"
    assert refused(lambda: scaled.attach("i-00000000000000000")) == "ValidationError"
    assert set(scaled.members()) == {target, replacement} and scaled.group()["DesiredCapacity"] == 2


def test_an_instance_in_standby_is_a_member_without_traffic(shared: Account) -> None:
    scaled = Scaled(shared, size=1, least=0)
    [target] = scaled.members()
    assert refused(lambda: scaled.scaling.exit_standby(InstanceIds=[target], AutoScalingGroupName=scaled.name)) == "ValidationError"
    scaled.scaling.enter_standby(InstanceIds=[target], AutoScalingGroupName=scaled.name, ShouldDecrementDesiredCapacity=True)
    assert scaled.membership(target) == (scaled.name, "Standby") and scaled.registered() == (set(), set()) and scaled.group()["DesiredCapacity"] == 0
    scaled.scaling.exit_standby(InstanceIds=[target], AutoScalingGroupName=scaled.name)
    scaled.scaling.update_auto_scaling_group(AutoScalingGroupName=scaled.name, MinSize=1)
    for other in (target, shared.about["instances"]["single"]):
        enter = lambda other=other: scaled.scaling.enter_standby(InstanceIds=[other], AutoScalingGroupName=scaled.name, ShouldDecrementDesiredCapacity=True)
        assert refused(enter) == "ValidationError", "below the minimum, or not a member"
    assert scaled.membership(target) == (scaled.name, "InService") and scaled.registered() == ({target}, {target}) and scaled.group()["DesiredCapacity"] == 1


def test_a_member_that_somebody_deregistered_is_not_registered_again(shared: Account) -> None:
    scaled = Scaled(shared, size=2)
    target, other = scaled.members()
    scaled.v2.deregister_targets(TargetGroupArn=scaled.target_group, Targets=[{"Id": target}])
    scaled.classic.deregister_instances_from_load_balancer(LoadBalancerName=scaled.name, Instances=[{"InstanceId": target}])
    scaled.detach(other)
    replacement = next(member for member in scaled.members() if member != target)
    assert scaled.registered() == ({replacement}, {replacement})


def test_a_group_ends_its_members_whatever_protects_them(shared: Account) -> None:
    """Termination protection is for the API's callers: this is why a target leaves its group [facts 19]."""
    scaled = Scaled(shared, size=1, least=0)
    [target] = scaled.members()
    modify(shared, target, DisableApiTermination={"Value": True})
    scaled.scaling.set_desired_capacity(AutoScalingGroupName=scaled.name, DesiredCapacity=0)
    assert instance(shared, target)["State"]["Name"] == "terminated" and scaled.members() == []
    scaled.scaling.set_desired_capacity(AutoScalingGroupName=scaled.name, DesiredCapacity=1)
    [target] = scaled.members()
    modify(shared, target, DisableApiTermination={"Value": True})
    scaled.scaling.terminate_instance_in_auto_scaling_group(InstanceId=target, ShouldDecrementDesiredCapacity=False)
    assert instance(shared, target)["State"]["Name"] == "terminated" and target not in scaled.members()
    [target] = scaled.members()
    modify(shared, target, DisableApiTermination={"Value": True})
    scaled.detach(target)
    scaled.scaling.set_desired_capacity(AutoScalingGroupName=scaled.name, DesiredCapacity=0)
    assert instance(shared, target)["State"]["Name"] == "running", "one that left is not touched"
    assert refused(lambda: shared("ec2").terminate_instances(InstanceIds=[target])) == "OperationNotPermitted", "and is protected still"


# ---- Load balancers

def target_group(account: Account, vpc: str, kind: str = "instance") -> str:
    return str(account("elbv2").create_target_group(Name=next(names), Protocol="HTTP", Port=80, VpcId=vpc, TargetType=kind)["TargetGroups"][0]["TargetGroupArn"])


def balanced(account: Account, name: str, arn: str) -> str:
    """A load balancer that sends what it gets to a target group."""
    ec2, v2 = account("ec2"), account("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.99.{index}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"] for index, zone in enumerate("ab")]
    balancer = v2.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    v2.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}])
    return str(balancer)


def health(account: Account, arn: str, **target: Any) -> tuple[str, str | None]:
    [one] = account("elbv2").describe_target_health(TargetGroupArn=arn, Targets=[target])["TargetHealthDescriptions"]
    assert one["Target"]["Id"] == target["Id"]
    return one["TargetHealth"]["State"], one["TargetHealth"].get("Reason")


def with_classic(account: Account, name: str) -> list[str]:
    [balancer] = account("elb").describe_load_balancers(LoadBalancerNames=[name])["LoadBalancerDescriptions"]
    return [one["InstanceId"] for one in balancer["Instances"]]


@pytest.mark.parametrize("kind", ["instance", "ip"])
def test_a_target_is_registered_until_it_is_deregistered(shared: Account, kind: str) -> None:
    v2, about = shared("elbv2"), instance(shared, shared.about["instances"]["single"])
    arn, target = target_group(shared, about["VpcId"], kind), about["InstanceId"] if kind == "instance" else about["PrivateIpAddress"]
    assert health(shared, arn, Id=target) == ("unused", "Target.NotRegistered")
    v2.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": target}])
    for _ in range(2):
        v2.register_targets(TargetGroupArn=arn, Targets=[{"Id": target}])
    assert health(shared, arn, Id=target) == ("unused", "Target.NotInUse"), "registered, although no load balancer uses the target group"
    balanced(shared, next(names), arn)
    assert health(shared, arn, Id=target) == ("healthy", None)
    for _ in range(2):
        v2.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": target}])
        assert health(shared, arn, Id=target) == ("unused", "Target.NotRegistered")
    assert v2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"] == []


def test_a_target_is_registered_by_its_port(shared: Account) -> None:
    v2, about = shared("elbv2"), instance(shared, launched(shared))
    arn, target = target_group(shared, about["VpcId"]), about["InstanceId"]
    v2.register_targets(TargetGroupArn=arn, Targets=[{"Id": target}, {"Id": target, "Port": 8080}])
    ports = lambda: {one["Target"]["Port"] for one in v2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]}
    assert ports() == {80, 8080}
    v2.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": target}])
    assert ports() == {8080}, "without a port it is the target group's own"
    assert health(shared, arn, Id=target, Port=8080) == ("unused", "Target.NotInUse")
    shared("ec2").terminate_instances(InstanceIds=[target])
    assert ports() == set()


def test_an_address_keeps_the_zone_that_it_was_registered_with(shared: Account) -> None:
    v2, about = shared("elbv2"), instance(shared, shared.about["instances"]["single"])
    arn = target_group(shared, about["VpcId"], "ip")
    target = {"Id": "192.168.1.5", "Port": 80, "AvailabilityZone": "all"}
    v2.register_targets(TargetGroupArn=arn, Targets=[target])
    assert [one["Target"] for one in v2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]] == [target]


def test_a_target_must_be_one_that_the_group_can_have(shared: Account) -> None:
    v2, about = shared("elbv2"), instance(shared, shared.about["instances"]["single"])
    instances, addresses = target_group(shared, about["VpcId"]), target_group(shared, about["VpcId"], "ip")
    for identifier in ("i-00000000000000000", shared.about["instances"]["sibling"], shared.about["instances"]["terminated"]):
        assert refused(lambda identifier=identifier: v2.register_targets(TargetGroupArn=instances, Targets=[{"Id": identifier}])) == "InvalidTarget", identifier
    assert refused(lambda: v2.register_targets(TargetGroupArn=addresses, Targets=[{"Id": about["InstanceId"]}])) == "ValidationError"
    nowhere = instances.rsplit("/", 1)[0] + "/0123456789abcdef"
    for call in (v2.register_targets, v2.deregister_targets, v2.describe_target_health):
        assert refused(lambda call=call: call(TargetGroupArn=nowhere, Targets=[{"Id": about["InstanceId"]}])) == "TargetGroupNotFound"


def test_target_groups_come_by_pages(account: Account) -> None:
    v2, vpc = account("elbv2"), instance(account, account.about["instances"]["single"])["VpcId"]
    made = {target_group(account, vpc, "ip" if number % 2 else "instance") for number in range(5)}
    pages = [page["TargetGroups"] for page in v2.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 2})]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {group["TargetGroupArn"] for page in pages for group in page} == made
    assert {group["TargetType"] for page in pages for group in page} == {"ip", "instance"}


def test_a_classic_balancer_has_an_instance_once_and_refuses_what_it_does_not_find(shared: Account) -> None:
    classic, name, about = shared("elb"), next(names), instance(shared, shared.about["instances"]["single"])
    target = [{"InstanceId": about["InstanceId"]}]
    classic.create_load_balancer(LoadBalancerName=name, Subnets=[about["SubnetId"]], Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}])
    assert with_classic(shared, name) == []
    for _ in range(2):
        assert classic.register_instances_with_load_balancer(LoadBalancerName=name, Instances=target)["Instances"] == target
        assert with_classic(shared, name) == [about["InstanceId"]]
    calls = (classic.register_instances_with_load_balancer, classic.deregister_instances_from_load_balancer)
    for call in calls:
        assert refused(lambda call=call: call(LoadBalancerName=name, Instances=[{"InstanceId": "i-00000000000000000"}])) == "InvalidInstance"
        assert refused(lambda call=call: call(LoadBalancerName="none", Instances=target)) == "LoadBalancerNotFound"
    elsewhere = [{"InstanceId": shared.about["instances"]["sibling"]}]
    assert refused(lambda: classic.register_instances_with_load_balancer(LoadBalancerName=name, Instances=elsewhere)) == "InvalidInstance"
    for _ in range(2):
        assert classic.deregister_instances_from_load_balancer(LoadBalancerName=name, Instances=target)["Instances"] == []
        assert with_classic(shared, name) == []


def test_both_generations_of_balancers_share_a_host_and_do_not_mix(account: Account) -> None:
    about = instance(account, account.about["instances"]["single"])
    account("elb").create_load_balancer(LoadBalancerName="old", Subnets=[about["SubnetId"]], Listeners=[{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}])
    balanced(account, "new", target_group(account, about["VpcId"]))
    assert [one["LoadBalancerName"] for one in account("elb").describe_load_balancers()["LoadBalancerDescriptions"]] == ["old"]
    assert [one["LoadBalancerName"] for one in account("elbv2").describe_load_balancers()["LoadBalancers"]] == ["new"]


# ---- The call log, faults, and IAM

CALLS = {
    "autoscaling:DetachInstances": lambda scaled: scaled.detach(scaled.members()[0]),
    "autoscaling:DescribeAutoScalingInstances": lambda scaled: scaled.scaling.describe_auto_scaling_instances(),
    "elasticloadbalancing:DeregisterTargets": lambda scaled: scaled.v2.deregister_targets(TargetGroupArn=scaled.target_group, Targets=[{"Id": scaled.members()[0]}]),
    "elasticloadbalancing:DescribeTargetHealth": lambda scaled: scaled.v2.describe_target_health(TargetGroupArn=scaled.target_group),
    "elasticloadbalancing:DeregisterInstancesFromLoadBalancer": lambda scaled: scaled.classic.deregister_instances_from_load_balancer(LoadBalancerName=scaled.name, Instances=[{"InstanceId": scaled.members()[0]}]),
    "elasticloadbalancing:DescribeLoadBalancers": lambda scaled: scaled.classic.describe_load_balancers(),
    "ec2:ModifyInstanceAttribute": lambda scaled: modify(scaled.account, scaled.members()[0], DisableApiStop={"Value": True}),
}


def test_each_call_is_logged_with_its_service_and_action_and_fails_by_rule(shared: Account) -> None:
    scaled = Scaled(shared)
    for action, call in CALLS.items():
        service = action.split(":")[0]
        shared.ask("faults", {"faults": [{"action": action, "kind": "before", "code": "Throttling", "status": 400}]})
        assert refused(lambda call=call: call(scaled)) == "Throttling", action
        call(scaled)
        logged = [(entry["service"], entry["status"], entry["error"]) for entry in shared.calls() if entry["action"] == action][-2:]
        assert logged == [(service, 400, "Throttling"), (service, 200, None)], action
    shared.ask("faults", {"faults": [{"action": "autoscaling:DetachInstances", "kind": "after", "code": "InternalFailure", "status": 500}]})
    [target] = scaled.members()
    assert refused(lambda: scaled.detach(target)) == "InternalFailure" and scaled.membership(target) is None, "done, and the answer lost"


def allowed_only(account: Account, *statements: dict[str, Any]) -> Account:
    """The same account, by a role that may do just this besides describing."""
    iam, number = account("iam"), len(account("iam").list_roles()["Roles"])
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account.about['accountId']}:root"}, "Action": "sts:AssumeRole"}]}
    describe = {"Effect": "Allow", "Action": ["ec2:Describe*", "autoscaling:Describe*", "elasticloadbalancing:Describe*"], "Resource": "*"}
    arn = iam.create_role(RoleName=f"only-{number}", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=f"only-{number}", PolicyName="allowed", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [describe, *statements]}))
    keys = account("sts").assume_role(RoleArn=arn, RoleSessionName="one")["Credentials"]
    given = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"], "aws_session_token": keys["SessionToken"]}

    class By(Account):
        def __call__(self, service: str, **credentials: str) -> Any:
            return super().__call__(service, **(credentials or given))

    return By(account.about)


def allow(account: Account, actions: list[str], *resources: str, **condition: Any) -> dict[str, Any]:
    """Resources without what every ARN begins with."""
    where = f"{account.about['region']}:{account.about['accountId']}"
    named = [f"arn:aws:{service}:{where}:{resource}" for service, resource in (one.split(":", 1) for one in resources)]
    return {"Effect": "Allow", "Action": actions, "Resource": named, **({"Condition": condition} if condition else {})}


def by_role(scaled: Scaled, role: Account) -> dict[str, Any]:
    """What the steps do to groups and balancers, by a role."""
    scaling, v2, classic = role("autoscaling"), role("elbv2"), role("elb")
    [member] = scaled.members()
    targets, instances = {"TargetGroupArn": scaled.target_group, "Targets": [{"Id": member}]}, {"LoadBalancerName": scaled.name, "Instances": [{"InstanceId": member}]}
    return {
        "elasticloadbalancing:DeregisterTargets": lambda: v2.deregister_targets(**targets),
        "elasticloadbalancing:RegisterTargets": lambda: v2.register_targets(**targets),
        "elasticloadbalancing:DeregisterInstancesFromLoadBalancer": lambda: classic.deregister_instances_from_load_balancer(**instances),
        "elasticloadbalancing:RegisterInstancesWithLoadBalancer": lambda: classic.register_instances_with_load_balancer(**instances),
        "autoscaling:DetachInstances": lambda: scaling.detach_instances(InstanceIds=[member], AutoScalingGroupName=scaled.name, ShouldDecrementDesiredCapacity=False),
        "autoscaling:AttachInstances": lambda: scaling.attach_instances(InstanceIds=[member], AutoScalingGroupName=scaled.name),
    }


RESOURCES = {"Targets": "elasticloadbalancing:targetgroup/*", "LoadBalancer": "elasticloadbalancing:loadbalancer/*", "Instances": "autoscaling:autoScalingGroup:*:autoScalingGroupName/*"}


def resource_of(action: str) -> str:
    return next(resource for suffix, resource in RESOURCES.items() if action.endswith(suffix))


def test_a_role_may_do_to_groups_and_balancers_what_it_is_allowed_on_their_arns(shared: Account) -> None:
    scaled = Scaled(shared)
    actions = list(by_role(scaled, shared))
    role = allowed_only(shared, *(allow(shared, [action], resource_of(action)) for action in actions))
    for call in by_role(scaled, role).values():
        call()


def test_a_role_may_not_do_to_groups_and_balancers_what_it_is_allowed_elsewhere(shared: Account) -> None:
    scaled = Scaled(shared)
    others = ("elasticloadbalancing:targetgroup/other/*", "elasticloadbalancing:loadbalancer/other", "autoscaling:autoScalingGroup:*:autoScalingGroupName/other")
    actions = list(by_role(scaled, shared))
    for role in (allowed_only(shared), allowed_only(shared, allow(shared, actions, *others))):
        for action, call in by_role(scaled, role).items():
            assert refused(call) == "AccessDenied", action
        assert role("elbv2").describe_target_groups()["TargetGroups"] and role("elb").describe_load_balancers()["LoadBalancerDescriptions"]
        assert role("autoscaling").describe_auto_scaling_instances()["AutoScalingInstances"]
    for action in actions:
        role = allowed_only(shared, allow(shared, [action], resource_of(action)))
        for other in actions:
            if other != action and not other.endswith("Instances"):
                assert refused(by_role(scaled, role)[other]) == "AccessDenied", f"{other} with {action}"


def test_describing_knows_no_resources(shared: Account) -> None:
    """So a word about a resource says nothing of it, and one about all does."""
    arn, target = target_group(shared, instance(shared, shared.about["instances"]["single"])["VpcId"]), shared.about["instances"]["single"]
    services = {"elasticloadbalancing": ["targetgroup/*", "loadbalancer/*"], "autoscaling": ["autoScalingGroup:*:autoScalingGroupName/*"], "ec2": ["instance/*"]}

    def denied(where: list[str]) -> Account:
        return allowed_only(shared, {"Effect": "Deny", "Action": [f"{service}:Describe*" for service in services], "Resource": where})

    def described(role: Account) -> list[Any]:
        return [
            lambda: role("elbv2").describe_target_health(TargetGroupArn=arn),
            lambda: role("elb").describe_load_balancers(LoadBalancerNames=[name]),
            lambda: role("autoscaling").describe_load_balancer_target_groups(AutoScalingGroupName=name),
            lambda: attribute(role, target, "disableApiStop"),
        ]

    name = Scaled(shared).name
    for call in described(denied([f"arn:aws:{service}:*:*:{resource}" for service, resources in services.items() for resource in resources])):
        call()
    assert [refused(call) for call in described(denied(["*"]))] == ["AccessDenied", "AccessDenied", "AccessDenied", "UnauthorizedOperation"]


ATTRIBUTES = {
    "DisableApiTermination": {"DisableApiTermination": {"Value": False}},
    "DisableApiStop": {"DisableApiStop": {"Value": False}},
    "InstanceInitiatedShutdownBehavior": {"InstanceInitiatedShutdownBehavior": {"Value": "stop"}},
    "BlockDeviceMapping": {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}}]},
}


@pytest.mark.parametrize("operator", ["StringEquals", "ForAllValues:StringEquals"])
@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_a_role_may_change_the_attribute_that_it_is_allowed_and_no_other(shared: Account, name: str, operator: str) -> None:
    target = shared.about["instances"]["single"]
    condition = {operator: {"ec2:Attribute": name}}
    role = allowed_only(shared, allow(shared, ["ec2:ModifyInstanceAttribute"], "ec2:instance/*", **condition), allow(shared, ["ec2:ModifyInstanceAttribute"], "ec2:volume/*"))
    modify(role, target, **ATTRIBUTES[name])
    for other, change in [*ATTRIBUTES.items(), ("SourceDestCheck", {"SourceDestCheck": {"Value": True}}), ("UserData", {"UserData": {"Value": b"x"}})]:
        if other != name:
            assert refused(lambda change=change: modify(role, target, **change)) == "UnauthorizedOperation", other


def test_changing_whether_a_volume_goes_needs_a_word_about_the_volume(shared: Account) -> None:
    target = shared.about["instances"]["single"]
    only_instances = allowed_only(shared, allow(shared, ["ec2:ModifyInstanceAttribute"], "ec2:instance/*"))
    assert refused(lambda: modify(only_instances, target, **ATTRIBUTES["BlockDeviceMapping"])) == "UnauthorizedOperation"
    modify(only_instances, target, **ATTRIBUTES["DisableApiStop"])
    [volume] = volumes(shared, target).values()
    both = allowed_only(shared, allow(shared, ["ec2:ModifyInstanceAttribute"], "ec2:instance/*", f"ec2:volume/{volume['VolumeId']}"))
    modify(both, target, **ATTRIBUTES["BlockDeviceMapping"])


@pytest.mark.parametrize("target", ["web", "single"])
def test_the_condition_of_the_template_lets_a_role_change_disks_as_well(shared: Account, target: str) -> None:
    condition = {"ForAllValues:StringEquals": {"ec2:Attribute": list(ATTRIBUTES)}}
    role = allowed_only(shared, allow(shared, ["ec2:ModifyInstanceAttribute"], "ec2:instance/*", "ec2:volume/*", **condition))
    for change in ATTRIBUTES.values():
        modify(role, shared.about["instances"][target], **change)
    assert refused(lambda: modify(role, shared.about["instances"][target], SourceDestCheck={"Value": False})) == "UnauthorizedOperation"
