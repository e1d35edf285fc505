//! EC2: the instance, and what is around it that only ever is read.

use stub::{Answer, Call};

use super::{done, ec2, filters, items};
use crate::account::{ACCOUNT, Account, Disk, INSTANCE, Metadata, Nic, SCALING};

impl Account {
    pub(super) fn ec2(&mut self, call: &Call, operation: &str) -> Answer {
        match operation {
            "DescribeInstances" => self.instances(call),
            "DescribeInstanceAttribute" => self.attribute(call),
            "ModifyInstanceAttribute" => self.modify_instance(call),
            "ModifyInstanceMetadataOptions" => self.modify_metadata(call),
            "DescribeInstanceTypes" => {
                ec2(call, "<instanceTypeSet><item><memoryInfo><sizeInMiB>1024</sizeInMiB></memoryInfo></item></instanceTypeSet>")
            }
            "DescribeRouteTables" => route_tables(call),
            "DescribeVpcEndpoints" => self.vpc_endpoints(call),
            "DescribeManagedPrefixLists" => {
                ec2(call, "<prefixListSet><item><prefixListId>pl-63a5400a</prefixListId></item></prefixListSet>")
            }
            "DescribeNetworkInterfaces" => self.interfaces(call),
            "DescribeTrunkInterfaceAssociations" => self.branches(call),
            "ModifyNetworkInterfaceAttribute" => self.modify_nic(call),
            "DescribeSecurityGroups" => self.security_groups(call),
            "CreateSecurityGroup" => self.create_group(call),
            "AuthorizeSecurityGroupIngress" => self.change_rules(call, true, true),
            "AuthorizeSecurityGroupEgress" => self.change_rules(call, false, true),
            "RevokeSecurityGroupIngress" => self.change_rules(call, true, false),
            "RevokeSecurityGroupEgress" => self.change_rules(call, false, false),
            "CreateTags" => self.tag_group(call),
            _ => panic!("teach the account {}", call.action),
        }
    }

    fn instances(&self, call: &Call) -> Answer {
        let wanted = call.list("InstanceId");
        assert!(wanted == [INSTANCE] || !filters(call).is_empty(), "somebody else is described: {wanted:?}");
        let instance = &self.instance;
        let nics = items(self.attached().map(|(id, nic)| self.instance_nic(id, nic)));
        let disk = |(id, disk): (&String, &Disk)| {
            format!(
                "<deviceName>{}</deviceName><ebs><volumeId>{id}</volumeId><deleteOnTermination>{}</deleteOnTermination></ebs>",
                disk.device, disk.deleted
            )
        };
        let disks = items(self.disks.iter().map(disk));
        let mut tags = instance.tags.clone();
        if self.scaling.lifecycle.is_some() {
            tags.insert("aws:autoscaling:groupName".to_owned(), SCALING.to_owned());
        }
        let tags = items(tags.iter().map(|(key, value)| format!("<key>{key}</key><value>{value}</value>")));
        let Metadata { endpoint, tokens, hops } = &instance.metadata;
        let profile = format!("<iamInstanceProfile><arn>arn:aws:iam::{ACCOUNT}:instance-profile/web</arn></iamInstanceProfile>");
        let profile = if instance.profile { profile.as_str() } else { "" };
        let spot = if instance.spot { "<instanceLifecycle>spot</instanceLifecycle>" } else { "" };
        let body = format!(
            "<instanceId>{INSTANCE}</instanceId><instanceState><name>running</name></instanceState><instanceType>t3.micro</instanceType>\
             <architecture>x86_64</architecture><rootDeviceName>/dev/xvda</rootDeviceName>{profile}{spot}\
             <blockDeviceMapping>{disks}</blockDeviceMapping><networkInterfaceSet>{nics}</networkInterfaceSet><tagSet>{tags}</tagSet>\
             <metadataOptions><state>applied</state><httpEndpoint>{endpoint}</httpEndpoint><httpTokens>{tokens}</httpTokens>\
             <httpPutResponseHopLimit>{hops}</httpPutResponseHopLimit></metadataOptions>"
        );
        ec2(call, &format!("<reservationSet><item><instancesSet>{}</instancesSet></item></reservationSet>", items([body])))
    }

    fn attribute(&self, call: &Call) -> Answer {
        let name = call.param("Attribute").unwrap();
        let value = match name {
            "disableApiTermination" => self.instance.termination.to_string(),
            "disableApiStop" => self.instance.stop.to_string(),
            "instanceInitiatedShutdownBehavior" => self.instance.shutdown.clone(),
            other => panic!("teach the account {other}"),
        };
        ec2(call, &format!("<{name}><value>{value}</value></{name}>"))
    }

    /// One attribute in a call, as EC2 has it.
    fn modify_instance(&mut self, call: &Call) -> Answer {
        super::about_the_target(&[call.param("InstanceId").unwrap()]);
        let mut changed = 0;
        if let Some(value) = call.param("DisableApiTermination.Value") {
            if self.instance.spot {
                return Answer::ec2_error(400, "UnsupportedOperation", "not for Spot instances");
            }
            self.instance.termination = value == "true";
            changed += 1;
        }
        if let Some(value) = call.param("DisableApiStop.Value") {
            if !self.instance.stoppable {
                return Answer::ec2_error(400, "UnsupportedOperation", "not for this instance");
            }
            self.instance.stop = value == "true";
            changed += 1;
        }
        if let Some(value) = call.param("InstanceInitiatedShutdownBehavior.Value") {
            value.clone_into(&mut self.instance.shutdown);
            changed += 1;
        }
        let mappings = (1..).map_while(|n| Some((n, call.param(&format!("BlockDeviceMapping.{n}.DeviceName"))?)));
        let mappings: Vec<(usize, &str)> = mappings.collect();
        for (n, device) in &mappings {
            let disk = self.disks.values_mut().find(|disk| disk.device == *device).unwrap();
            disk.deleted = call.param(&format!("BlockDeviceMapping.{n}.Ebs.DeleteOnTermination")) == Some("true");
        }
        assert_eq!(changed + usize::from(!mappings.is_empty()), 1, "EC2 takes one attribute in a call");
        done(call)
    }

    /// What is not named stays.
    fn modify_metadata(&mut self, call: &Call) -> Answer {
        super::about_the_target(&[call.param("InstanceId").unwrap()]);
        let options = &mut self.instance.metadata;
        for (name, field) in [
            ("HttpEndpoint", &mut options.endpoint),
            ("HttpTokens", &mut options.tokens),
            ("HttpPutResponseHopLimit", &mut options.hops),
        ] {
            if let Some(value) = call.param(name) {
                value.clone_into(field);
            }
        }
        done(call)
    }

    fn vpc_endpoints(&self, call: &Call) -> Answer {
        let (_, vpcs) = filters(call).into_iter().find(|(name, _)| name == "vpc-id").unwrap();
        let vpc = self.endpoints.as_ref().filter(|vpc| vpcs.contains(vpc));
        let endpoint = |vpc: &String, service: &str| {
            let kind = if service == "s3" {
                format!("<vpcEndpointType>Gateway</vpcEndpointType><routeTableIdSet><item>rtb-{vpc}</item></routeTableIdSet>")
            } else {
                format!(
                    "<vpcEndpointType>Interface</vpcEndpointType><privateDnsEnabled>true</privateDnsEnabled>\
                     <groupSet><item><groupId>{}</groupId></item></groupSet>",
                    endpoint_group(vpc)
                )
            };
            format!(
                "<vpcEndpointId>vpce-{service}</vpcEndpointId><vpcId>{vpc}</vpcId><state>available</state>\
                 <serviceName>com.amazonaws.eu-central-1.{service}</serviceName>{kind}"
            )
        };
        let all = vpc.iter().flat_map(|vpc| ["ssm", "ssmmessages", "s3"].map(|service| endpoint(vpc, service)));
        ec2(call, &format!("<vpcEndpointSet>{}</vpcEndpointSet>", items(all)))
    }

    /// The interfaces that are attached to the target.
    pub(super) fn attached(&self) -> impl Iterator<Item = (&String, &Nic)> {
        self.nics.iter().filter(|(_, nic)| !matches!(nic.keeper, crate::account::Keeper::Trunk(_)))
    }
}

/// The group of the endpoints of a VPC.
pub(crate) fn endpoint_group(vpc: &str) -> String {
    vpc.replace("vpc-0", "sg-0e")
}

/// Every VPC has a main table that leads out through a NAT gateway.
fn route_tables(call: &Call) -> Answer {
    let (_, vpcs) = filters(call).into_iter().find(|(name, _)| name == "vpc-id").unwrap();
    let table = |vpc: &String| {
        format!(
            "<routeTableId>rtb-{vpc}</routeTableId><vpcId>{vpc}</vpcId>\
             <associationSet><item><main>true</main></item></associationSet>\
             <routeSet><item><natGatewayId>nat-{vpc}</natGatewayId></item></routeSet>"
        )
    };
    ec2(call, &format!("<routeTableSet>{}</routeTableSet>", items(vpcs.iter().map(table))))
}
