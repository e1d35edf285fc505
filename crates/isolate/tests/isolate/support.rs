//! An EC2 with interfaces and groups behind the real client, as strict as the real one where the step relies on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use incident::evidence::{Containment, Lockdown};
use isolate::{Clients, Input, Output, Pace, handle};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};

pub(crate) const CASE: &str = "i-0123456789abcdef0-0123456789ab";
pub(crate) const VPC: &str = "vpc-0aaaaaaaaaaaaaaaa";
pub(crate) const VPC2: &str = "vpc-0bbbbbbbbbbbbbbbb";
pub(crate) const NIC: &str = "eni-0aaaaaaaaaaaaaaa1";
pub(crate) const NIC2: &str = "eni-0aaaaaaaaaaaaaaa2";
pub(crate) const WEB: &str = "sg-0aaaaaaaaaaaaaaaa";
pub(crate) const CONVERSION: &str = "sg-00000000000000c01";
pub(crate) const ISOLATION: &str = "sg-00000000000000101";
pub(crate) const COLLECTION: &str = "sg-00000000000000201";
pub(crate) const SSM: &str = "sg-0eeeeeeeeeeeeeee1";
pub(crate) const MESSAGES: &str = "sg-0eeeeeeeeeeeeeee2";
pub(crate) const S3: &str = "pl-63a5400a";

#[derive(Debug, Clone, Default)]
pub(crate) struct Nic {
    pub(crate) vpc: String,
    pub(crate) groups: Vec<String>,
    pub(crate) requester_managed: bool,
    /// The service that operates it; empty where none does.
    pub(crate) operator: String,
    /// Its subnet.
    pub(crate) subnet: String,
    /// The trunk that it is a branch of: it is attached to no instance.
    pub(crate) branch_of: Option<String>,
    /// The timeouts for TCP connections, UDP streams and UDP, once they were set.
    pub(crate) tracking: Option<[String; 3]>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) vpc: String,
    pub(crate) name: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) ingress: Vec<String>,
    pub(crate) egress: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) nics: BTreeMap<String, Nic>,
    pub(crate) groups: BTreeMap<String, Group>,
    made: usize,
    /// The route tables and the endpoints, as items of EC2's answers.
    pub(crate) tables: Vec<String>,
    pub(crate) endpoints: Vec<String>,
    pub(crate) metadata_off: bool,
    /// How many more looks find the change of instance metadata still under way.
    pub(crate) metadata_pending: usize,
    /// Every state of every interface that was ever reached, as `(nic, group names)`.
    pub(crate) history: Vec<(String, Vec<String>)>,
}

/// What the account answers.
const ACTIONS: [&str; 15] = [
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "AuthorizeSecurityGroupEgress",
    "RevokeSecurityGroupIngress",
    "RevokeSecurityGroupEgress",
    "ModifyNetworkInterfaceAttribute",
    "CreateTags",
    "DescribeInstances",
    "ModifyInstanceMetadataOptions",
    "DescribeVpcs",
    "DescribeRouteTables",
    "DescribeVpcEndpoints",
    "DescribeTrunkInterfaceAssociations",
];

/// How one call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// For good, before its effect.
    Refused,
    /// In passing, before its effect.
    Throttled,
    /// It has its effect, and its answer is lost.
    Lost,
}

impl CallFault {
    fn of_ec2(self, call: &Call, account: &mut Account) -> Answer {
        match self {
            Self::Refused => Answer::ec2_error(403, "UnauthorizedOperation", "refused by the test"),
            Self::Throttled => Answer::ec2_error(503, "RequestLimitExceeded", "refused by the test"),
            Self::Lost => {
                account.answer(call);
                Answer::lost()
            }
        }
    }

    fn of_s3(self) -> Answer {
        match self {
            Self::Refused => Answer::s3_error(403, "AccessDenied", "refused by the test"),
            Self::Throttled => Answer::s3_error(503, "SlowDown", "refused by the test"),
            Self::Lost => Answer::bucket_then_lost(),
        }
    }
}

pub(crate) struct Cloud {
    pub(crate) aws: Stub,
    account: Arc<Mutex<Account>>,
    pub(crate) clients: Clients,
}

impl Cloud {
    /// A target with these interfaces (id, VPC, groups), known to triage, and no groups of ours.
    pub(crate) fn new(nics: &[(&str, &str, &[&str])]) -> Self {
        let account = Arc::new(Mutex::new(Account::default()));
        let mut aws = Stub::new();
        for action in ACTIONS {
            let account = Arc::clone(&account);
            aws = aws.on_fn(&format!("ec2:{action}"), move |call| account.lock().unwrap().answer(call));
        }
        aws.put_object(&format!("cases/{CASE}/before.json"), "{}");
        {
            let mut account = account.lock().unwrap();
            let main = "<associationSet><item><main>true</main></item></associationSet>";
            account.tables = [VPC, VPC2]
                .map(|vpc| format!("<item><routeTableId>rtb</routeTableId><vpcId>{vpc}</vpcId>{main}</item>"))
                .to_vec();
            for (id, vpc, groups) in nics {
                let groups = groups.iter().map(ToString::to_string).collect();
                let (vpc, subnet) = ((*vpc).to_owned(), vpc.replace("vpc", "subnet"));
                account.nics.insert((*id).to_owned(), Nic { vpc, groups, subnet, ..Nic::default() });
            }
        }
        let clients = clients(&aws);
        Self { aws, account, clients }
    }

    /// One interface in one VPC.
    pub(crate) fn simple() -> Self {
        Self::new(&[(NIC, VPC, &[WEB])])
    }

    /// The pair of groups is there already.
    pub(crate) fn with_pair(self) -> Self {
        self.account().add(CONVERSION, VPC, "cordon-conversion", "conversion", &["0.0.0.0/0", "::/0"]);
        self.account().add(ISOLATION, VPC, "cordon-isolation", "isolation", &[]);
        self
    }

    /// All three groups are there already, the collection group with the path's rules.
    pub(crate) fn with_collection(self) -> Self {
        let cloud = self.with_pair();
        cloud.account().add(COLLECTION, VPC, "cordon-collection", "collection", &[]);
        cloud.account().groups.get_mut(COLLECTION).unwrap().egress = [S3, SSM, MESSAGES].map(str::to_owned).to_vec();
        cloud
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    pub(crate) fn worn(&self, nic: &str) -> Vec<String> {
        self.account().worn(nic)
    }

    pub(crate) async fn contain(&self, retry: u32) -> Result<Containment, isolate::Error> {
        self.run("contain", retry, &Self::plan()).await
    }

    pub(crate) async fn close_door(&self, retry: u32) -> Result<Containment, isolate::Error> {
        self.run("close-door", retry, &Self::plan()).await
    }

    pub(crate) async fn lock_down(&self, retry: u32, plan: &Value) -> Result<Lockdown, isolate::Error> {
        match self.step("lockdown", retry, plan).await? {
            Output::Lockdown(lockdown) => Ok(lockdown),
            other => panic!("lockdown gave {other:?}"),
        }
    }

    pub(crate) async fn run(&self, mode: &str, retry: u32, plan: &Value) -> Result<Containment, isolate::Error> {
        match self.step(mode, retry, plan).await? {
            Output::Containment(containment) => Ok(containment),
            other => panic!("{mode} gave {other:?}"),
        }
    }

    pub(crate) async fn step(&self, mode: &str, retry: u32, plan: &Value) -> Result<Output, isolate::Error> {
        let state = match mode {
            "contain" => "Isolate",
            "lockdown" => "Lockdown",
            "convert" => "Convert",
            _ => "CloseDoor",
        };
        let mut input = json!({
            "mode": mode,
            "visit": { "execution": EXECUTION, "state": state, "entered": "2026-11-24T03:30:00.120Z", "retry": retry },
            "plan": plan,
        });
        if mode == "close-door" {
            input["failure"] = json!({ "state": "Isolate", "error": "Denied", "cause": "no" });
        }
        let input: Input = serde_json::from_value(input).unwrap();
        handle(&self.clients, input).await
    }

    /// What an operator asks for outside of a case.
    pub(crate) async fn ask(&self, input: Value) -> Result<Output, isolate::Error> {
        handle(&self.clients, serde_json::from_value(input).unwrap()).await
    }

    /// The plan that triage made when it saw the single interface or the pair in their own groups.
    pub(crate) fn plan() -> Value {
        plan(&[(NIC, VPC, &[WEB])])
    }

    /// Answers a move into the group of this id, or any move of this interface, with an error; others go through.
    pub(crate) fn refuse_moves(&self, what: &str, status: u16, code: &str) {
        let (account, what, code) = (Arc::clone(&self.account), what.to_owned(), code.to_owned());
        self.aws.set_fn("ec2:ModifyNetworkInterfaceAttribute", move |call| {
            let mut account = account.lock().unwrap();
            let named = |id: &str| account.groups.get(id).is_some_and(|group| group.name == what);
            if call.params.values().any(|value| *value == what || named(value)) {
                return Answer::ec2_error(status, &code, "refused by the test");
            }
            account.modify(call)
        });
    }

    /// The `n`th call from now on fails, counted from 0 over both services; all others go through.
    pub(crate) fn fail_call(&self, n: usize, fault: CallFault) {
        let made = Arc::new(Mutex::new(0));
        let is_it = move || {
            let mut made = made.lock().unwrap();
            *made += 1;
            *made == n + 1
        };
        for action in ACTIONS {
            let (account, is_it) = (Arc::clone(&self.account), is_it.clone());
            self.aws.set_fn(&format!("ec2:{action}"), move |call| {
                let mut account = account.lock().unwrap();
                if is_it() { fault.of_ec2(call, &mut account) } else { account.answer(call) }
            });
        }
        for action in ["s3:GetObject", "s3:PutObject"] {
            let is_it = is_it.clone();
            self.aws.set_fn(action, move |_| if is_it() { fault.of_s3() } else { Answer::bucket() });
        }
    }

    /// [`Cloud::refuse_moves`], but only so many times.
    pub(crate) fn refuse_moves_at_first(&self, times: usize, what: &str, status: u16, code: &str) {
        let (account, what, code) = (Arc::clone(&self.account), what.to_owned(), code.to_owned());
        let left = Mutex::new(times);
        self.aws.set_fn("ec2:ModifyNetworkInterfaceAttribute", move |call| {
            let (mut account, mut left) = (account.lock().unwrap(), left.lock().unwrap());
            let named = |id: &str| account.groups.get(id).is_some_and(|group| group.name == what);
            if *left > 0 && call.params.values().any(|value| *value == what || named(value)) {
                *left -= 1;
                return Answer::ec2_error(status, &code, "refused by the test");
            }
            account.modify(call)
        });
    }

    /// Another case closes this group after the look and before any move.
    pub(crate) fn close_before_the_first_move(&self, group: &str) {
        let (account, group) = (Arc::clone(&self.account), group.to_owned());
        self.aws.set_fn("ec2:ModifyNetworkInterfaceAttribute", move |call| {
            let mut account = account.lock().unwrap();
            let closed = account.groups.get_mut(&group).unwrap();
            closed.tags.insert("cordon:retired".to_owned(), "another".to_owned());
            (closed.ingress, closed.egress) = (Vec::new(), Vec::new());
            account.modify(call)
        });
    }

    /// Once an interface has moved, the interfaces cannot be described any more.
    pub(crate) fn blind_after_changes(&self, status: u16, code: &str) {
        let (account, code) = (Arc::clone(&self.account), code.to_owned());
        self.aws.set_fn("ec2:DescribeNetworkInterfaces", move |call| {
            let mut account = account.lock().unwrap();
            if account.history.is_empty() {
                account.answer(call)
            } else {
                Answer::ec2_error(status, &code, "refused by the test")
            }
        });
    }

    /// Moves go through again.
    pub(crate) fn allow_moves(&self) {
        self.refuse_moves("nothing", 400, "Never");
    }

    /// The EC2 calls that ask for a change.
    pub(crate) fn changes(&self) -> Vec<String> {
        let calls = self.aws.mutations();
        calls.iter().map(|call| call.action.clone()).filter(|action| action.starts_with("ec2:")).collect()
    }

    pub(crate) fn records(&self, phase: &str) -> Vec<Value> {
        let keys = self.aws.keys();
        let records = keys.iter().filter(|key| key.contains("/records/") && key.ends_with(&format!("-{phase}.json")));
        records.map(|key| serde_json::from_slice(&self.aws.object(key).unwrap()).unwrap()).collect()
    }
}

const EXECUTION: &str = "arn:aws:states:eu-west-1:123456789012:execution:cordon-incident:a7c9";

pub(crate) fn plan(nics: &[(&str, &str, &[&str])]) -> Value {
    let nics: Vec<Value> = nics.iter().map(|(id, vpc, groups)| json!({ "id": id, "vpc": vpc, "groups": groups })).collect();
    json!({
        "schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:29:59Z",
        "finding": { "source": "manual", "id": "x", "type": "Manual", "title": "t", "severity": 0.0, "account": "123456789012",
                     "region": "eu-west-1" },
        "target": { "instanceId": "i-0123456789abcdef0", "account": "123456789012", "region": "eu-west-1", "state": "running",
                    "interfaces": nics, "volumes": [], "profile": null, "spot": false, "windows": false,
                    "metadata": { "enabled": true, "tokensRequired": true, "hopLimit": 2 } },
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

/// A plan that has memory captured through the first interface.
pub(crate) fn capturing(mut plan: Value) -> Value {
    plan["memory"] = json!({ "decision": "capture", "path": {
        "interface": NIC, "endpoints": [SSM, MESSAGES], "s3": S3, "evidenceBucketOnly": false,
    } });
    plan
}

fn clients(aws: &Stub) -> Clients {
    let config = aws.config();
    Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        pace: Pace::once(),
        store: handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
    }
}

impl Account {
    pub(crate) fn add(&mut self, id: &str, vpc: &str, name: &str, role: &str, rules: &[&str]) {
        let mut tags = BTreeMap::new();
        if !role.is_empty() {
            tags.insert("cordon:role".to_owned(), role.to_owned());
        }
        let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
        let (vpc, name) = (vpc.to_owned(), name.to_owned());
        self.groups.insert(id.to_owned(), Group { vpc, name, tags, ingress: rules.clone(), egress: rules });
    }

    /// The names of an interface's groups, or the ids of those that are not ours.
    pub(crate) fn worn(&self, nic: &str) -> Vec<String> {
        self.names(&self.nics[nic].groups)
    }

    fn names(&self, ids: &[String]) -> Vec<String> {
        ids.iter().map(|id| self.groups.get(id).map_or(id.clone(), |group| group.name.clone())).collect()
    }

    fn answer(&mut self, call: &Call) -> Answer {
        let group = call.param("GroupId").unwrap_or_default().to_owned();
        match call.action.trim_start_matches("ec2:") {
            "DescribeNetworkInterfaces" => self.describe_nics(call),
            "DescribeSecurityGroups" => self.describe_groups(call),
            "CreateSecurityGroup" => self.create(call),
            "AuthorizeSecurityGroupIngress" => self.authorize(&group, call, true),
            "AuthorizeSecurityGroupEgress" => self.authorize(&group, call, false),
            "RevokeSecurityGroupIngress" => self.revoke(&group, call, true),
            "RevokeSecurityGroupEgress" => self.revoke(&group, call, false),
            "ModifyNetworkInterfaceAttribute" => self.modify(call),
            "ModifyInstanceMetadataOptions" => {
                assert_eq!(call.param("HttpEndpoint"), Some("disabled"), "metadata is only ever switched off");
                self.metadata_off = true;
                done(call)
            }
            "DescribeInstances" => {
                let endpoint = if self.metadata_off { "disabled" } else { "enabled" };
                let state = if self.metadata_off && self.metadata_pending > 0 { "pending" } else { "applied" };
                self.metadata_pending = self.metadata_pending.saturating_sub(usize::from(self.metadata_off));
                Answer::xml(format!(
                    "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceState><name>running</name></instanceState>\
                     <metadataOptions><state>{state}</state><httpEndpoint>{endpoint}</httpEndpoint></metadataOptions></item></instancesSet>\
                     </item></reservationSet></DescribeInstancesResponse>"
                ))
            }
            "DescribeVpcs" => {
                let vpc = |vpc: &&str| format!("<item><vpcId>{vpc}</vpcId></item>");
                let vpcs: String = [VPC, VPC2].iter().map(vpc).collect();
                Answer::xml(format!("<DescribeVpcsResponse><vpcSet>{vpcs}</vpcSet></DescribeVpcsResponse>"))
            }
            "DescribeRouteTables" => {
                let tables = self.tables.concat();
                Answer::xml(format!(
                    "<DescribeRouteTablesResponse><routeTableSet>{tables}</routeTableSet></DescribeRouteTablesResponse>"
                ))
            }
            "DescribeVpcEndpoints" => {
                let endpoints = self.endpoints.concat();
                Answer::xml(format!(
                    "<DescribeVpcEndpointsResponse><vpcEndpointSet>{endpoints}</vpcEndpointSet></DescribeVpcEndpointsResponse>"
                ))
            }
            "DescribeTrunkInterfaceAssociations" => self.describe_branches(call),
            "CreateTags" => {
                let group = self.groups.get_mut(call.param("ResourceId.1").unwrap()).unwrap();
                group.tags.insert(call.param("Tag.1.Key").unwrap().to_owned(), call.param("Tag.1.Value").unwrap().to_owned());
                done(call)
            }
            other => panic!("teach the account {other}"),
        }
    }

    fn describe_branches(&self, call: &Call) -> Answer {
        assert_eq!(call.param("Filter.1.Name"), Some("trunk-interface-association.trunk-interface-id"));
        let trunks = call.list("Filter.1.Value");
        let item = |(id, nic): (&String, &Nic)| {
            let trunk = nic.branch_of.as_deref().filter(|trunk| trunks.contains(trunk))?;
            Some(format!("<item><branchInterfaceId>{id}</branchInterfaceId><trunkInterfaceId>{trunk}</trunkInterfaceId></item>"))
        };
        let items: String = self.nics.iter().filter_map(item).collect();
        Answer::xml(format!(
            "<DescribeTrunkInterfaceAssociationsResponse><interfaceAssociationSet>{items}</interfaceAssociationSet>\
             </DescribeTrunkInterfaceAssociationsResponse>"
        ))
    }

    fn kind(&self, id: &str, nic: &Nic) -> &'static str {
        let is_trunk = self.nics.values().any(|other| other.branch_of.as_deref() == Some(id));
        match nic.branch_of {
            Some(_) => "branch",
            None if is_trunk => "trunk",
            None => "interface",
        }
    }

    fn describe_nics(&self, call: &Call) -> Answer {
        let (name, values) = (call.param("Filter.1.Name").unwrap_or_default(), call.list("Filter.1.Value"));
        let passes = |id: &str, nic: &Nic| match name {
            "group-id" => nic.groups.iter().any(|id| values.contains(&id.as_str())),
            "network-interface-id" => values.contains(&id),
            "attachment.instance-id" => nic.branch_of.is_none(),
            other => panic!("teach the account the filter {other}"),
        };
        let item = |(id, nic): (&String, &Nic)| {
            let groups: String = nic.groups.iter().map(|id| format!("<item><groupId>{id}</groupId></item>")).collect();
            format!(
                "<item><networkInterfaceId>{id}</networkInterfaceId><vpcId>{}</vpcId><subnetId>{}</subnetId>\
                 <requesterManaged>{}</requesterManaged><interfaceType>{}</interfaceType>\
                 <operator><managed>{}</managed><principal>{}</principal></operator>\
                 <attachment><instanceId>i-0123456789abcdef0</instanceId></attachment>\
                 <groupSet>{groups}</groupSet>{}</item>",
                nic.vpc,
                nic.subnet,
                nic.requester_managed,
                self.kind(id, nic),
                !nic.operator.is_empty(),
                nic.operator,
                tracked(nic)
            )
        };
        let items: String = self.nics.iter().filter(|(id, nic)| passes(id, nic)).map(item).collect();
        Answer::xml(format!(
            "<DescribeNetworkInterfacesResponse><networkInterfaceSet>{items}</networkInterfaceSet></DescribeNetworkInterfacesResponse>"
        ))
    }

    fn describe_groups(&self, call: &Call) -> Answer {
        let filters: Vec<(String, Vec<&str>)> = (1..)
            .map_while(|n| Some((call.param(&format!("Filter.{n}.Name"))?.to_owned(), call.list(&format!("Filter.{n}.Value")))))
            .collect();
        let passes = |group: &Group| {
            filters.iter().all(|(name, values)| {
                let value = match name.as_str() {
                    "vpc-id" => Some(group.vpc.as_str()),
                    "group-name" => Some(group.name.as_str()),
                    "tag:cordon:role" => group.tags.get("cordon:role").map(String::as_str),
                    other => panic!("teach the account the filter {other}"),
                };
                value.is_some_and(|value| values.contains(&value))
            })
        };
        let rules = |rules: &[String]| -> String {
            let rule = |cidr: &String| match cidr.as_str() {
                cidr if cidr.contains(':') => format!(
                    "<item><ipProtocol>-1</ipProtocol><ipv6Ranges><item><cidrIpv6>{cidr}</cidrIpv6></item></ipv6Ranges></item>"
                ),
                cidr => {
                    format!("<item><ipProtocol>-1</ipProtocol><ipRanges><item><cidrIp>{cidr}</cidrIp></item></ipRanges></item>")
                }
            };
            let (peers, cidrs): (Vec<_>, Vec<_>) =
                rules.iter().cloned().partition(|rule| rule.starts_with("sg-") || rule.starts_with("pl-"));
            let all: String = cidrs.iter().map(rule).collect();
            if peers.is_empty() {
                return all;
            }
            // EC2 merges rules of the same protocol and ports.
            let groups: String = peers
                .iter()
                .filter(|peer| peer.starts_with("sg-"))
                .map(|id| format!("<item><userId>123456789012</userId><groupId>{id}</groupId></item>"))
                .collect();
            let lists: String = peers
                .iter()
                .filter(|peer| peer.starts_with("pl-"))
                .map(|id| format!("<item><prefixListId>{id}</prefixListId></item>"))
                .collect();
            format!(
                "{all}<item><ipProtocol>tcp</ipProtocol><fromPort>443</fromPort><toPort>443</toPort><groups>{groups}</groups>\
                 <prefixListIds>{lists}</prefixListIds></item>"
            )
        };
        let item = |(id, group): (&String, &Group)| {
            let tags: String =
                group.tags.iter().map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>")).collect();
            format!(
                "<item><groupId>{id}</groupId><groupName>{}</groupName><vpcId>{}</vpcId><tagSet>{tags}</tagSet>\
                 <ipPermissions>{}</ipPermissions><ipPermissionsEgress>{}</ipPermissionsEgress></item>",
                group.name,
                group.vpc,
                rules(&group.ingress),
                rules(&group.egress)
            )
        };
        let items: String = self.groups.iter().filter(|(_, group)| passes(group)).map(item).collect();
        Answer::xml(format!(
            "<DescribeSecurityGroupsResponse><securityGroupInfo>{items}</securityGroupInfo></DescribeSecurityGroupsResponse>"
        ))
    }

    fn create(&mut self, call: &Call) -> Answer {
        let (name, vpc) = (call.param("GroupName").unwrap(), call.param("VpcId").unwrap());
        if self.groups.values().any(|group| group.vpc == vpc && group.name.eq_ignore_ascii_case(name)) {
            return Answer::ec2_error(400, "InvalidGroup.Duplicate", "the name is taken");
        }
        self.made += 1;
        let id = format!("sg-0fffffffffffffff{}", self.made);
        let mut tags = BTreeMap::new();
        for n in 1..=2 {
            let tag = |part: &str| call.param(&format!("TagSpecification.1.Tag.{n}.{part}")).unwrap().to_owned();
            tags.insert(tag("Key"), tag("Value"));
        }
        // The VPCs of this account have IPv6, so new groups let everything out both ways [facts 13].
        let egress = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        let group = Group { vpc: vpc.to_owned(), name: name.to_owned(), tags, ingress: Vec::new(), egress };
        self.groups.insert(id.clone(), group);
        Answer::xml(format!(
            "<CreateSecurityGroupResponse><return>true</return><groupId>{id}</groupId></CreateSecurityGroupResponse>"
        ))
    }

    fn rules(&mut self, id: &str, ingress: bool) -> Option<&mut Vec<String>> {
        self.groups.get_mut(id).map(|group| if ingress { &mut group.ingress } else { &mut group.egress })
    }

    fn authorize(&mut self, id: &str, call: &Call, ingress: bool) -> Answer {
        let cidrs = cidrs(call);
        let Some(rules) = self.rules(id, ingress) else { return Answer::ec2_error(400, "InvalidGroup.NotFound", "no group") };
        if cidrs.iter().any(|cidr| rules.contains(cidr)) {
            return Answer::ec2_error(400, "InvalidPermission.Duplicate", "it is there");
        }
        rules.extend(cidrs);
        done(call)
    }

    fn revoke(&mut self, id: &str, call: &Call, ingress: bool) -> Answer {
        let cidrs = cidrs(call);
        let Some(rules) = self.rules(id, ingress) else { return Answer::ec2_error(400, "InvalidGroup.NotFound", "no group") };
        if cidrs.iter().any(|cidr| !rules.contains(cidr)) {
            return Answer::ec2_error(400, "InvalidPermission.NotFound", "it is not there");
        }
        rules.retain(|rule| !cidrs.contains(rule));
        done(call)
    }

    pub(crate) fn modify(&mut self, call: &Call) -> Answer {
        let id = call.param("NetworkInterfaceId").unwrap().to_owned();
        let groups: Vec<String> = call.list("SecurityGroupId").into_iter().map(str::to_owned).collect();
        let timeouts = ["TcpEstablishedTimeout", "UdpStreamTimeout", "UdpTimeout"]
            .map(|name| call.param(&format!("ConnectionTrackingSpecification.{name}")).map(str::to_owned));
        let Some(nic) = self.nics.get(&id).cloned() else {
            return Answer::ec2_error(400, "InvalidNetworkInterfaceID.NotFound", "no interface");
        };
        assert!(!nic.requester_managed && nic.operator.is_empty(), "an interface that a service manages must be left alone");
        assert!(nic.branch_of.is_none(), "a branch must be left alone");
        assert!(groups.iter().all(|group| self.groups[group].vpc == nic.vpc), "a group belongs to the VPC of its interface");
        if let [Some(tcp), Some(stream), Some(udp)] = timeouts {
            assert!(groups.is_empty(), "EC2 takes one attribute in a call");
            self.nics.get_mut(&id).unwrap().tracking = Some([tcp, stream, udp]);
            return done(call);
        }
        self.nics.get_mut(&id).unwrap().groups.clone_from(&groups);
        let names = self.names(&groups);
        self.history.push((id, names));
        done(call)
    }
}

fn tracked(nic: &Nic) -> String {
    let Some([tcp, stream, udp]) = &nic.tracking else { return String::new() };
    format!(
        "<connectionTrackingConfiguration><tcpEstablishedTimeout>{tcp}</tcpEstablishedTimeout>\
         <udpStreamTimeout>{stream}</udpStreamTimeout><udpTimeout>{udp}</udpTimeout></connectionTrackingConfiguration>"
    )
}

fn done(call: &Call) -> Answer {
    let name = call.action.trim_start_matches("ec2:");
    Answer::xml(format!("<{name}Response><return>true</return></{name}Response>"))
}

fn cidrs(call: &Call) -> Vec<String> {
    let peer = [".CidrIp", ".CidrIpv6", ".GroupId", ".PrefixListId"];
    let all = call.params.iter().filter(|(name, _)| peer.iter().any(|end| name.ends_with(end)));
    all.map(|(_, value)| value.clone()).collect()
}
