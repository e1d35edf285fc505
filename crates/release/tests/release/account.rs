//! An AWS account that remembers: the target, its groups, and what is around it.

use std::collections::BTreeMap;

use stub::{Answer, Call};

use super::support::INSTANCE;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Nic {
    pub(crate) groups: Vec<String>,
    /// TCP, UDP streams, UDP; as EC2 writes them.
    pub(crate) tracking: Option<[String; 3]>,
    pub(crate) public: Option<String>,
    pub(crate) private: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) endpoint: String,
    pub(crate) tokens: String,
    pub(crate) hops: String,
    /// How many looks still show a change as pending.
    pub(crate) pending: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Account {
    /// EC2's word; `gone` where it does not know the instance.
    pub(crate) state: String,
    pub(crate) nics: BTreeMap<String, Nic>,
    /// Name and role of each group.
    pub(crate) groups: BTreeMap<String, (String, String)>,
    /// Device and whether it goes with the instance.
    pub(crate) disks: BTreeMap<String, (String, bool)>,
    pub(crate) metadata: Metadata,
    /// By the attribute's name in `DescribeInstanceAttribute`.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The Auto Scaling group that the target is in.
    pub(crate) member_of: Option<String>,
    /// Desired and greatest size.
    pub(crate) scaling: BTreeMap<String, (u32, u32)>,
    /// Target and port.
    pub(crate) target_groups: BTreeMap<String, Vec<(String, String)>>,
    pub(crate) classic: BTreeMap<String, bool>,
    /// Whether Step Functions says that other executions run.
    pub(crate) running: bool,
    /// Whether KMS says that a signature holds.
    pub(crate) signed: bool,
}

/// What the account answers.
pub(crate) const ACTIONS: [&str; 20] = [
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeSecurityGroups",
    "ec2:ModifyNetworkInterfaceAttribute",
    "ec2:ModifyInstanceMetadataOptions",
    "ec2:ModifyInstanceAttribute",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:AttachInstances",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:RegisterTargets",
    "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
    "kms:Verify",
    "states:DescribeExecution",
    "s3:GetObject",
    "s3:PutObject",
    "s3:ListObjectVersions",
    "s3:HeadObject",
];

impl Account {
    pub(crate) fn answer(&mut self, call: &Call) -> Answer {
        let param = |name: &str| call.param(name).unwrap_or_default().to_owned();
        if self.state == "gone" && call.param("InstanceId").is_some() {
            return unknown();
        }
        match call.action.as_str() {
            "ec2:DescribeInstances" => self.instances(),
            "ec2:DescribeInstanceAttribute" => {
                let name = param("Attribute");
                let value = self.attributes[&name].clone();
                Answer::xml(format!(
                    "<DescribeInstanceAttributeResponse><{name}><value>{value}</value></{name}></DescribeInstanceAttributeResponse>"
                ))
            }
            "ec2:DescribeSecurityGroups" => self.security_groups(call),
            "ec2:ModifyNetworkInterfaceAttribute" => self.modify_nic(call),
            "ec2:ModifyInstanceMetadataOptions" => {
                let (endpoint, tokens) = (param("HttpEndpoint"), param("HttpTokens"));
                let (hops, pending) = (param("HttpPutResponseHopLimit"), self.metadata.pending);
                self.metadata = Metadata { endpoint, tokens, hops, pending };
                done(call)
            }
            "ec2:ModifyInstanceAttribute" => self.modify_instance(call),
            "autoscaling:DescribeAutoScalingInstances" => {
                let member = |group: &String| {
                    format!(
                        "<member><InstanceId>{INSTANCE}</InstanceId><AutoScalingGroupName>{group}</AutoScalingGroupName>\
                         <LifecycleState>InService</LifecycleState></member>"
                    )
                };
                let members: String = self.member_of.iter().map(member).collect();
                query(call, &format!("<AutoScalingInstances>{members}</AutoScalingInstances>"))
            }
            "autoscaling:DescribeAutoScalingGroups" => {
                let wanted = call.list("AutoScalingGroupNames");
                let groups = self.scaling.iter().filter(|(name, _)| wanted.contains(&name.as_str()));
                let member = |(name, (desired, most)): (&String, &(u32, u32))| {
                    format!(
                        "<member><AutoScalingGroupName>{name}</AutoScalingGroupName><DesiredCapacity>{desired}</DesiredCapacity>\
                         <MaxSize>{most}</MaxSize></member>"
                    )
                };
                query(call, &format!("<AutoScalingGroups>{}</AutoScalingGroups>", groups.map(member).collect::<String>()))
            }
            "autoscaling:AttachInstances" => {
                let name = param("AutoScalingGroupName");
                if self.member_of.is_some() || !self.scaling.contains_key(&name) {
                    return Answer::query_error(400, "ValidationError", "it is in a group, or there is no such group");
                }
                let cut = |nic: &Nic| nic.groups.iter().any(|id| self.groups.get(id).is_some_and(|(_, role)| !role.is_empty()));
                assert!(!self.nics.values().any(cut), "a group would replace what is still cut off: see Run::still_cut");
                self.member_of = Some(name);
                query(call, "")
            }
            "states:DescribeExecution" => {
                let status = if self.running { "RUNNING" } else { "FAILED" };
                Answer::json(format!(r#"{{"executionArn": "x", "stateMachineArn": "x", "status": "{status}", "startDate": 1}}"#))
            }
            "kms:Verify" if self.signed => Answer::json(r#"{"SignatureValid": true}"#),
            "kms:Verify" => Answer::json_error(400, "KMSInvalidSignatureException", "it does not hold"),
            action if action.starts_with("elasticloadbalancing:") => self.balance(call),
            _ => Answer::bucket(),
        }
    }

    fn instances(&mut self) -> Answer {
        if self.state == "gone" {
            return unknown();
        }
        let nic = |(id, nic): (&String, &Nic)| {
            let groups: String = nic.groups.iter().map(|id| format!("<item><groupId>{id}</groupId></item>")).collect();
            let public = nic.public.as_ref().map(|ip| format!("<association><publicIp>{ip}</publicIp></association>"));
            let tracking = nic.tracking.as_ref().map(|[tcp, stream, udp]| {
                format!(
                    "<connectionTrackingConfiguration><tcpEstablishedTimeout>{tcp}</tcpEstablishedTimeout>\
                     <udpStreamTimeout>{stream}</udpStreamTimeout><udpTimeout>{udp}</udpTimeout></connectionTrackingConfiguration>"
                )
            });
            format!(
                "<item><networkInterfaceId>{id}</networkInterfaceId><privateIpAddress>{}</privateIpAddress>\
                 <groupSet>{groups}</groupSet>{}{}</item>",
                nic.private,
                public.unwrap_or_default(),
                tracking.unwrap_or_default()
            )
        };
        let disk = |(id, (device, goes)): (&String, &(String, bool))| {
            format!(
                "<item><deviceName>{device}</deviceName><ebs><volumeId>{id}</volumeId>\
                 <deleteOnTermination>{goes}</deleteOnTermination></ebs></item>"
            )
        };
        let Metadata { endpoint, tokens, hops, pending } = &mut self.metadata;
        let state = if *pending > 0 && endpoint == "enabled" { "pending" } else { "applied" };
        if state == "pending" {
            *pending -= 1;
        }
        Answer::xml(format!(
            "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>{INSTANCE}</instanceId>\
             <instanceState><name>{}</name></instanceState><networkInterfaceSet>{}</networkInterfaceSet>\
             <blockDeviceMapping>{}</blockDeviceMapping><metadataOptions><state>{state}</state><httpEndpoint>{endpoint}</httpEndpoint>\
             <httpTokens>{tokens}</httpTokens><httpPutResponseHopLimit>{hops}</httpPutResponseHopLimit></metadataOptions>\
             </item></instancesSet></item></reservationSet></DescribeInstancesResponse>",
            self.state,
            self.nics.iter().map(nic).collect::<String>(),
            self.disks.iter().map(disk).collect::<String>(),
        ))
    }

    fn security_groups(&self, call: &Call) -> Answer {
        assert_eq!(call.param("Filter.1.Name"), Some("group-id"));
        let wanted = call.list("Filter.1.Value");
        let group = |(id, (name, role)): (&String, &(String, String))| {
            let tag = format!("<tagSet><item><key>cordon:role</key><value>{role}</value></item></tagSet>");
            let tags = if role.is_empty() { String::new() } else { tag };
            format!("<item><groupId>{id}</groupId><groupName>{name}</groupName>{tags}</item>")
        };
        let groups = self.groups.iter().filter(|(id, _)| wanted.contains(&id.as_str()));
        Answer::xml(format!(
            "<DescribeSecurityGroupsResponse><securityGroupInfo>{}</securityGroupInfo></DescribeSecurityGroupsResponse>",
            groups.map(group).collect::<String>()
        ))
    }

    pub(crate) fn modify_nic(&mut self, call: &Call) -> Answer {
        let groups: Vec<String> = call.list("SecurityGroupId").into_iter().map(str::to_owned).collect();
        let Some(nic) = self.nics.get_mut(call.param("NetworkInterfaceId").unwrap()) else {
            return Answer::ec2_error(400, "InvalidNetworkInterfaceID.NotFound", "no such interface");
        };
        let timeouts = ["TcpEstablishedTimeout", "UdpStreamTimeout", "UdpTimeout"]
            .map(|name| call.param(&format!("ConnectionTrackingSpecification.{name}")).map(str::to_owned));
        if let [Some(tcp), Some(stream), Some(udp)] = timeouts {
            assert!(groups.is_empty(), "EC2 takes one attribute in a call");
            nic.tracking = Some([tcp, stream, udp]);
        } else if let Some(unknown) = groups.iter().find(|id| !self.groups.contains_key(*id)) {
            return Answer::ec2_error(400, "InvalidGroup.NotFound", &format!("{unknown} does not exist"));
        } else {
            assert!(!groups.is_empty(), "an interface has at least one group");
            let ours: Vec<_> = groups.iter().filter(|id| !self.groups[*id].1.is_empty()).collect();
            assert!(ours.is_empty(), "a release puts nothing into a group of ours, but {ours:?}: see plan/network.rs");
            nic.groups = groups;
        }
        done(call)
    }

    fn modify_instance(&mut self, call: &Call) -> Answer {
        let mut changed = 0;
        for (parameter, name) in [
            ("DisableApiTermination.Value", "disableApiTermination"),
            ("DisableApiStop.Value", "disableApiStop"),
            ("InstanceInitiatedShutdownBehavior.Value", "instanceInitiatedShutdownBehavior"),
        ] {
            if let Some(value) = call.param(parameter) {
                self.attributes.insert(name.to_owned(), value.to_owned());
                changed += 1;
            }
        }
        if let Some(volume) = call.param("BlockDeviceMapping.1.Ebs.VolumeId") {
            let Some(disk) = self.disks.get_mut(volume) else {
                return Answer::ec2_error(400, "InvalidInstanceAttributeValue", "no such volume is attached");
            };
            assert_eq!(call.param("BlockDeviceMapping.1.DeviceName"), Some(disk.0.as_str()));
            disk.1 = call.param("BlockDeviceMapping.1.Ebs.DeleteOnTermination") == Some("true");
            changed += 1;
        }
        assert_eq!(changed, 1, "EC2 takes one attribute in a call");
        done(call)
    }

    fn balance(&mut self, call: &Call) -> Answer {
        let arn = call.param("TargetGroupArn").or_else(|| call.list("TargetGroupArns").first().copied());
        if let Some(arn) = arn {
            let Some(targets) = self.target_groups.get_mut(arn) else {
                return Answer::query_error(400, "TargetGroupNotFound", "no such target group");
            };
            if call.action.ends_with("RegisterTargets") {
                targets.push((
                    call.param("Targets.member.1.Id").unwrap().to_owned(),
                    call.param("Targets.member.1.Port").unwrap().to_owned(),
                ));
                targets.sort();
                return query(call, "");
            }
            if call.action.ends_with("DescribeTargetGroups") {
                let group = format!("<member><TargetGroupArn>{arn}</TargetGroupArn></member>");
                return query(call, &format!("<TargetGroups>{group}</TargetGroups>"));
            }
            let target = |(id, port): &(String, String)| {
                let (port, state) = port.split_once(' ').unwrap_or((port, "healthy"));
                format!(
                    "<member><Target><Id>{id}</Id><Port>{port}</Port></Target><TargetHealth><State>{state}</State></TargetHealth></member>"
                )
            };
            let all: String = targets.iter().map(target).collect();
            return query(call, &format!("<TargetHealthDescriptions>{all}</TargetHealthDescriptions>"));
        }
        let name = call.param("LoadBalancerName").or_else(|| call.list("LoadBalancerNames").first().copied()).unwrap();
        let Some(registered) = self.classic.get_mut(name) else {
            return Answer::query_error(400, "LoadBalancerNotFound", "no such load balancer");
        };
        if call.action.ends_with("RegisterInstancesWithLoadBalancer") {
            assert_eq!(call.param("Instances.member.1.InstanceId"), Some(INSTANCE));
            *registered = true;
            return query(call, "");
        }
        let instance = format!("<member><InstanceId>{INSTANCE}</InstanceId></member>");
        let instances = if *registered { instance } else { String::new() };
        query(
            call,
            &format!(
                "<LoadBalancerDescriptions><member><LoadBalancerName>{name}</LoadBalancerName><Instances>{instances}</Instances>\
                 </member></LoadBalancerDescriptions>"
            ),
        )
    }
}

fn unknown() -> Answer {
    Answer::ec2_error(400, "InvalidInstanceID.NotFound", "no such instance")
}

fn done(call: &Call) -> Answer {
    let name = call.action.trim_start_matches("ec2:");
    Answer::xml(format!("<{name}Response><return>true</return></{name}Response>"))
}

fn query(call: &Call, result: &str) -> Answer {
    let name = call.action.split_once(':').unwrap().1;
    Answer::xml(format!("<{name}Response><{name}Result>{result}</{name}Result></{name}Response>"))
}
