//! An account with one instance in it, behind the real clients: EC2, Auto Scaling and both kinds of load balancers.

use std::sync::{Arc, Mutex, MutexGuard};

use incident::protection::{MeasureOutcome, Protection};
use incident::risk::RiskKind;
use protect::{Clients, Error, Input, handle};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};

pub(crate) const CASE: &str = "i-0123456789abcdef0-0123456789ab";
pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";
pub(crate) const VPC: &str = "vpc-0aaaaaaaaaaaaaaaa";
pub(crate) const ROOT: &str = "vol-0aaaaaaaaaaaaaaa1";
pub(crate) const DATA: &str = "vol-0aaaaaaaaaaaaaaa2";
pub(crate) const WEB: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/1";
pub(crate) const ADDRESSES: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/addresses/1";
pub(crate) const OTHER: &str = "i-0bbbbbbbbbbbbbbbb";
pub(crate) const MODIFY: &str = "ec2:ModifyInstanceAttribute";
pub(crate) const DETACH: &str = "autoscaling:DetachInstances";
pub(crate) const DEREGISTER: &str = "elasticloadbalancing:DeregisterTargets";
pub(crate) const CLASSIC: &str = "elasticloadbalancing:DeregisterInstancesFromLoadBalancer";
const EXECUTION: &str = "arn:aws:states:eu-west-1:123456789012:execution:cordon-incident:a7c9";

/// A target group and its targets, each with its port.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) arn: String,
    pub(crate) kind: &'static str,
    pub(crate) vpc: &'static str,
    pub(crate) targets: Vec<(String, u16)>,
    /// The load balancers in front of it.
    pub(crate) fronts: Vec<String>,
    /// Deregistered, and still listed.
    pub(crate) draining: Vec<(String, u16)>,
}

impl Group {
    pub(crate) fn new(arn: &str, kind: &'static str, targets: &[(&str, u16)]) -> Self {
        let targets = targets.iter().map(|(id, port)| ((*id).to_owned(), *port)).collect();
        Self { arn: arn.to_owned(), kind, vpc: VPC, targets, fronts: Vec::new(), draining: Vec::new() }
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that an account may do")]
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) state: &'static str,
    pub(crate) spot: bool,
    pub(crate) termination: bool,
    pub(crate) stop: bool,
    pub(crate) shutdown: String,
    pub(crate) volumes: Vec<(&'static str, &'static str, bool)>,
    /// The lifecycle state in the Auto Scaling group `web`, where it is in it.
    pub(crate) lifecycle: Option<&'static str>,
    pub(crate) groups: Vec<Group>,
    pub(crate) classic: Vec<String>,
    /// No balancer uses the target groups.
    pub(crate) unused: bool,
    /// Changes are taken, and not shown.
    pub(crate) slow: bool,
    /// The change of this action is made, and its answer lost.
    pub(crate) loses: Option<&'static str>,
}

pub(crate) struct Cloud {
    pub(crate) aws: Stub,
    account: Arc<Mutex<Account>>,
    pub(crate) plan: Value,
}

impl Cloud {
    /// An unprotected instance with two disks, in an Auto Scaling group, two target groups and a classic load balancer.
    pub(crate) fn new() -> Self {
        let account = Account {
            state: "running",
            spot: false,
            termination: false,
            stop: false,
            shutdown: "terminate".to_owned(),
            volumes: vec![(ROOT, "/dev/xvda", true), (DATA, "/dev/sdb", false)],
            lifecycle: Some("InService"),
            groups: vec![
                Group::new(WEB, "instance", &[(INSTANCE, 80), (INSTANCE, 8080), (OTHER, 80)]),
                Group::new(ADDRESSES, "ip", &[("10.0.0.7", 443), ("10.0.0.8", 443)]),
                Group::new(&WEB.replace("web", "other"), "instance", &[(OTHER, 80)]),
            ],
            classic: vec!["old".to_owned()],
            unused: false,
            slow: false,
            loses: None,
        };
        let account = Arc::new(Mutex::new(account));
        let mut aws = Stub::new();
        for action in [
            "ec2:DescribeInstances",
            "ec2:DescribeInstanceAttribute",
            MODIFY,
            "autoscaling:DescribeAutoScalingInstances",
            DETACH,
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
            "elasticloadbalancing:DescribeLoadBalancers",
            DEREGISTER,
            CLASSIC,
        ] {
            let account = Arc::clone(&account);
            aws = aws.on_fn(action, move |call| {
                let mut account = account.lock().unwrap();
                let answer = account.answer(call);
                if account.loses == Some(action) { Answer::lost() } else { answer }
            });
        }
        aws.put_object(&format!("cases/{CASE}/before.json"), "{}");
        Self { aws, account, plan: plan() }
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    /// The account, for an answer of a test's own.
    pub(crate) fn shared(&self) -> Arc<Mutex<Account>> {
        Arc::clone(&self.account)
    }

    pub(crate) async fn protect(&self, retry: u32) -> Result<Protection, Error> {
        let config = self.aws.config();
        let clients = Clients {
            ec2: aws_sdk_ec2::Client::new(&config),
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            elb: aws_sdk_elasticloadbalancing::Client::new(&config),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            store: handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        };
        let visit = json!({ "execution": EXECUTION, "state": "Protect", "entered": "2026-11-24T03:30:00.120Z", "retry": retry });
        let input: Input = serde_json::from_value(json!({ "visit": visit, "plan": self.plan })).unwrap();
        handle(&clients, input).await
    }

    /// The changes that were asked for, by their actions.
    pub(crate) fn changes(&self) -> Vec<String> {
        let calls = self.aws.mutations().into_iter().map(|call| call.action);
        calls.filter(|action| !action.starts_with("s3:")).collect()
    }

    pub(crate) fn saved(&self, name: &str) -> Value {
        serde_json::from_slice(&self.aws.object(&format!("cases/{CASE}/{name}")).unwrap()).unwrap()
    }

    /// The changes in the records of this phase.
    pub(crate) fn recorded(&self, phase: &str) -> Vec<Value> {
        let records = self.records(phase).into_iter();
        records.flat_map(|record| record["changes"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// The notes in the outcome records.
    pub(crate) fn notes(&self) -> Vec<Value> {
        self.records("outcome").into_iter().map(|record| record["note"].clone()).filter(|note| !note.is_null()).collect()
    }

    fn records(&self, phase: &str) -> Vec<Value> {
        let keys = self.aws.keys();
        let records = keys.iter().filter(|key| key.contains("/records/") && key.ends_with(&format!("-{phase}.json")));
        records.map(|key| serde_json::from_slice(&self.aws.object(key).unwrap()).unwrap()).collect()
    }
}

/// What is still to be done: the risks but for what came through the balancers before.
pub(crate) fn open(protection: &Protection) -> Vec<RiskKind> {
    protection.risks.iter().map(|risk| risk.kind).filter(|kind| *kind != RiskKind::BalancerFlows).collect()
}

impl Account {
    pub(crate) fn answer(&mut self, call: &Call) -> Answer {
        match call.action.split_once(':').unwrap().1 {
            "DescribeInstances" => self.describe(),
            "DescribeInstanceAttribute" => {
                let name = call.param("Attribute").unwrap();
                let value = match name {
                    "disableApiTermination" => self.termination.to_string(),
                    "disableApiStop" => self.stop.to_string(),
                    "instanceInitiatedShutdownBehavior" => self.shutdown.clone(),
                    other => panic!("teach the account {other}"),
                };
                Answer::xml(format!(
                    "<DescribeInstanceAttributeResponse><{name}><value>{value}</value></{name}></DescribeInstanceAttributeResponse>"
                ))
            }
            "ModifyInstanceAttribute" => self.modify(call),
            "DescribeAutoScalingInstances" => {
                let member = self.lifecycle.map_or_else(String::new, |state| {
                    format!(
                        "<member><InstanceId>{INSTANCE}</InstanceId><AutoScalingGroupName>web</AutoScalingGroupName>\
                         <AvailabilityZone>a</AvailabilityZone><LifecycleState>{state}</LifecycleState><HealthStatus>HEALTHY</HealthStatus>\
                         <ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
                    )
                });
                result(call, &format!("<AutoScalingInstances>{member}</AutoScalingInstances>"))
            }
            "DetachInstances" => {
                assert_eq!(call.param("ShouldDecrementDesiredCapacity"), Some("false"), "the group keeps its capacity");
                assert_eq!((call.list("InstanceIds"), call.param("AutoScalingGroupName")), (vec![INSTANCE], Some("web")));
                self.lifecycle = self.lifecycle.filter(|_| self.slow);
                result(call, "<Activities/>")
            }
            "DescribeTargetGroups" => {
                let group = |it: &Group| {
                    let fronts: String = it.fronts.iter().map(|front| format!("<member>{front}</member>")).collect();
                    format!(
                        "<member><TargetGroupArn>{}</TargetGroupArn><VpcId>{}</VpcId><TargetType>{}</TargetType>\
                         <LoadBalancerArns>{fronts}</LoadBalancerArns></member>",
                        it.arn, it.vpc, it.kind
                    )
                };
                page(call, "TargetGroups", &self.groups.iter().map(group).collect::<Vec<_>>(), 100)
            }
            "DescribeTargetHealth" => {
                assert_eq!(call.param("Targets.member.1.Id"), None, "of a target that is asked for only one port is told");
                let arn = call.param("TargetGroupArn").unwrap();
                let group = self.groups.iter().find(|group| group.arn == arn).unwrap();
                let target = |(id, port): &(String, u16), health: &str| {
                    format!(
                        "<member><Target><Id>{id}</Id><Port>{port}</Port></Target><TargetHealth>{health}</TargetHealth></member>"
                    )
                };
                let health =
                    if self.unused { "<State>unused</State><Reason>Target.NotInUse</Reason>" } else { "<State>healthy</State>" };
                let draining = "<State>draining</State><Reason>Target.DeregistrationInProgress</Reason>";
                let there = group.targets.iter().map(|it| target(it, health));
                let targets: String = there.chain(group.draining.iter().map(|it| target(it, draining))).collect();
                result(call, &format!("<TargetHealthDescriptions>{targets}</TargetHealthDescriptions>"))
            }
            "DeregisterTargets" => {
                let (arn, id) = (call.param("TargetGroupArn").unwrap(), call.param("Targets.member.1.Id").unwrap());
                let target = (id.to_owned(), call.param("Targets.member.1.Port").unwrap().parse().unwrap());
                let group = self.groups.iter_mut().find(|group| group.arn == arn).unwrap();
                if !self.slow && group.targets.contains(&target) {
                    group.targets.retain(|it| *it != target);
                    group.draining.push(target);
                }
                result(call, "")
            }
            "DescribeLoadBalancers" => {
                let balancer = |name: &String| {
                    format!(
                        "<member><LoadBalancerName>{name}</LoadBalancerName><Instances><member><InstanceId>{INSTANCE}</InstanceId></member></Instances></member>"
                    )
                };
                let others = "<member><LoadBalancerName>others</LoadBalancerName><Instances/></member>".to_owned();
                let balancers: Vec<String> = std::iter::once(others).chain(self.classic.iter().map(balancer)).collect();
                page(call, "LoadBalancerDescriptions", &balancers, 1)
            }
            "DeregisterInstancesFromLoadBalancer" => {
                let name = call.param("LoadBalancerName").unwrap();
                assert_eq!(call.param("Instances.member.1.InstanceId"), Some(INSTANCE));
                self.classic.retain(|it| it != name || self.slow);
                result(call, "<Instances/>")
            }
            other => panic!("teach the account {other}"),
        }
    }

    fn describe(&self) -> Answer {
        if self.state == "gone" {
            return Answer::ec2_error(400, "InvalidInstanceID.NotFound", "it does not exist");
        }
        let volume = |(id, device, deleted): &(&str, &str, bool)| {
            format!(
                "<item><deviceName>{device}</deviceName><ebs><volumeId>{id}</volumeId><deleteOnTermination>{deleted}</deleteOnTermination></ebs></item>"
            )
        };
        let volumes: String = self.volumes.iter().map(volume).collect();
        let spot = if self.spot { "<instanceLifecycle>spot</instanceLifecycle>" } else { "" };
        Answer::xml(format!(
            "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>{INSTANCE}</instanceId>\
             <instanceState><name>{}</name></instanceState>{spot}<blockDeviceMapping>{volumes}</blockDeviceMapping>\
             <networkInterfaceSet><item><vpcId>{VPC}</vpcId><privateIpAddressesSet><item><privateIpAddress>10.0.0.7</privateIpAddress></item>\
             <item><privateIpAddress>10.0.0.9</privateIpAddress></item></privateIpAddressesSet>\
             <ipv6AddressesSet><item><ipv6Address>2001:db8::7</ipv6Address></item></ipv6AddressesSet>\
             <ipv4PrefixSet><item><ipv4Prefix>10.0.1.16/28</ipv4Prefix></item></ipv4PrefixSet></item></networkInterfaceSet></item></instancesSet></item></reservationSet></DescribeInstancesResponse>",
            self.state
        ))
    }

    fn modify(&mut self, call: &Call) -> Answer {
        let kinds = ["DisableApiTermination.Value", "DisableApiStop.Value", "InstanceInitiatedShutdownBehavior.Value"];
        let set: Vec<&str> = kinds.into_iter().filter(|kind| call.param(kind).is_some()).collect();
        let devices: Vec<&str> = (1..).map_while(|n| call.param(&format!("BlockDeviceMapping.{n}.DeviceName"))).collect();
        assert_eq!(set.len() + usize::from(!devices.is_empty()), 1, "EC2 takes one attribute in a call: {:?}", call.params);
        match set.first() {
            _ if self.slow => {}
            Some(&"DisableApiTermination.Value") if self.spot => {
                return Answer::ec2_error(400, "UnsupportedOperation", "not for Spot instances");
            }
            Some(&"DisableApiTermination.Value") => self.termination = call.param(kinds[0]) == Some("true"),
            Some(&"DisableApiStop.Value") => self.stop = call.param(kinds[1]) == Some("true"),
            Some(_) => call.param(kinds[2]).unwrap().clone_into(&mut self.shutdown),
            None => {
                for volume in self.volumes.iter_mut().filter(|volume| devices.contains(&volume.1)) {
                    volume.2 = false;
                }
            }
        }
        Answer::xml("<ModifyInstanceAttributeResponse><return>true</return></ModifyInstanceAttributeResponse>")
    }
}

/// Query protocol: `<ActionResponse><ActionResult>…`.
fn result(call: &Call, body: &str) -> Answer {
    let name = call.action.split_once(':').unwrap().1;
    Answer::xml(format!("<{name}Response><{name}Result>{body}</{name}Result></{name}Response>"))
}

/// One page of a list of the query protocol.
fn page(call: &Call, name: &str, entries: &[String], size: usize) -> Answer {
    let from: usize = call.param("Marker").map_or(0, |marker| marker.parse().unwrap());
    let to = entries.len().min(from + size);
    let next = if to < entries.len() { format!("<NextMarker>{to}</NextMarker>") } else { String::new() };
    result(call, &format!("<{name}>{}</{name}>{next}", entries[from..to].concat()))
}

/// The one measure of this kind and subject.
pub(crate) fn measure<'a>(protection: &'a Protection, kind: &str, subject: &str) -> &'a MeasureOutcome {
    let of_kind = |it: &&MeasureOutcome| serde_json::to_value(it.measure).unwrap() == kind && it.subject == subject;
    protection.measures.iter().find(of_kind).unwrap_or_else(|| panic!("there is no {kind} of `{subject}`: {protection:?}"))
}

fn plan() -> Value {
    json!({
        "schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:29:59Z",
        "finding": { "source": "manual", "id": "x", "type": "Manual", "title": "t", "severity": 0.0, "account": "123456789012",
                     "region": "eu-west-1" },
        "target": { "instanceId": INSTANCE, "account": "123456789012", "region": "eu-west-1", "state": "running",
                    "interfaces": [{ "id": "eni-0aaaaaaaaaaaaaaa1", "vpc": VPC, "groups": [] }],
                    "volumes": [{ "id": ROOT, "device": "/dev/xvda", "root": true }, { "id": DATA, "device": "/dev/sdb", "root": false }],
                    "profile": null, "spot": false, "windows": false, "metadata": null },
        "policy": { "from": "fallback", "problem": "none" },
        "cut": { "decision": "now" },
        "snapshotLock": { "mode": "governance", "days": 30 },
        "retention": { "mode": "governance", "until": "2027-11-24T03:29:59Z" },
        "disposition": {"decision": "quarantine", "reason": "text"},
        "deadlines": { "snapshots": "2026-11-25T03:29:59Z", "memory": "2026-11-24T07:29:59Z" },
        "memory": { "decision": "skip", "because": "noPath", "reason": "no path" }, "credentials": { "decision": "deny" },
        "earlierCase": null, "risks": [],
    })
}
