//! A small AWS: a bucket and an execution, and what happens to them with each look.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use incident::case;
use serde_json::{Value, json};

use crate::{EXECUTION, id};

/// The execution that a start makes.
pub(crate) const STARTED: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:two";

type Event = Box<dyn FnOnce(&mut Account) + Send>;

#[derive(Default)]
pub(crate) struct Account {
    objects: BTreeMap<String, Vec<u8>>,
    /// How the case's execution stands; empty where Step Functions has forgotten it.
    pub(crate) status: &'static str,
    /// What it was started with.
    pub(crate) input: Option<String>,
    /// What happens with each look at the case's execution.
    events: VecDeque<Event>,
    /// What happens when the execution is stopped.
    stopped: Vec<Event>,
    /// The calls to Step Functions that change something.
    pub(crate) calls: Vec<(String, Value)>,
    /// How often each key was read.
    pub(crate) reads: BTreeMap<String, usize>,
    /// How many listings fail.
    pub(crate) failing: usize,
}

impl Account {
    pub(crate) fn put(&mut self, name: &str, document: &Value) {
        self.put_key(&case::key(&id(), name), document);
    }

    pub(crate) fn put_key(&mut self, key: &str, document: &Value) {
        self.objects.insert(key.to_owned(), document.to_string().into_bytes());
    }

    fn answer(&mut self, target: &str, path: &str, query: &BTreeMap<String, String>, body: &[u8]) -> (u16, String) {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        match target {
            "AmazonSSM.GetParameter" => {
                let deployment = json!({"stateMachineArn": "arn:aws:states:eu-central-1:111122223333:stateMachine:cordon-incident",
                    "bucket": "evidence", "signingKeyArn": "k"});
                (200, json!({"Parameter": {"Name": "n", "Value": deployment.to_string()}}).to_string())
            }
            "AWSStepFunctions.DescribeExecution" if asked["executionArn"] == STARTED => {
                let output = json!({"asPlanned": true, "caseId": "c"}).to_string();
                let end = json!({"executionArn": STARTED, "stateMachineArn": "m", "status": "SUCCEEDED", "startDate": 0, "output": output});
                (200, end.to_string())
            }
            "AWSStepFunctions.DescribeExecution" => {
                if let Some(event) = self.events.pop_front() {
                    event(self);
                }
                if self.status.is_empty() || asked["executionArn"] != EXECUTION {
                    return (400, json!({"__type": "ExecutionDoesNotExist"}).to_string());
                }
                let execution = json!({"executionArn": EXECUTION, "stateMachineArn": "m", "status": self.status, "startDate": 0,
                    "input": self.input});
                (200, execution.to_string())
            }
            "AWSStepFunctions.StopExecution" => {
                self.calls.push((target.to_owned(), asked));
                self.status = "ABORTED";
                for event in std::mem::take(&mut self.stopped) {
                    event(self);
                }
                (200, json!({"stopDate": 0}).to_string())
            }
            "AWSStepFunctions.StartExecution" => {
                self.calls.push((target.to_owned(), asked));
                (200, json!({"executionArn": STARTED, "startDate": 0}).to_string())
            }
            "AWSStepFunctions.GetExecutionHistory" => (200, json!({"events": []}).to_string()),
            "" => self.bucket(path, query),
            _ => (400, json!({"__type": "Unknown"}).to_string()),
        }
    }

    fn bucket(&mut self, path: &str, query: &BTreeMap<String, String>) -> (u16, String) {
        let key = path.trim_start_matches("/evidence").trim_start_matches('/');
        if !key.is_empty() {
            *self.reads.entry(key.to_owned()).or_default() += 1;
            return match self.objects.get(key) {
                Some(bytes) => (200, String::from_utf8(bytes.clone()).unwrap()),
                None => (404, "<Error><Code>NoSuchKey</Code></Error>".to_owned()),
            };
        }
        if self.failing > 0 {
            self.failing -= 1;
            return (500, "<Error><Code>InternalError</Code></Error>".to_owned());
        }
        let mut body = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
        for key in self.objects.keys().filter(|key| key.starts_with(query["prefix"].as_str())) {
            write!(body, "<Contents><Key>{key}</Key></Contents>").unwrap();
        }
        (200, body + "</ListBucketResult>")
    }
}

#[derive(Clone)]
pub(crate) struct Aws {
    address: SocketAddr,
    account: Arc<Mutex<Account>>,
}

impl Aws {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let account = Arc::new(Mutex::new(Account { status: "RUNNING", ..Account::default() }));
        let shared = Arc::clone(&account);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let account = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &account));
            }
        });
        Self { address, account }
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Account) -> T) -> T {
        change(&mut self.account.lock().unwrap())
    }

    /// Puts an object of the case.
    pub(crate) fn put(&self, name: &str, document: &Value) {
        self.with(|account| account.put(name, document));
    }

    /// Something that happens with the next look at the execution that has nothing to happen yet.
    pub(crate) fn then(&self, event: impl FnOnce(&mut Account) + Send + 'static) {
        self.with(|account| account.events.push_back(Box::new(event)));
    }

    /// Something that happens when the execution is stopped.
    pub(crate) fn when_stopped(&self, event: impl FnOnce(&mut Account) + Send + 'static) {
        self.with(|account| account.stopped.push(Box::new(event)));
    }

    pub(crate) fn cordon(&self, arguments: &[&str]) -> Output {
        let endpoint = format!("http://{}", self.address);
        let environment = [
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_MAX_ATTEMPTS", "1"),
        ];
        Command::new(env!("CARGO_BIN_EXE_cordon")).args(arguments).env_clear().envs(environment).output().unwrap()
    }
}

/// One request for each connection.
fn serve(mut stream: TcpStream, account: &Mutex<Account>) {
    let Some((target, address, body)) = read(&stream) else { return };
    let (path, query) = address.split_once('?').unwrap_or((&address, ""));
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (name.to_owned(), value.replace("%2F", "/"))).collect();
    let (status, body) = account.lock().unwrap().answer(&target, path, &query, &body);
    let kind = if target.is_empty() { "application/xml" } else { "application/x-amz-json-1.1" };
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

/// The operation, the address and the body.
fn read(stream: &TcpStream) -> Option<(String, String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let address = line.split(' ').nth(1)?.to_owned();
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
    Some((target, address, body))
}
