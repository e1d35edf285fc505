//! The last word: for an execution that failed, timed out or was aborted, close the door, close the case, tell people.
//!
//! INVARIANT: one part that fails stops no other; only the telling must go through, and EventBridge tries that again.

use aws_sdk_lambda::primitives::Blob;
use handler::failed;
use incident::evidence::{Closed, Containment, Failure};
use incident::release::{CheckVerdict, Checked, ReleasePlan};
use incident::text::bounded;
use incident::{ExecutionArn, Visit, case};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::locate::{self, Case};
use crate::{Clients, CloseInput, Error, close, evidence, failure, release};

/// The name that the last word has in visits, where a state has its own.
pub(crate) const LAST_WORD: &str = "LastWord";

/// "Step Functions Execution Status Change". Unknown fields are AWS's to add.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// When the execution ended.
    pub time: Timestamp,
    /// How.
    pub detail: Detail,
}

/// How an execution ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// Which.
    pub execution_arn: ExecutionArn,
    /// `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub status: String,
    /// Its input as JSON text; absent where it is too large for an event. Hostile.
    #[serde(default)]
    pub input: Option<String>,
    /// The error's name.
    #[serde(default)]
    pub error: Option<String>,
    /// What was said. Hostile.
    #[serde(default)]
    pub cause: Option<String>,
}

/// Says whether there was anything to say.
pub(crate) async fn speak(clients: &Clients, event: Event) -> Result<bool, Error> {
    let visit =
        Visit { execution: event.detail.execution_arn.clone(), state: LAST_WORD.to_owned(), entered: event.time, retry: 0 };
    let failure = Failure {
        state: "Execution".to_owned(),
        error: bounded(event.detail.error.as_deref().unwrap_or(&event.detail.status), 256),
        cause: bounded(
            &format!("{}: {}", event.detail.status, event.detail.cause.as_deref().unwrap_or("no cause was given")),
            2_000,
        ),
    };
    let input = execution_input(clients, &event).await;
    if let Some(release) = logged("find the release", release::of(clients, &visit, &input).await).flatten() {
        return Box::pin(of_release(clients, visit, input, release, failure)).await;
    }
    let case = logged("find the case", Box::pin(locate::find(clients, &visit, None, &input)).await).flatten();
    let closed = match &case {
        Some(case) => logged("read the closing manifest", close::closed(case).await).flatten(),
        None => None,
    };
    let done = case.is_none() || closed.is_some();
    if done && told(clients, &visit).await {
        return Ok(false);
    }
    let mut end = End::default();
    if let (None, Some(case)) = (&closed, &case) {
        end.containment = shut_door(clients, case, &visit, &failure).await;
        let recorded = Box::pin(failure::record(clients, &visit, case.plan.clone(), &failure, &input)).await;
        logged("record the failure", recorded);
    }
    let closing = CloseInput {
        visit: visit.clone(),
        plan: case.as_ref().and_then(|case| case.plan.clone()).map(Box::new),
        containment: end.containment.clone(),
        protection: None,
        denial: None,
        freeze: None,
        opening: Value::Null,
        preserved: None,
        copies: None,
        memory: None,
        lockdown: None,
        context: None,
        sealed: None,
        permission: None,
        termination: None,
        failure: Some(failure.clone()),
        input: input.clone(),
    };
    end.closed = logged("close the case", Box::pin(close::close(clients, closing)).await);
    let sealed = match &case {
        Some(case) => logged("read the seal", evidence::sealed(clients, case).await).flatten(),
        None => None,
    };
    // What the run itself sealed is what people must hear, also where it only failed to tell.
    let manifest = match &case {
        Some(case) => logged("read the evidence manifest", evidence::manifest(case).await).flatten(),
        None => None,
    };
    let manifest = manifest.as_ref();
    end.containment = end.containment.or_else(|| manifest?.containment.clone());
    let told: Result<Value, Error> = invoke(
        clients,
        "NOTIFY_FUNCTION_ARN",
        clients.settings.notify.as_deref(),
        &json!({
            "mode": "failed",
            "visit": visit,
            "plan": case.as_ref().and_then(|case| case.plan.as_ref()),
            "containment": end.containment,
            "protection": manifest.and_then(|manifest| manifest.protection.as_ref()),
            "denial": manifest.and_then(|manifest| manifest.denial.as_ref()),
            "freeze": null,
            "opening": null,
            "preserved": null,
            "memory": manifest.and_then(|manifest| manifest.memory.as_ref()),
            "lockdown": manifest.and_then(|manifest| manifest.lockdown.as_ref()),
            "context": manifest.and_then(|manifest| manifest.context.as_ref()),
            "sealed": sealed,
            "closed": end.closed,
            "failure": failure,
            "input": input,
        }),
    )
    .await;
    told.map(|_| true)
}

/// The same for a release. There is no door to close: what it had not given back yet stays contained.
async fn of_release(
    clients: &Clients,
    visit: Visit,
    request: Value,
    release: Option<ReleasePlan>,
    failure: Failure,
) -> Result<bool, Error> {
    let end = release::End {
        visit: visit.clone(),
        release: release.clone(),
        released: None,
        denial: None,
        failure: Some(failure.clone()),
    };
    // Also where people were told: then it may be the seal that failed. What is closed already stays as it is.
    let closed = logged("close the release's file", Box::pin(release::close(clients, end)).await);
    if told(clients, &visit).await {
        return Ok(false);
    }
    let checked = release.map(|plan| Checked { verdict: CheckVerdict::Release, reasons: Vec::new(), plan: Some(plan) });
    let told: Result<Value, Error> = invoke(
        clients,
        "NOTIFY_FUNCTION_ARN",
        clients.settings.notify.as_deref(),
        &json!({
            "mode": "released", "visit": visit, "request": request, "checked": checked, "denial": null, "released": null,
            "closed": closed, "failure": failure,
        }),
    )
    .await;
    told.map(|_| true)
}

/// What the last word could still do.
#[derive(Debug, Default)]
struct End {
    containment: Option<Containment>,
    closed: Option<Closed>,
}

/// The execution's input: from the event, else from Step Functions; text where it is no JSON.
async fn execution_input(clients: &Clients, event: &Event) -> Value {
    let text = if let Some(text) = &event.detail.input {
        Some(text.clone())
    } else {
        let describe = clients.sfn.describe_execution().execution_arn(event.detail.execution_arn.as_str());
        let answer = describe.send().await.map_err(failed("states:DescribeExecution")).map_err(Error::from);
        logged("read the execution's input", answer).and_then(|answer| answer.input)
    };
    text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn told(clients: &Clients, visit: &Visit) -> bool {
    let there = clients.store.get(&case::told(&visit.execution)).await.map_err(Error::from);
    logged("read whether people were told", there).flatten().is_some()
}

async fn shut_door(clients: &Clients, case: &Case, visit: &Visit, failure: &Failure) -> Option<Containment> {
    let plan = case.plan.as_ref()?;
    // A state of its own, so that Isolate's records never meet ours under one name; and a retry that tells it that nobody
    // will run it again, so that it answers with what it could read.
    let visit = Visit { state: format!("{LAST_WORD}CloseDoor"), retry: 3, ..visit.clone() };
    let payload = json!({ "mode": "close-door", "visit": visit, "plan": plan, "failure": failure });
    logged("close the door", invoke(clients, "CLOSE_DOOR_FUNCTION_ARN", clients.settings.close_door.as_deref(), &payload).await)
}

/// Runs a function and waits for its answer.
async fn invoke<T: DeserializeOwned>(
    clients: &Clients,
    name: &'static str,
    arn: Option<&str>,
    payload: &Value,
) -> Result<T, Error> {
    let arn = arn.ok_or(Error::NotSet(name))?;
    let invoke = clients.lambda.invoke().function_name(arn).payload(Blob::new(payload.to_string()));
    let answer = invoke.send().await.map_err(failed("lambda:InvokeFunction"))?;
    let bytes = answer.payload.map(Blob::into_inner).unwrap_or_default();
    let said = || bounded(&String::from_utf8_lossy(&bytes), 600);
    if answer.function_error.is_some() {
        return Err(Error::Function { function: name, message: said() });
    }
    serde_json::from_slice(&bytes).map_err(|_| Error::Function { function: name, message: said() })
}

/// What went well; what did not goes into the log.
fn logged<T>(what: &str, result: Result<T, Error>) -> Option<T> {
    result.inspect_err(|error| tracing::error!(%error, "the last word could not {what}")).ok()
}
