//! A small AWS on loopback, for the real binary: one parameter, one bucket with versions, two state machines, one key and two
//! functions. It answers what it is asked and keeps what it was asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use aws_smithy_types::base64;
use serde_json::{Value, json};

pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const STS_HOST: &str = "sts.eu-central-1.amazonaws.com";
pub(crate) const FUNCTION: &str = "cordon-permission:live";
pub(crate) const ISOLATE: &str = "cordon-isolate:live";
pub(crate) const RELEASES: &str = "arn:aws:states:eu-central-1:111122223333:stateMachine:cordon-release";
const BUCKET: &str = "evidence";

/// The versions of one key with their ids, the newest first; without bytes it is a delete marker.
type Versions = Vec<(String, Option<Vec<u8>>)>;

/// What an execution that is started does before it has ended; it is given its ARN.
type Run = Box<dyn FnMut(&mut Account, &str) + Send>;

/// What the account holds.
#[derive(Default)]
pub(crate) struct Account {
    objects: BTreeMap<String, Versions>,
    /// ARN, status, seconds since the epoch; the newest first.
    pub(crate) executions: Vec<(String, &'static str, i64)>,
    /// Whether the function failed, and its payload.
    pub(crate) answer: Option<(bool, Value)>,
    /// The public key (DER).
    pub(crate) key: Vec<u8>,
    /// A key whose download breaks off.
    pub(crate) breaks: Option<String>,
    /// An older deployment has no function that takes answers, and nothing that releases.
    pub(crate) old: bool,
    /// What `StartExecution` was given, in order.
    pub(crate) started: Vec<Value>,
    /// What executions that are started do.
    pub(crate) runs: Option<Run>,
    /// How they end: fields of `DescribeExecution`.
    pub(crate) end: Value,
    /// They run until as many were asked for.
    pub(crate) ends_after: usize,
    /// Each that was started: its ARN and input.
    inputs: Vec<(String, Value)>,
    /// Keys that nobody may read.
    pub(crate) secret: Vec<String>,
    /// What the function was given, by its name.
    pub(crate) invoked: Vec<(String, Value)>,
}

#[derive(Clone)]
pub(crate) struct Aws {
    address: SocketAddr,
    account: Arc<Mutex<Account>>,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    target: String,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Says more than is sent.
    broken: bool,
}

impl Aws {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let account = Arc::new(Mutex::new(Account { key: vec![0], ..Account::default() }));
        let shared = Arc::clone(&account);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let account = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &account));
            }
        });
        Self { address, account }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Account)) {
        change(&mut self.account.lock().unwrap());
    }

    /// Puts one more version of an object.
    pub(crate) fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        self.change(|account| account.version(key, Some(bytes.as_ref().to_vec())));
    }

    /// Lays a delete marker on an object.
    pub(crate) fn delete(&self, key: &str) {
        self.change(|account| account.version(key, None));
    }

    pub(crate) fn invoked(&self) -> Vec<(String, Value)> {
        self.account.lock().unwrap().invoked.clone()
    }

    /// What `StartExecution` was given.
    pub(crate) fn started(&self) -> Vec<Value> {
        self.account.lock().unwrap().started.clone()
    }

    /// Runs `cordon` as somebody who has logged in.
    pub(crate) fn cordon(&self, arguments: &[&str]) -> Output {
        self.cordon_as(arguments, &[])
    }

    pub(crate) fn cordon_as(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        self.command(arguments, environment).output().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
        command.args(arguments).env_clear();
        for (name, value) in [
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL", &format!("http://{}", self.address)),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", REGION),
            ("AWS_MAX_ATTEMPTS", "1"),
        ] {
            command.env(name, value);
        }
        command.envs(environment.iter().copied());
        command
    }
}

impl Account {
    pub(crate) fn version(&mut self, key: &str, bytes: Option<Vec<u8>>) {
        let versions = self.objects.entry(key.to_owned()).or_default();
        versions.insert(0, (format!("v{}", versions.len() + 1), bytes));
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.target.as_str(), request.path.as_str()) {
            ("AmazonSSM.GetParameter", _) => {
                Answer::json(&json!({"Parameter": {"Name": asked["Name"], "Value": self.deployment()}}))
            }
            ("AWSStepFunctions.ListExecutions", _) => self.list_executions(&asked),
            ("AWSStepFunctions.DescribeExecution", _) => self.describe_execution(&asked),
            ("AWSStepFunctions.StartExecution", _) => self.start_execution(&asked),
            ("AWSStepFunctions.GetExecutionHistory", _) => Answer::json(&json!({"events": []})),
            ("TrentService.GetPublicKey", _) => Answer::json(&json!({"PublicKey": base64::encode(&self.key)})),
            (_, path) if path.starts_with("/2015-03-31/functions/") => self.invoke(path, asked),
            (_, path) if request.method == "GET" => match path.strip_prefix(&format!("/{BUCKET}")) {
                Some("" | "/") if request.query.contains_key("versions") => self.list_versions(&request.query),
                Some("" | "/") => self.list_objects(&request.query),
                Some(key) => self.get(key.trim_start_matches('/'), request.query.get("versionId")),
                None => Answer::error(404, "NoSuchBucket"),
            },
            _ => Answer::error(400, "Unknown"),
        }
    }

    fn deployment(&self) -> String {
        let mut deployment = json!({"stateMachineArn": "arn:aws:states:eu-central-1:111122223333:stateMachine:cordon-incident",
            "bucket": BUCKET, "signingKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/k"});
        if !self.old {
            deployment["permissionFunction"] = json!(FUNCTION);
            deployment["stsHost"] = json!(STS_HOST);
            deployment["releaseStateMachine"] = json!(RELEASES);
            deployment["isolateFunction"] = json!(ISOLATE);
        }
        deployment.to_string()
    }

    fn invoke(&mut self, path: &str, asked: Value) -> Answer {
        let name = path.trim_start_matches("/2015-03-31/functions/").trim_end_matches("/invocations").to_owned();
        self.invoked.push((name, asked));
        let (failed, payload) = self.answer.clone().unwrap();
        let mut answer = Answer::json(&payload);
        answer.headers.extend(failed.then(|| ("X-Amz-Function-Error", "Unhandled".to_owned())));
        answer
    }

    /// As Step Functions does: one that runs is found again by its name and input, and no name is given twice.
    fn start_execution(&mut self, asked: &Value) -> Answer {
        self.started.push(asked.clone());
        let name = asked["name"].as_str().map_or_else(|| format!("unnamed-{}", self.started.len()), str::to_owned);
        let arn = format!("{}:{name}", asked["stateMachineArn"].as_str().unwrap().replace(":stateMachine:", ":execution:"));
        let running = self.started.len() <= self.ends_after;
        match self.inputs.iter().find(|(there, _)| *there == arn) {
            Some((_, input)) if running && *input == asked["input"] => {}
            Some(_) => return Answer { status: 400, ..Answer::json(&json!({"__type": "ExecutionAlreadyExists"})) },
            None => {
                self.inputs.push((arn.clone(), asked["input"].clone()));
                if let Some(mut run) = self.runs.take() {
                    run(self, &arn);
                    self.runs = Some(run);
                }
            }
        }
        Answer::json(&json!({"executionArn": arn, "startDate": 0}))
    }

    /// Two on a page.
    fn list_executions(&self, asked: &Value) -> Answer {
        let machine = asked["stateMachineArn"].as_str().unwrap().replace(":stateMachine:", ":execution:");
        let wanted = |arn: &str, status: &str| {
            arn.starts_with(&format!("{machine}:")) && asked["statusFilter"].as_str().is_none_or(|filter| filter == status)
        };
        let all: Vec<_> = self.executions.iter().filter(|(arn, status, _)| wanted(arn, status)).collect();
        let from: usize = asked["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let page = all.iter().skip(from).take(2);
        let page: Vec<Value> = page
            .map(|(arn, status, start)| {
                json!({"executionArn": arn, "stateMachineArn": asked["stateMachineArn"], "name": "n", "status": status, "startDate": start})
            })
            .collect();
        let next = (all.len() > from + 2).then(|| (from + 2).to_string());
        Answer::json(&json!({"executions": page, "nextToken": next}))
    }

    fn describe_execution(&self, asked: &Value) -> Answer {
        if self.inputs.iter().any(|(arn, _)| asked["executionArn"] == **arn) {
            let mut told =
                json!({"executionArn": asked["executionArn"], "stateMachineArn": RELEASES, "status": "RUNNING", "startDate": 0});
            if self.started.len() >= self.ends_after {
                told.as_object_mut().unwrap().extend(self.end.as_object().unwrap().clone());
            }
            return Answer::json(&told);
        }
        let found = self.executions.iter().find(|(arn, ..)| asked["executionArn"] == **arn);
        let Some((arn, status, start)) = found else {
            return Answer { status: 400, ..Answer::json(&json!({"__type": "ExecutionDoesNotExist"})) };
        };
        Answer::json(&json!({"executionArn": arn, "stateMachineArn": "m", "status": status, "startDate": start}))
    }

    fn get(&self, key: &str, version: Option<&String>) -> Answer {
        if self.secret.iter().any(|secret| key.ends_with(secret.as_str())) {
            return Answer::error(403, "AccessDenied");
        }
        let versions = self.objects.get(key).map(Vec::as_slice).unwrap_or_default();
        let found = match version {
            Some(id) => versions.iter().find(|(version, _)| version == id),
            None => versions.first(),
        };
        match found {
            Some((_, Some(bytes))) => {
                Answer { status: 200, headers: Vec::new(), body: bytes.clone(), broken: self.breaks.as_deref() == Some(key) }
            }
            _ => Answer::error(404, "NoSuchKey"),
        }
    }

    /// Three on a page.
    fn list_objects(&self, query: &BTreeMap<String, String>) -> Answer {
        let (prefix, delimiter) = (query["prefix"].as_str(), query.get("delimiter"));
        let mut entries = Vec::new();
        let there = self.objects.iter().filter(|(_, versions)| versions.first().is_some_and(|(_, bytes)| bytes.is_some()));
        for (key, _) in there.filter(|(key, _)| key.starts_with(prefix)) {
            let folder = delimiter.and_then(|_| key[prefix.len()..].find('/')).map(|end| &key[..=prefix.len() + end]);
            let entry = match folder {
                Some(folder) => format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", xml(folder)),
                None => format!("<Contents><Key>{}</Key></Contents>", xml(key)),
            };
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        let from: usize = query.get("continuation-token").map_or(0, |token| token.parse().unwrap());
        let more = entries.len() > from + 3;
        let mut body: String = entries.into_iter().skip(from).take(3).collect();
        write!(body, "<IsTruncated>{more}</IsTruncated>").unwrap();
        if more {
            write!(body, "<NextContinuationToken>{}</NextContinuationToken>", from + 3).unwrap();
        }
        Answer::xml("ListBucketResult", &body)
    }

    fn list_versions(&self, query: &BTreeMap<String, String>) -> Answer {
        let mut body = String::new();
        for (key, versions) in self.objects.iter().filter(|(key, _)| key.starts_with(query["prefix"].as_str())) {
            for (id, bytes) in versions {
                let kind = if bytes.is_some() { "Version" } else { "DeleteMarker" };
                write!(body, "<{kind}><Key>{}</Key><VersionId>{id}</VersionId></{kind}>", xml(key)).unwrap();
            }
        }
        Answer::xml("ListVersionsResult", &format!("{body}<IsTruncated>false</IsTruncated>"))
    }
}

fn xml(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || "<>&".contains(c) { format!("&#{};", u32::from(c)) } else { c.to_string() })
        .collect()
}

impl Answer {
    fn json(value: &Value) -> Self {
        let headers = vec![("Content-Type", "application/x-amz-json-1.1".to_owned())];
        Self { status: 200, headers, body: value.to_string().into_bytes(), broken: false }
    }

    fn xml(root: &str, body: &str) -> Self {
        let body = format!("<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{body}</{root}>");
        Self { status: 200, headers: Vec::new(), body: body.into_bytes(), broken: false }
    }

    fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code></Error>").into_bytes();
        Self { status, headers: Vec::new(), body, broken: false }
    }
}

/// One request for each connection.
fn serve(mut stream: TcpStream, account: &Mutex<Account>) {
    let Some(request) = read(&stream) else { return };
    let answer = account.lock().unwrap().answer(&request);
    let length = answer.body.len() + usize::from(answer.broken);
    let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n", answer.status);
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer.body));
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, address) = (words.next()?, words.next()?);
    let (mut length, mut target) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "x-amz-target" => value.clone_into(&mut target),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = address.split_once('?').unwrap_or((&address, ""));
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    Some(Request { method, path: decoded(path), query, target, body })
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| std::str::from_utf8(&after[..2]).unwrap());
        bytes.push(escaped.map_or(*first, |hex| u8::from_str_radix(hex, 16).unwrap()));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap()
}
