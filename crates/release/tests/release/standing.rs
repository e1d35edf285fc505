//! How the account stands, in the words of records and plans: what a call changes, whether a thing is given back, and what may
//! be at all.

use incident::plan::Tracking;
use incident::record::Change;
use incident::release::Restore;
use serde_json::{Value, json};
use stub::Call;

use super::account::{Account, Metadata, Nic};
use super::support::{INSTANCE, TARGETS, WEB};

impl Account {
    /// What a call changes, as an intent has to announce it: with the value that is there now.
    pub(crate) fn change(&self, call: &Call) -> Change {
        let (action, param) = (call.action.as_str(), |name: &str| call.param(name).unwrap_or_default());
        match action {
            "ec2:ModifyInstanceMetadataOptions" => {
                let endpoint = param("HttpEndpoint");
                let (tokens, hops) = (param("HttpTokens"), param("HttpPutResponseHopLimit"));
                let to = Metadata { endpoint: endpoint.to_owned(), tokens: tokens.to_owned(), hops: hops.to_owned(), pending: 0 };
                Change::intended(action, INSTANCE, options(&self.metadata), options(&to))
            }
            "ec2:ModifyNetworkInterfaceAttribute" => {
                let id = param("NetworkInterfaceId");
                let nic = self.nics.get(id).cloned().unwrap_or_default();
                let groups = call.list("SecurityGroupId");
                if groups.is_empty() {
                    let of = |name: &str| param(&format!("ConnectionTrackingSpecification.{name}")).to_owned();
                    let to = [of("TcpEstablishedTimeout"), of("UdpStreamTimeout"), of("UdpTimeout")];
                    let (from, to) = (json!({"tracking": tracking(&nic)}), json!({"tracking": timeouts(&to)}));
                    return Change::intended(action, id, from, to);
                }
                Change::intended(action, id, json!({"groups": nic.groups}), json!({"groups": groups}))
            }
            "ec2:ModifyInstanceAttribute" => self.attribute(call),
            "elasticloadbalancing:RegisterTargets" => {
                let (arn, port) = (param("TargetGroupArn"), param("Targets.member.1.Port").parse::<i32>().ok());
                let to = json!({"targetGroup": arn, "target": param("Targets.member.1.Id"), "port": port});
                Change::intended(action, arn, json!({"registered": false}), json!({"registered": to}))
            }
            "elasticloadbalancing:RegisterInstancesWithLoadBalancer" => {
                let name = param("LoadBalancerName");
                let from = self.classic.get(name).copied().unwrap_or_default();
                Change::intended(action, name, json!({"registered": from}), json!({"registered": true}))
            }
            "autoscaling:AttachInstances" => {
                let name = param("AutoScalingGroupName");
                Change::intended(action, name, json!({"group": self.member_of}), json!({"group": name}))
            }
            other => panic!("say here what {other} changes"),
        }
    }

    fn attribute(&self, call: &Call) -> Change {
        if let Some(volume) = call.param("BlockDeviceMapping.1.Ebs.VolumeId") {
            let from = self.disks.get(volume).map(|(_, goes)| *goes);
            let to = call.param("BlockDeviceMapping.1.Ebs.DeleteOnTermination") == Some("true");
            let of = |value: Value| json!({"deleteOnTermination": value});
            return Change::intended(&call.action, volume, of(json!(from)), of(json!(to)));
        }
        let (name, parameter) = [
            ("disableApiTermination", "DisableApiTermination.Value"),
            ("disableApiStop", "DisableApiStop.Value"),
            ("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior.Value"),
        ]
        .into_iter()
        .find(|(_, parameter)| call.param(parameter).is_some())
        .unwrap();
        let of = |value: &str| json!({name: value.parse::<bool>().map_or_else(|_| json!(value), |on| json!(on))});
        Change::intended(&call.action, INSTANCE, of(&self.attributes[name]), of(call.param(parameter).unwrap()))
    }

    /// Whether a thing is as a release would have it.
    pub(crate) fn shows(&self, restore: &Restore) -> bool {
        let is = |name: &str, value: &str| self.attributes[name] == value;
        self.state != "gone"
            && match restore {
                Restore::Metadata { to } => options(&self.metadata) == json!(to),
                Restore::Tracking { interface, to } => {
                    self.nics.get(interface.as_str()).is_some_and(|nic| tracking(nic) == json!(to))
                }
                Restore::Groups { interface, to } => {
                    self.nics.get(interface.as_str()).is_some_and(|nic| json!(nic.groups) == json!(to))
                }
                Restore::TargetGroup { registration } => {
                    let port = registration.port.unwrap().to_string();
                    let there = self.target_groups.get(&registration.target_group);
                    there.is_some_and(|there| there.contains(&(registration.target.clone(), port)))
                }
                Restore::ClassicBalancer { name } => self.classic.get(name) == Some(&true),
                Restore::AutoScalingGroup { name } => self.member_of.as_ref() == Some(name),
                Restore::DeleteOnTermination { volume, to, .. } => {
                    self.disks.get(volume.as_str()).is_some_and(|(_, goes)| goes == to)
                }
                Restore::ShutdownBehavior { to } => is("instanceInitiatedShutdownBehavior", to.name()),
                Restore::StopProtection { to } => is("disableApiStop", &to.to_string()),
                Restore::TerminationProtection { to } => is("disableApiTermination", &to.to_string()),
            }
    }

    /// What is neither as the case left it nor as it was before the case: a release has nothing else to give.
    pub(crate) fn strays(&self, left: &Self, before: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let mut must = |what: &str, now: Value, left: Value, before: Value| {
            if now != left && now != before {
                all.push(format!("{what} is {now}: neither {left}, as the case left it, nor {before}, as it was"));
            }
        };
        for (id, nic) in &self.nics {
            let (left, before) = (&left.nics[id], &before.nics[id]);
            must(&format!("groups of {id}"), json!(nic.groups), json!(left.groups), json!(before.groups));
            must(&format!("tracking of {id}"), tracking(nic), tracking(left), tracking(before));
        }
        for (id, (_, goes)) in &self.disks {
            must(&format!("delete on termination of {id}"), json!(goes), json!(left.disks[id].1), json!(before.disks[id].1));
        }
        for (name, value) in &self.attributes {
            must(name, json!(value), json!(left.attributes[name]), json!(before.attributes[name]));
        }
        must("metadata", options(&self.metadata), options(&left.metadata), options(&before.metadata));
        must("the Auto Scaling group", json!(self.member_of), json!(left.member_of), json!(before.member_of));
        must("what classic balancers have", json!(self.classic), json!(left.classic), json!(before.classic));
        for (arn, targets) in &self.target_groups {
            let once =
                targets.iter().all(|it| before.target_groups[arn].contains(it)) && targets.windows(2).all(|it| it[0] != it[1]);
            must(&format!("what {arn} has"), json!(once), json!(true), json!(true));
        }
        all
    }

    /// What a call is about is gone from now on. `false` where nothing of an account is.
    pub(crate) fn vanish(&mut self, call: &Call) -> bool {
        let (service, operation) = call.action.split_once(':').unwrap();
        match (service, operation) {
            // Both are asked beside what knows better whether it is gone.
            ("autoscaling", "DescribeAutoScalingInstances") | ("ec2", "DescribeInstanceAttribute") => return false,
            ("ec2", "DescribeSecurityGroups") => drop(self.groups.remove(WEB)),
            ("ec2", "ModifyNetworkInterfaceAttribute") if call.list("SecurityGroupId").contains(&WEB) => {
                self.groups.remove(WEB);
            }
            ("ec2", "ModifyNetworkInterfaceAttribute") => drop(self.nics.remove(call.param("NetworkInterfaceId").unwrap())),
            ("ec2", _) => match call.param("BlockDeviceMapping.1.Ebs.VolumeId") {
                Some(volume) => drop(self.disks.remove(volume)),
                None => "gone".clone_into(&mut self.state),
            },
            ("autoscaling", _) => drop(self.scaling.remove("web")),
            ("elasticloadbalancing", "DescribeLoadBalancers" | "RegisterInstancesWithLoadBalancer") => {
                self.classic.remove("old");
            }
            ("elasticloadbalancing", _) => drop(self.target_groups.remove(TARGETS)),
            _ => return false,
        }
        // What was before cannot be again without it.
        for nic in self.nics.values_mut() {
            nic.groups.retain(|id| self.groups.contains_key(id));
        }
        self.member_of = self.member_of.take().filter(|name| self.scaling.contains_key(name));
        true
    }
}

fn options(metadata: &Metadata) -> Value {
    let (enabled, required) = (metadata.endpoint == "enabled", metadata.tokens == "required");
    json!({"enabled": enabled, "tokensRequired": required, "hopLimit": metadata.hops.parse::<i32>().unwrap()})
}

fn tracking(nic: &Nic) -> Value {
    json!(nic.tracking.as_ref().map(timeouts))
}

fn timeouts(set: &[String; 3]) -> Tracking {
    let [tcp_established, udp_stream, udp] = set.each_ref().map(|seconds| seconds.parse().ok());
    Tracking { tcp_established, udp_stream, udp }
}
