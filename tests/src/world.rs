//! One account of the local cloud, deployed, with targets.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::Credentials;
use serde_json::{Value, json};

use crate::cloud::{self, stop};

/// How long an incident may take on the local cloud, whose waits are scaled down.
const PATIENCE: Duration = Duration::from_secs(90);

/// An account with Cordon deployed in it.
#[derive(Debug)]
pub struct World {
    /// What the cloud says of it: endpoint, bucket, instances by role.
    pub deployment: Value,
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// Step Functions.
    pub sfn: aws_sdk_sfn::Client,
    /// Systems Manager, where the policy is.
    pub ssm: aws_sdk_ssm::Client,
    config: aws_config::SdkConfig,
}

/// How an execution ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its ARN.
    pub execution: String,
    /// `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub status: String,
    /// Its output; null where it has none.
    pub output: Value,
    /// The cause of its failure.
    pub cause: String,
}

impl Ended {
    /// The case that the execution owned, from its ARN and the instance.
    pub fn case(&self, instance: &str) -> String {
        let (Ok(instance), Ok(execution)) = (instance.parse(), self.execution.parse()) else {
            stop(&format!("no case can be named for {instance} and {}", self.execution))
        };
        incident::CaseId::new(&instance, &execution).to_string()
    }

    /// A field of the output as text.
    pub fn text(&self, field: &str) -> &str {
        self.output.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

impl World {
    /// A fresh account, deployed, with the usual targets.
    pub async fn new() -> Self {
        let deployment = cloud::shared().ask("accounts", Some(&json!({"targets": true})));
        let text = |field: &str| deployment.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(cloud::shared().endpoint())
            .credentials_provider(Credentials::new(text("accessKeyId"), text("secretAccessKey"), None, None, "journey"))
            .load()
            .await;
        Self {
            ec2: aws_sdk_ec2::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            config,
            deployment,
        }
    }

    /// A field of the deployment as text.
    pub fn text(&self, field: &str) -> &str {
        self.deployment.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The account's number.
    pub fn account(&self) -> &str {
        self.text("accountId")
    }

    /// The evidence bucket.
    pub fn bucket(&self) -> &str {
        self.text("bucket")
    }

    /// The instance that plays `role`: web, single, spot, terminated or drill.
    pub fn instance(&self, role: &str) -> String {
        self.deployment.pointer(&format!("/instances/{role}")).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Starts an execution with `input` and waits until it has ended.
    pub async fn run(&self, input: &Value) -> Ended {
        let execution = self.start(input).await;
        self.ended(&execution).await
    }

    /// Starts an execution with `input`.
    pub async fn start(&self, input: &Value) -> String {
        let start = self.sfn.start_execution().state_machine_arn(self.text("stateMachineArn")).input(input.to_string());
        match start.send().await {
            Ok(started) => started.execution_arn,
            Err(error) => stop(&format!("the execution did not start: {error:?}")),
        }
    }

    /// Waits until an execution has ended.
    pub async fn ended(&self, execution: &str) -> Ended {
        let look = || async {
            let answer = self.sfn.describe_execution().execution_arn(execution).send().await.ok()?;
            (answer.status.as_str() != "RUNNING").then_some(answer)
        };
        let answer = until(&format!("{execution} ends"), look).await;
        Ended {
            execution: execution.to_owned(),
            status: answer.status.as_str().to_owned(),
            output: answer.output.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
            cause: answer.cause.unwrap_or_default(),
        }
    }

    /// Starts a release with `input` and waits until it has ended.
    pub async fn release(&self, input: &Value) -> Ended {
        let machine = self.text("stateMachineArn").replace("cordon-incident", "cordon-release");
        let start = self.sfn.start_execution().state_machine_arn(machine).input(input.to_string());
        match start.send().await {
            Ok(started) => self.ended(&started.execution_arn).await,
            Err(error) => stop(&format!("the release did not start: {error:?}")),
        }
    }

    /// What other clients for this account are made from.
    pub fn config(&self) -> &aws_config::SdkConfig {
        &self.config
    }

    /// Every execution of the state machine.
    pub async fn executions(&self) -> Vec<String> {
        let list = self.sfn.list_executions().state_machine_arn(self.text("stateMachineArn")).send().await;
        list.map(|page| page.executions.into_iter().map(|e| e.execution_arn).collect()).unwrap_or_default()
    }

    /// Sends an event as AWS would.
    pub fn event(&self, event: &Value) {
        self.ask(
            "event",
            &json!({"source": event.get("source"), "detailType": event.get("detail-type"), "detail": event.get("detail"), "resources": []}),
        );
    }

    /// Injects faults into this account's calls.
    pub fn faults(&self, faults: &Value) {
        self.ask("faults", &json!({"faults": faults}));
    }

    /// Asks the cloud's own interface about this account.
    pub fn ask(&self, path: &str, body: &Value) -> Value {
        let mut body = body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("account".to_owned(), json!(self.account()));
        }
        cloud::shared().ask(path, Some(&body))
    }

    /// Every call of this account so far.
    pub fn calls(&self) -> Vec<Value> {
        list(&cloud::shared().ask(&format!("calls?account={}", self.account()), None))
    }

    /// The calls that changed something in EC2, made by Cordon's functions.
    pub fn changes(&self) -> Vec<String> {
        let changing =
            |action: &str| action.starts_with("ec2:") && !action.starts_with("ec2:Describe") && !action.starts_with("ec2:Get");
        self.calls()
            .iter()
            .filter(|call| call.get("app").is_some_and(Value::is_string))
            .filter_map(|call| call.get("action").and_then(Value::as_str).filter(|action| changing(action)).map(str::to_owned))
            .collect()
    }

    /// What people have been told so far: the JSON documents.
    pub fn notices(&self) -> Vec<Value> {
        list(&cloud::shared().ask(&format!("notices?account={}", self.account()), None))
            .iter()
            .map(|notice| {
                let message = notice.get("message").and_then(Value::as_str).unwrap_or_default();
                let outer: Value = serde_json::from_str(message).unwrap_or_default();
                let inner = outer.get("default").and_then(Value::as_str).map(str::to_owned);
                inner.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(outer)
            })
            .collect()
    }

    /// Waits until people have been told something of `kind`.
    pub async fn told(&self, kind: &str) -> Value {
        until(&format!("people are told of kind `{kind}`; told so far: {:?}", self.kinds()), || async {
            self.notices().into_iter().find(|notice| notice.get("kind").and_then(Value::as_str) == Some(kind))
        })
        .await
    }

    /// The kinds of what people have been told so far.
    pub fn kinds(&self) -> Vec<String> {
        self.notices().iter().filter_map(|notice| notice.get("kind").and_then(Value::as_str).map(str::to_owned)).collect()
    }

    /// The `cordon:role` of the groups of each interface of an instance: `["isolation"]` for a contained one, an empty
    /// string for a group that is not ours.
    pub async fn group_roles(&self, instance: &str) -> Vec<Vec<String>> {
        let filter = aws_sdk_ec2::types::Filter::builder().name("attachment.instance-id").values(instance).build();
        let interfaces = self.ec2.describe_network_interfaces().filters(filter).send().await;
        let groups = self.ec2.describe_security_groups().send().await;
        let (Ok(interfaces), Ok(groups)) = (interfaces, groups) else { stop("interfaces or groups cannot be described") };
        let role = |id: Option<&str>| {
            let group = groups.security_groups().iter().find(|group| group.group_id() == id);
            let tag = group.and_then(|group| group.tags().iter().find(|tag| tag.key() == Some("cordon:role")));
            tag.and_then(|tag| tag.value()).unwrap_or_default().to_owned()
        };
        interfaces.network_interfaces().iter().map(|i| i.groups().iter().map(|g| role(g.group_id())).collect()).collect()
    }

    /// Whether every interface of an instance is in its isolation group alone.
    pub async fn is_contained(&self, instance: &str) -> bool {
        let roles = self.group_roles(instance).await;
        !roles.is_empty() && roles.iter().all(|roles| roles == &["isolation"])
    }

    /// Whether an instance's metadata service is on.
    pub async fn metadata_answers(&self, instance: &str) -> bool {
        let described = self.ec2.describe_instances().instance_ids(instance).send().await;
        let Ok(described) = described else { stop("the instance cannot be described") };
        let mut found = described.reservations().iter().flat_map(aws_sdk_ec2::types::Reservation::instances);
        let options = found.next().and_then(|instance| instance.metadata_options());
        options.is_none_or(|options| options.http_endpoint().is_none_or(|state| state.as_str() != "disabled"))
    }

    /// Makes the guest of an instance behave as `behaviour` says; gives what is known of its last command.
    pub fn guest(&self, instance: &str, behaviour: &Value) -> Value {
        let mut body = behaviour.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("instance".to_owned(), json!(instance));
        }
        self.ask("guest", &body)
    }

    /// What instance metadata would hand out for an instance's role.
    pub fn credentials(&self, instance: &str) -> Value {
        self.ask("credentials", &json!({"instance": instance}))
    }

    /// S3 for somebody with these credentials.
    pub fn s3_as(&self, credentials: &Value) -> aws_sdk_s3::Client {
        let text = |field: &str| credentials.get(field).and_then(Value::as_str).map(str::to_owned);
        let (key, secret) = (text("accessKeyId").unwrap_or_default(), text("secretAccessKey").unwrap_or_default());
        let given = Credentials::new(key, secret, text("sessionToken"), None, "taken");
        let config = aws_sdk_s3::config::Builder::from(&self.config).credentials_provider(given).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Whether somebody with these credentials may list the account's buckets.
    pub async fn may_list_buckets(&self, credentials: &Value) -> bool {
        match self.s3_as(credentials).list_buckets().send().await {
            Ok(_) => true,
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 403) => false,
            Err(error) => stop(&format!("buckets could be neither listed nor not: {error:?}")),
        }
    }

    /// How many snapshots a case has, whatever their state.
    pub async fn snapshots(&self, case: &str) -> usize {
        let of_case = aws_sdk_ec2::types::Filter::builder().name("tag:cordon:case").values(case).build();
        let described = self.ec2.describe_snapshots().owner_ids("self").filters(of_case).send().await;
        described.map(|page| page.snapshots().len()).unwrap_or_default()
    }

    /// The objects of a case, by their names in it.
    pub async fn case_file(&self, case: &str) -> BTreeMap<String, Vec<u8>> {
        let prefix = format!("cases/{case}/");
        let mut objects = BTreeMap::new();
        for key in self.keys(&prefix).await {
            let bytes = self.object(&key).await.unwrap_or_default();
            objects.insert(key.trim_start_matches(&prefix).to_owned(), bytes);
        }
        objects
    }

    /// The keys below `prefix`.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let mut pages = self.s3.list_objects_v2().bucket(self.bucket()).prefix(prefix).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(Ok(page)) = pages.next().await {
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        keys
    }

    /// The bytes of an object; `None` where there is none.
    pub async fn object(&self, key: &str) -> Option<Vec<u8>> {
        let answer = self.s3.get_object().bucket(self.bucket()).key(key).send().await.ok()?;
        Some(answer.body.collect().await.ok()?.to_vec())
    }

    /// An object as JSON; null where there is none.
    pub async fn json(&self, key: &str) -> Value {
        self.object(key).await.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Replaces the policy of this account. Where it says nothing of the end, that is quarantine, as in every journey.
    pub async fn policy(&self, policy: &Value) {
        let mut policy = policy.clone();
        if let Some(fields) = policy.as_object_mut() {
            fields.entry("disposition").or_insert_with(|| json!("quarantine"));
        }
        let put = self.ssm.put_parameter().name("/cordon/policy").value(policy.to_string()).overwrite(true).send().await;
        if let Err(error) = put {
            stop(&format!("the policy cannot be replaced: {error:?}"));
        }
    }

    /// A person who may answer: `{"user": …}`, or `{"role": …, "session": …}`.
    pub fn person(&self, who: &Value) -> Value {
        self.ask("person", who)
    }

    /// Runs the `cordon` command in this account, with the right to do everything.
    pub fn cordon(&self, arguments: &[&str]) -> Output {
        self.cordon_as(&self.deployment, arguments)
    }

    /// Runs the `cordon` command as the one whose credentials these are.
    pub fn cordon_as(&self, who: &Value, arguments: &[&str]) -> Output {
        let text = |field: &str| who.get(field).and_then(Value::as_str);
        let mut command = Command::new(cloud::binaries().join("cordon"));
        command
            .args(arguments)
            .env_clear()
            .env("AWS_ENDPOINT_URL", cloud::shared().endpoint())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", text("accessKeyId").unwrap_or_default())
            .env("AWS_SECRET_ACCESS_KEY", text("secretAccessKey").unwrap_or_default())
            .stdin(std::process::Stdio::null());
        if let Some(token) = text("sessionToken") {
            command.env("AWS_SESSION_TOKEN", token);
        }
        let run = command.output();
        match run {
            Ok(output) => output,
            Err(error) => stop(&format!("cordon did not start: {error}")),
        }
    }

    /// Fails unless `cordon verify` accepts the case, online and from a downloaded folder; gives what it printed.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn verified(&self, case: &str) -> String {
        let online = self.cordon(&["verify", case]);
        let said = shown(&online);
        assert!(online.status.success(), "cordon verify {case} failed:\n{said}");
        let folder = cloud::root().join("target/journeys").join(format!("case-{case}"));
        for (name, bytes) in self.case_file(case).await {
            let path = folder.join(name);
            let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, bytes));
            assert!(written.is_ok(), "{} cannot be written: {written:?}", path.display());
        }
        let offline = self.cordon(&["verify", &folder.to_string_lossy(), "--public-key", self.text("publicKeyPath")]);
        assert!(offline.status.success(), "cordon verify of the downloaded case failed:\n{}", shown(&offline));
        let _ = std::fs::remove_dir_all(Path::new(&folder));
        said
    }
}

/// What a command printed.
pub fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Looks again and again, at most [`PATIENCE`] long, until `look` sees something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        if begun.elapsed() > PATIENCE {
            stop(&format!("waited {} s in vain until {what}", PATIENCE.as_secs()));
        }
        #[expect(clippy::disallowed_methods, reason = "the one place where a journey polls, bounded by its patience")]
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
