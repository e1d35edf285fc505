//! `cordon respond`: start an incident, and follow it.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, StateEnteredEventDetails};
use incident::text::bounded;
use incident::triage::Verdict;
use serde_json::{Value, json};

use crate::output::{coloured, say};
use crate::{Arguments, Error, Respond, deployment, exit};

/// The largest input that leaves room for the visit that goes with it: a payload has 256 KiB [facts 82].
const LARGEST_INPUT: usize = 255 * 1024;
/// How often the execution is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Starts an execution, and with `--wait` follows it to its end.
pub(crate) async fn run(arguments: &Arguments, given: &Respond) -> Result<u8, Error> {
    let input = match (&given.instance, &given.event) {
        (Some(instance), _) => {
            let mut request = json!({"instanceId": instance, "reason": given.reason});
            if let (true, Some(fields)) = (given.dry_run, request.as_object_mut()) {
                fields.insert("dryRun".to_owned(), json!(true));
            }
            request
        }
        (None, Some(path)) => event(path)?,
        (None, None) => return Err(Error::Event("missing".to_owned())),
    };
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    Box::pin(start(arguments, &Client::new(&config), &found.state_machine_arn, &input.to_string(), given.wait)).await
}

/// Starts an execution of `machine` with `input`, and follows it to its end if it is to wait.
pub(crate) async fn start(arguments: &Arguments, sfn: &Client, machine: &str, input: &str, wait: bool) -> Result<u8, Error> {
    // No name: a second start is an execution of its own, and the claim on the target makes one case of both.
    let start = sfn.start_execution().state_machine_arn(machine).input(input);
    let execution = start.send().await.map_err(Error::aws("states:StartExecution"))?.execution_arn;
    if !wait {
        say(&if arguments.json { json!({"executionArn": execution}).to_string() } else { format!("started {execution}") });
        return Ok(exit::OK);
    }
    if !arguments.json {
        say(&format!("started {execution}"));
    }
    let end = Box::pin(follow(sfn, &execution, arguments.json)).await?;
    if arguments.json {
        say(&json!({"executionArn": execution, "status": end.status, "output": end.output, "cause": end.cause}).to_string());
    } else {
        say(&end.sentence());
    }
    Ok(end.exit())
}

/// Reads an event. What Step Functions would refuse is refused here, with a better message.
fn event(path: &Path) -> Result<Value, Error> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(LARGEST_INPUT as u64 + 1).read_to_string(&mut text).map(drop)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST_INPUT as u64 + 1).read_to_string(&mut text)).map(drop)
    };
    read.map_err(|why| Error::Unreadable { path: path.to_owned(), why: why.to_string() })?;
    if text.len() > LARGEST_INPUT {
        return Err(Error::Event(format!("larger than {LARGEST_INPUT} bytes; send the finding without what it quotes")));
    }
    let event: Value = serde_json::from_str(&text).map_err(|error| Error::Event(format!("not JSON: {error}")))?;
    if event.is_object() { Ok(event) } else { Err(Error::Event("not a JSON object".to_owned())) }
}

/// How an execution ended.
pub(crate) struct End {
    pub(crate) status: String,
    pub(crate) output: Value,
    pub(crate) error: String,
    pub(crate) cause: String,
}

/// Waits until an execution has ended, and prints the states that it enters unless it is to be `quiet`.
pub(crate) async fn follow(sfn: &Client, execution: &str, quiet: bool) -> Result<End, Error> {
    let mut shown = 0;
    loop {
        let look =
            sfn.describe_execution().execution_arn(execution).send().await.map_err(Error::aws("states:DescribeExecution"))?;
        if !quiet {
            shown = entered(sfn, execution, shown).await;
        }
        if look.status != ExecutionStatus::Running {
            let output = look.output.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            let (error, cause) = (look.error.unwrap_or_default(), look.cause.unwrap_or_default());
            return Ok(End { status: look.status.as_str().to_owned(), output, error, cause });
        }
        #[expect(clippy::disallowed_methods, reason = "a person waits; no function does")]
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Prints the states that were entered since event `shown`; gives the last event. A history that cannot be read is no
/// reason to stop waiting.
async fn entered(sfn: &Client, execution: &str, shown: i64) -> i64 {
    let mut pages = sfn.get_execution_history().execution_arn(execution).include_execution_data(false).into_paginator().send();
    let (mut begun, mut last) = (None, shown);
    while let Some(Ok(page)) = pages.next().await {
        for event in page.events() {
            let at = event.timestamp().as_secs_f64();
            let begun = *begun.get_or_insert(at);
            last = last.max(event.id());
            if let (true, Some(name)) = (event.id() > shown, state(event)) {
                say(&format!("{:8.1} s  {}", at - begun, bounded(name, 80)));
            }
        }
    }
    last
}

fn state(event: &HistoryEvent) -> Option<&str> {
    let name = event.state_entered_event_details().map(StateEnteredEventDetails::name)?;
    // Questions are answered by the state that follows.
    (!name.ends_with('?')).then_some(name)
}

impl End {
    fn text(&self, field: &str) -> &str {
        self.output.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn verdict(&self) -> Option<Verdict> {
        serde_json::from_value(self.output.get("verdict")?.clone()).ok()
    }

    fn as_planned(&self) -> bool {
        self.output.get("asPlanned").and_then(Value::as_bool).unwrap_or_default()
    }

    fn exit(&self) -> u8 {
        if self.status != "SUCCEEDED" {
            return exit::FAILED;
        }
        match self.verdict() {
            Some(Verdict::Ignored | Verdict::Elsewhere | Verdict::Ask) => exit::IGNORED,
            Some(Verdict::Joined) => exit::JOINED,
            Some(Verdict::DryRun | Verdict::FannedOut) => exit::OK,
            _ if self.as_planned() => exit::OK,
            _ => exit::FAILED,
        }
    }

    fn sentence(&self) -> String {
        let reason = bounded(self.text("reason"), 600);
        let (text, good) = match (self.status.as_str(), self.verdict()) {
            ("SUCCEEDED", Some(Verdict::Ignored)) => (format!("ignored: {reason}"), false),
            ("SUCCEEDED", Some(Verdict::Elsewhere)) => (format!("elsewhere, nothing was done: {reason}"), false),
            ("SUCCEEDED", Some(Verdict::Ask)) => (format!("nothing was done, decide yourself: {reason}"), false),
            ("SUCCEEDED", Some(Verdict::Joined)) => {
                (format!("joined the open case of {}", bounded(self.text("owner"), 300)), true)
            }
            ("SUCCEEDED", Some(Verdict::FannedOut)) => (format!("one execution was started for each target: {reason}"), true),
            ("SUCCEEDED", Some(Verdict::DryRun)) => {
                let plan = serde_json::to_string_pretty(self.output.get("plan").unwrap_or(&Value::Null)).unwrap_or_default();
                (format!("dry run, nothing was done: {reason}\n{plan}"), true)
            }
            ("SUCCEEDED", _) => {
                let reasons: Vec<String> = self
                    .output
                    .get("reasons")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(|reason| format!("\n  - {}", bounded(reason, 400)))
                    .collect();
                let how = if self.as_planned() { "closed as planned" } else { "closed, but NOT as planned" };
                (
                    format!(
                        "{how}: case {}, the target is {}{}",
                        self.text("caseId"),
                        self.text("containment"),
                        reasons.concat()
                    ),
                    self.as_planned(),
                )
            }
            (status, _) => (format!("the incident broke ({}): {}", bounded(status, 20), bounded(&self.cause, 600)), false),
        };
        coloured(&text, good)
    }
}
