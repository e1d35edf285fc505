//! Context: what AWS knows about the target, each source by itself.
//!
//! What EC2, CloudTrail, GuardDuty and the logs' settings say is kept as they said it, element by element ([`incident::context`]).
//! The sources are asked side by side, but for CloudTrail's: an account may look up two pages in a second, so that its
//! questions come one after the other.
//!
//! Safe to repeat: every object is write-once and the first writer wins; a run that finds a source in the case asks nothing
//! more about it.
//!
//! INVARIANT: no source's failure costs another source, or the case: each ends in an outcome that says why.
//! INVARIANT: every source is bounded, in calls, in bytes, and in the time of each call ([`timeouts`]).
//! INVARIANT: nothing of the account is changed, and nothing of the target: not even its screen is woken.

mod answers;
mod keep;
mod raw;
mod sources;
pub mod window;
pub mod xml;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_smithy_types::timeout::TimeoutConfig;
use futures_util::stream::{self, StreamExt as _};
use handler::{AwsError, CaseFile, Store, StoreError};
use incident::context::{Context, FOLDER, Outcome, Source};
use incident::plan::Plan;
use incident::{Classify, Fault, Visit, case};
use serde::Deserialize;
use serde_json::{Value, json};

/// From this retry on, what has come is worth more than another attempt: after the last one nobody would hear of it.
const PATIENCE: u32 = 3;
/// How many questions are asked at a time.
const AT_ONCE: usize = 4;

/// What the state machine gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What was decided.
    pub plan: Box<Plan>,
}

/// What the step gives back.
pub type Output = Context;

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The instance and what belongs to it.
    pub ec2: aws_sdk_ec2::Client,
    /// Who called what.
    pub cloudtrail: aws_sdk_cloudtrail::Client,
    /// What else was found.
    pub guardduty: aws_sdk_guardduty::Client,
    /// Where DNS queries are logged.
    pub resolver: aws_sdk_route53resolver::Client,
    /// The evidence bucket.
    pub store: Store,
}

/// Why the step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// AWS was busy.
    #[error("{source_name}: {source}")]
    Aws {
        /// What was asked for.
        source_name: &'static str,
        /// What AWS said.
        source: AwsError,
    },
    /// The case file could not be read or written in passing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws { source, .. } => source.fault(),
            Self::Store(error) => error.fault(),
        }
    }
}

/// How long one call may take, with the SDK's own attempts: a service that does not answer costs its source alone.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(8)).operation_timeout(Duration::from_secs(15)).build()
}

/// Asks every source, and keeps what it says.
///
/// Fails at first where AWS was only busy, so that it is tried again; what has come by then stays. Else it says how each ended.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    // Boxed, since the type of everything that may be awaited is too deep for the compiler otherwise.
    Box::pin(collect(clients, input)).await
}

async fn collect(clients: &Clients, input: Input) -> Result<Output, Error> {
    let Input { visit, plan } = input;
    let file = clients.store.case(&plan.case_id, plan.retention);
    let there = there(clients, &plan, visit.retry).await?;
    let run = Run { clients, plan: &plan, file, there, retry: visit.retry };
    let asked: Vec<Vec<Result<Outcome, Error>>> =
        stream::iter(lanes()).map(|lane| Box::pin(run.lane(lane))).buffer_unordered(AT_ONCE).collect().await;
    // Only now: a source that is tried again must not take another one's answer, which is on its way, with it.
    let outcomes = asked.into_iter().flatten().collect::<Result<Vec<Outcome>, Error>>()?;
    let context = Context::of(outcomes);
    let noted = run.file.recorder(&visit).note(note(&context)).await;
    if let Err(error) = settled(noted, visit.retry)? {
        tracing::warn!(%error, "what was collected is in the case, but no record says so");
    }
    Ok(context)
}

/// What is asked one after the other, beside the others.
fn lanes() -> Vec<Vec<Source>> {
    let (trail, others): (Vec<Source>, Vec<Source>) = Source::ALL.into_iter().partition(|source| source.is_trail());
    // The longest first.
    std::iter::once(trail).chain(others.into_iter().map(|source| vec![source])).collect()
}

/// The names that an earlier attempt has written.
async fn there(clients: &Clients, plan: &Plan, retry: u32) -> Result<BTreeSet<String>, Error> {
    let prefix = case::prefix(&plan.case_id);
    let keys = clients.store.keys(&format!("{prefix}{FOLDER}"), "").await.map_err(StoreError::from);
    let keys = settled(keys, retry)?.unwrap_or_else(|error| {
        // Then everything is asked again, and what is there is found when it is written.
        tracing::warn!(%error, "nobody knows what an earlier attempt has written");
        Vec::new()
    });
    Ok(keys.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect())
}

/// As those see it who watch, and as the custody chain has it.
fn note(context: &Context) -> Value {
    let outcome = |it: &Outcome| json!({"source": it.source, "status": it.status, "items": it.items, "reason": it.reason});
    json!({"context": context.status, "sources": context.sources.iter().map(outcome).collect::<Vec<_>>()})
}

/// One run over the sources.
#[derive(Debug)]
struct Run<'a> {
    clients: &'a Clients,
    plan: &'a Plan,
    file: CaseFile,
    there: BTreeSet<String>,
    retry: u32,
}

impl Run<'_> {
    async fn lane(&self, sources: Vec<Source>) -> Vec<Result<Outcome, Error>> {
        let mut ended = Vec::with_capacity(sources.len());
        for source in sources {
            ended.push(Box::pin(self.take(source)).await);
        }
        ended
    }
}

/// What there is, or why not. What may pass is a failure while there is another attempt.
fn settled<T, E: Classify>(answer: Result<T, E>, retry: u32) -> Result<Result<T, E>, E> {
    match answer {
        Err(error) if error.fault() == Fault::Transient && retry < PATIENCE => Err(error),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan, changed a little.
    pub(crate) fn plan(change: impl FnOnce(&mut Value)) -> Plan {
        let mut plan = json!({"schema": "cordon.plan.v1", "caseId": "i-0123456789abcdef0-0123456789ab",
            "execution": "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one", "opened": "2026-11-24T03:30:00Z",
            "finding": {"source": "guardDuty", "id": "f", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333",
                "region": "eu-central-1"},
            "target": {"instanceId": "i-0123456789abcdef0", "account": "111122223333", "region": "eu-central-1", "state": "running",
                "interfaces": [], "volumes": [], "profile": null, "spot": false, "architecture": "x86_64", "windows": false,
                "memoryMib": 8192, "metadata": null},
            "policy": {"from": "parameter", "name": "p", "version": 1}, "cut": {"decision": "now"},
            "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"},
            "snapshotLock": {"mode": "governance", "days": 30},
            "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
            "disposition": {"decision": "quarantine", "reason": "text"},
            "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null, "risks": []});
        change(&mut plan);
        serde_json::from_value(plan).unwrap()
    }

    #[test]
    fn every_source_is_asked_once_and_cloudtrails_one_after_the_other() {
        let lanes = lanes();
        let mut all: Vec<Source> = lanes.concat();
        all.sort();
        assert_eq!(all, Source::ALL);
        let trails: Vec<usize> = lanes.iter().map(|lane| lane.iter().filter(|source| source.is_trail()).count()).collect();
        assert_eq!(
            trails.iter().filter(|count| **count > 0).count(),
            1,
            "two lanes would share CloudTrail's two calls in a second"
        );
    }
}
