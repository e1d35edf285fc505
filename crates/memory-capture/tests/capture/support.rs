//! A deployment, a Systems Manager and a target behind the real clients.
//!
//! The target has URLs and nothing else: whatever it does goes through [`World::use_url`], which checks that the session that
//! signed the URL may do just that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use incident::capture::{Collected, FILES, RESULT, Wave};
use incident::evidence::{Capture, CaptureStatus};
use incident::plan::Plan;
use jiff::{SignedDuration, Timestamp};
use memory_capture::statement::Statement;
use memory_capture::{Clients, Deployment, Error, Input, document, handle};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};

pub(crate) const CASE: &str = "i-0abc1234def567890-0123456789ab";
pub(crate) const IMAGE: &str = "cases/i-0abc1234def567890-0123456789ab/memory/image.lime";
pub(crate) const STATEMENT: &str = "cases/i-0abc1234def567890-0123456789ab/memory/capture.json";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
const BEGUN: &str = "2026-11-24T03:30:00Z";
const MIB: usize = 1 << 20;

/// What Systems Manager and STS remember.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Seconds since the case was opened.
    now: i64,
    pub(crate) ping: String,
    pub(crate) platform: String,
    pub(crate) content: String,
    pub(crate) commands: Vec<Value>,
    /// Status, output and errors of the command.
    pub(crate) ended: (String, String, String),
    pub(crate) cancelled: Vec<String>,
    /// The session policy behind each session token.
    pub(crate) sessions: BTreeMap<String, Value>,
}

pub(crate) struct World {
    pub(crate) aws: Stub,
    pub(crate) account: Arc<Mutex<Account>>,
    pub(crate) plan: Value,
    pub(crate) deployment: Deployment,
    attempts: u32,
}

/// What the target sends.
#[derive(Debug, Clone)]
pub(crate) struct Sends {
    pub(crate) parts: Vec<Vec<u8>>,
    /// Instead of the number that each part has.
    pub(crate) numbers: Option<Vec<u32>>,
    pub(crate) files: BTreeMap<&'static str, Vec<u8>>,
    /// Whether the result is uploaded, and whether it is printed.
    pub(crate) uploads: bool,
    pub(crate) prints: bool,
}

impl Default for Sends {
    fn default() -> Self {
        let files = [("volatile.json", b"{}".to_vec()), ("version", b"Linux".to_vec()), ("kallsyms", vec![b'k'; 1000])];
        Self {
            parts: vec![image(5 * MIB, 1), image(5 * MIB, 2), image(77, 3)],
            numbers: None,
            files: files.into(),
            uploads: true,
            prints: true,
        }
    }
}

/// Bytes that tell their part.
pub(crate) fn image(bytes: usize, seed: u8) -> Vec<u8> {
    let mut part = vec![seed; bytes];
    part.splice(0..part.len().min(4), *b"EMiL");
    part
}

impl Sends {
    pub(crate) fn small() -> Self {
        Self { parts: vec![image(100, 9)], ..Self::default() }
    }

    fn whole(&self) -> Vec<u8> {
        self.parts.concat()
    }

    /// What an honest collector says of it.
    pub(crate) fn truth(&self, deployment: &Deployment) -> Collected {
        let whole = self.whole();
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &whole);
        let files = self.files.iter().map(
            |(name, bytes)| json!({"name": name, "bytes": bytes.len(), "sha256": incident::text::sha256(bytes), "cut": false}),
        );
        serde_json::from_value(json!({
            "schema": Collected::SCHEMA, "caseId": CASE, "ok": true, "source": "/proc/kcore", "format": "lime",
            "systemRam": 1 << 28, "bytes": whole.len(), "parts": self.parts.len(), "sha256": incident::text::sha256(&whole),
            "crc64nvme": base64(crc), "seconds": 11.5, "version": "0.1.0", "collectorSha256": deployment.collector_x86,
            "files": files.collect::<Vec<_>>(), "peakKib": 50_000, "errors": [],
        }))
        .unwrap()
    }
}

fn base64(crc: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Eight bytes are eleven digits and one `=`.
    let wide = u128::from(crc) << 8;
    let digits = (0..11).map(|digit| char::from(DIGITS[usize::try_from(wide >> (66 - 6 * digit) & 63).unwrap()]));
    digits.chain(['=']).collect()
}

impl World {
    /// A running target, contained, with a deployment that fits it.
    pub(crate) fn new() -> Self {
        let deployment = Deployment {
            role: "arn:aws:iam::111122223333:role/cordon-upload".to_owned(),
            document: "cordon-capture".to_owned(),
            collector_x86: "ab".repeat(32),
            collector_arm64: String::new(),
            arguments: String::new(),
            key: Some("arn:aws:kms:eu-central-1:111122223333:key/evidence".to_owned()),
        };
        let content = json!({
            "schemaVersion": "2.2", "description": "d", "parameters": {"PlanUrl": {"type": "String", "allowedPattern": "^https?://.*$"}},
            "mainSteps": [{"action": "aws:runShellScript", "name": "capture",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {"timeoutSeconds": "43200", "runCommand": [document::script(&deployment)]}}],
        });
        let account = Account {
            ping: "Online".to_owned(),
            platform: "Linux".to_owned(),
            content: content.to_string(),
            ended: ("InProgress".to_owned(), String::new(), String::new()),
            ..Account::default()
        };
        let account = Arc::new(Mutex::new(account));
        let mut aws = Stub::new();
        for action in [
            "ssm:DescribeInstanceInformation",
            "ssm:GetDocument",
            "ssm:DescribeDocument",
            "ssm:ListCommands",
            "ssm:SendCommand",
            "ssm:GetCommandInvocation",
            "ssm:CancelCommand",
            "sts:AssumeRole",
        ] {
            let account = Arc::clone(&account);
            aws = aws.on_fn(action, move |call| account.lock().unwrap().answer(call));
        }
        aws.put_object(&format!("tools/{}/collector-x86_64", deployment.collector_x86), "the collector");
        Self { aws, account, plan: plan(), deployment, attempts: 1 }
    }

    /// The SDK sends again what may be sent again, as it does in the function.
    pub(crate) fn resent_by_the_sdk(mut self) -> Self {
        self.attempts = 3;
        self
    }

    pub(crate) fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    /// One look, so many seconds after the case was opened.
    pub(crate) async fn look(&self, second: i64, retry: u32, previous: Option<&Capture>) -> Result<Capture, Error> {
        self.account().now = second;
        let visit =
            json!({"execution": EXECUTION, "state": "MemoryCapture", "entered": time(second).to_string(), "retry": retry});
        let input: Input = serde_json::from_value(json!({"visit": visit, "plan": self.plan, "previous": previous})).unwrap();
        let said = handle(&self.clients(), input).await?;
        let text = serde_json::to_string(&said).unwrap();
        assert!(text.len() < 8_000, "what goes through the state machine must stay small: {text}");
        assert_eq!(said.status == CaptureStatus::Running, said.progress.is_some() && said.pause_seconds > 0, "{said:?}");
        Ok(said)
    }

    /// Begins a capture at second 0.
    pub(crate) async fn begin(&self) -> Capture {
        let begun = self.look(0, 0, None).await.unwrap();
        assert!(begun.status == CaptureStatus::Running && command(&begun).is_some(), "{begun:?}");
        begun
    }

    /// Begins, lets the target send, ends the command, and looks again.
    pub(crate) async fn capture(&self, sends: &Sends, says: &Collected) -> Capture {
        let begun = self.begin().await;
        self.send(sends, says);
        self.look(60, 0, Some(&begun)).await.unwrap()
    }

    /// The target sends all of it, and the command ends.
    pub(crate) fn send(&self, sends: &Sends, says: &Collected) {
        self.send_image(sends);
        self.send_files(sends, says);
        let printed =
            if sends.prints { format!("noise\n{}\n", serde_json::to_string(says).unwrap()) } else { "noise\n".to_owned() };
        self.account().ended = ("Success".to_owned(), printed, String::new());
    }

    pub(crate) fn send_image(&self, sends: &Sends) {
        let wave = self.first_wave();
        for (index, bytes) in sends.parts.iter().enumerate() {
            let number = sends.numbers.as_ref().map_or(u32::try_from(index).unwrap() + 1, |numbers| numbers[index]);
            self.put_part(&wave, number, bytes);
        }
    }

    pub(crate) fn put_part(&self, wave: &Wave, number: u32, bytes: &[u8]) {
        let url = &wave.parts[usize::try_from(number - wave.first_part).unwrap()];
        assert_eq!(self.use_url("PUT", url, bytes).0, 200, "part {number}");
    }

    fn send_files(&self, sends: &Sends, says: &Collected) {
        let settings = self.first_wave().settings.unwrap();
        assert_eq!(settings.files.iter().map(|slot| (slot.name.as_str(), slot.limit)).collect::<Vec<_>>(), FILES.to_vec());
        let result = serde_json::to_vec(says).unwrap();
        let mut files = sends.files.clone();
        if sends.uploads {
            files.entry(RESULT).or_insert(result);
        }
        for (name, bytes) in files {
            let slot = settings.files.iter().find(|slot| slot.name == name).unwrap();
            assert_eq!(self.use_url("PUT", &slot.url, &bytes).0, 200, "{name}");
        }
    }

    /// What the target is given: the plan, by the document's one parameter.
    pub(crate) fn first_wave(&self) -> Wave {
        let url = self.account().commands.last().unwrap()["Parameters"]["PlanUrl"][0].as_str().unwrap().to_owned();
        let (status, plan) = self.use_url("GET", &url, b"");
        assert_eq!(status, 200);
        let end = plan.iter().position(|byte| *byte == b'\n').unwrap();
        let binary = std::str::from_utf8(&plan[..end]).unwrap();
        assert_eq!(self.use_url("GET", binary, b"").1, b"the collector");
        Wave::read(&plan).unwrap()
    }

    /// The wave that follows, as the collector finds it; `None` where there is none yet.
    pub(crate) fn wave_after(&self, wave: &Wave) -> Option<Wave> {
        let (status, bytes) = self.use_url("GET", &wave.next, b"");
        (status == 200).then(|| Wave::read(&bytes).unwrap())
    }

    /// Uses a URL as its holder would, after a look at what the session behind it may do at all.
    pub(crate) fn use_url(&self, method: &str, url: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let answer = self.aws.fetch(method, url, body);
        let call = self.aws.calls().pop().unwrap();
        let token = call.query("X-Amz-Security-Token").unwrap();
        let policy = self.account().sessions[token].clone();
        let statements = policy["Statement"].as_array().unwrap();
        let action = if method == "PUT" { "s3:PutObject" } else { "s3:GetObject" };
        let resource = format!("arn:aws:s3:::{}/{}", call.bucket.as_deref().unwrap(), call.key.as_deref().unwrap());
        assert_eq!((&statements[0]["Action"], &statements[0]["Resource"]), (&json!(action), &json!(resource)), "{policy}");
        assert!(statements[1..].iter().all(|also| also["Resource"] == self.deployment.key.as_deref().unwrap()), "{policy}");
        let part = call.query("partNumber").is_some() && call.query("uploadId").is_some();
        assert!(method != "PUT" || part, "the target may put parts and no object: {url}");
        assert_eq!(call.query("X-Amz-SignedHeaders"), Some("host"), "the target can send no header that was not signed: {url}");
        answer
    }

    pub(crate) fn statement(&self) -> Statement {
        serde_json::from_slice(&self.aws.object(STATEMENT).unwrap()).unwrap()
    }

    /// How many records of this phase the case has.
    pub(crate) fn records(&self, phase: &str) -> usize {
        self.aws.keys().iter().filter(|key| key.ends_with(&format!("-{phase}.json"))).count()
    }

    pub(crate) fn plan(&self) -> Plan {
        serde_json::from_value(self.plan.clone()).unwrap()
    }

    pub(crate) fn clients(&self) -> Clients {
        let config = self.aws.resending(self.attempts);
        Clients {
            ssm: aws_sdk_ssm::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            store: handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
            deployment: self.deployment.clone(),
            config,
        }
    }
}

/// The command that a look knows.
pub(crate) fn command(capture: &Capture) -> Option<&str> {
    capture.progress.as_ref().and_then(|progress| progress.command_id.as_deref())
}

pub(crate) fn time(second: i64) -> Timestamp {
    BEGUN.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(second)
}

fn plan() -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": BEGUN,
        "finding": {"source": "guardDuty", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333",
            "region": "eu-central-1", "firstSeen": "2026-11-24T03:00:00Z", "updatedAt": "2026-11-24T03:20:00Z"},
        "target": {"instanceId": "i-0abc1234def567890", "account": "111122223333", "region": "eu-central-1", "state": "running",
            "interfaces": [], "volumes": [], "profile": null, "spot": false, "architecture": "x86_64", "windows": false,
            "memoryMib": 16, "metadata": null},
        "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"},
        "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "quarantine", "reason": "text"},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null, "risks": []})
}

impl Account {
    pub(crate) fn answer(&mut self, call: &Call) -> Answer {
        let asked = call.json();
        match call.action.as_str() {
            "sts:AssumeRole" => {
                let token = format!("session-token-{}", self.sessions.len() + 1);
                self.sessions.insert(token.clone(), serde_json::from_str(call.param("Policy").unwrap_or("null")).unwrap());
                let ends = time(self.now + 3600).strftime("%Y-%m-%dT%H:%M:%SZ");
                Answer::xml(format!(
                    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                     <AccessKeyId>ASIASESSION</AccessKeyId><SecretAccessKey>session-secret</SecretAccessKey>\
                     <SessionToken>{token}</SessionToken><Expiration>{ends}</Expiration></Credentials></AssumeRoleResult>\
                     </AssumeRoleResponse>"
                ))
            }
            "ssm:DescribeInstanceInformation" if self.ping.is_empty() => Answer::json(json!({"InstanceInformationList": []})),
            "ssm:DescribeInstanceInformation" => Answer::json(json!({"InstanceInformationList": [
                {"InstanceId": asked["Filters"][0]["Values"][0], "PingStatus": self.ping, "PlatformType": self.platform}]})),
            "ssm:GetDocument" => Answer::json(json!({"Name": asked["Name"], "DocumentVersion": "3", "Content": self.content})),
            "ssm:DescribeDocument" => {
                let hash = incident::text::sha256(self.content.as_bytes());
                Answer::json(
                    json!({"Document": {"Name": asked["Name"], "DocumentVersion": asked["DocumentVersion"], "Hash": hash}}),
                )
            }
            "ssm:SendCommand" => {
                let mut command = asked;
                command["CommandId"] = json!(format!("00000000-0000-0000-0000-{:012}", self.commands.len() + 1));
                self.commands.push(command.clone());
                Answer::json(json!({"Command": command}))
            }
            "ssm:ListCommands" => {
                let newest_first: Vec<&Value> = self.commands.iter().rev().collect();
                Answer::json(json!({"Commands": newest_first}))
            }
            "ssm:GetCommandInvocation" => {
                if !self.commands.iter().any(|command| command["CommandId"] == asked["CommandId"]) {
                    return Answer::json_error(400, "InvocationDoesNotExist", "");
                }
                let (status, output, errors) = &self.ended;
                Answer::json(json!({"CommandId": asked["CommandId"], "Status": status, "StatusDetails": status,
                    "StandardOutputContent": output, "StandardErrorContent": errors}))
            }
            _ => {
                self.cancelled.push(asked["CommandId"].as_str().unwrap_or_default().to_owned());
                "Cancelled".clone_into(&mut self.ended.0);
                Answer::json("{}")
            }
        }
    }
}
