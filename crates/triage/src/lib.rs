//! Triage: from a finding to a plan, or to the reason why nothing is done.
//!
//! Sequential round trips to a plan: look (policy, target), claim (claim, brake's mark, earlier case, group; beside them the
//! endpoints, routes and prefix list that memory could be collected through), count (the brake's marks; beside them what the
//! endpoints' groups admit), save (`finding.json`, `before.json`, `plan.json`, first case). The claim comes after every refusal, so
//! that what never acts never writes.
//!
//! INVARIANT: safe to run twice. The claim of the same execution is ours; the plan and what was before are written once,
//! and an attempt that finds them goes on with them. A dry run, a refusal and a finding about elsewhere write nothing.

mod around;
mod claims;
mod look;
pub mod path;
pub mod plan;
pub mod rules;
mod save;

pub use look::Seen;

use futures_util::future::{join, join_all, try_join, try_join4};
use handler::{AwsError, Store, StoreError, failed};
use incident::finding::{FindingError, Trigger, fan_out, parse};
use incident::plan::CollectionPath;
use incident::policy::Policy;
use incident::text::{bounded, sha256};
use incident::triage::{Triaged, Verdict};
use incident::{CaseId, Classify, ExecutionArn, Fault, InstanceId, Visit};
use serde::Deserialize;
use serde_json::Value;

use claims::Claimed;
use plan::{Counted, Facts};

/// What the state machine gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Where we are.
    pub visit: Visit,
    /// The execution's input, as it came.
    pub input: Value,
}

/// What the step gives back.
pub type Output = Triaged;

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Looks at the target.
    pub ec2: aws_sdk_ec2::Client,
    /// Looks at owners of claims, and starts the executions of a finding with several instances.
    pub sfn: aws_sdk_sfn::Client,
    /// Reads the policy.
    pub ssm: aws_sdk_ssm::Client,
    /// The evidence bucket.
    pub store: Store,
    /// The policy's parameter.
    pub policy_parameter: String,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input has a wrong shape.
    #[error(transparent)]
    Finding(#[from] FindingError),
    /// AWS said no.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The case file could not be written.
    #[error(transparent)]
    Store(StoreError),
    /// Somebody else was faster, or the owner is just closing.
    #[error("the claim on the target changed while it was read: try again")]
    Race,
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Finding(_) => Fault::Invalid,
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Race => Fault::Transient,
        }
    }
}

/// Decides, and where it decides to respond, claims the target and makes the plan durable.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    let Input { visit, input } = input;
    let trigger = parse(&input, &visit.execution)?;
    tracing::info!(execution = %visit.execution, instances = trigger.instances.len(), "triage");
    if let Some(reason) = rules::never_acts(&trigger) {
        return Ok(verdict(Verdict::Ignored, &trigger, &reason));
    }
    // Findings of several accounts behind one click are each looked at by the execution of their instance.
    if let Some(reason) = rules::elsewhere(&trigger, &visit.execution)
        && trigger.security_hub.as_ref().is_none_or(|hub| hub.findings <= 1 || trigger.instances.len() == 1)
    {
        return Ok(Triaged { tell: true, ..verdict(Verdict::Elsewhere, &trigger, &reason) });
    }
    // Boxed, since the type of everything that may be awaited is too deep for the compiler otherwise.
    match trigger.instances.as_slice() {
        [instance] => Box::pin(one(clients, &visit, &input, &trigger, instance)).await,
        _ => Box::pin(several(clients, &visit, &input, &trigger)).await,
    }
}

async fn one(clients: &Clients, visit: &Visit, input: &Value, trigger: &Trigger, instance: &InstanceId) -> Result<Output, Error> {
    let ((policy, source), seen) =
        try_join(look::policy(clients, visit.retry), look::target(clients, instance, &visit.execution)).await?;
    let refusal = rules::policy_refuses(trigger, &policy).or_else(|| rules::drill_refuses(trigger, &seen.tags));
    if let Some(reason) = refusal {
        return Ok(verdict(Verdict::Ignored, trigger, &reason));
    }
    let case = CaseId::new(instance, &visit.execution);
    let braked = !trigger.summary.source.is_person() && seen.target.state.is_alive();
    let facts = |counted, earlier_case, (path, memory_mib)| {
        let (case, policy, source, seen) = (&case, &policy, &source, &seen);
        plan::plan(&Facts { case, visit, trigger, policy, source, seen, counted, path, memory_mib, earlier_case })
    };
    let around = Box::pin(around(clients, &policy, &seen));
    if trigger.dry_run {
        let (earlier, around) = join(save::earlier_case(clients, &seen, &case), around).await;
        let earlier = earlier?;
        let reason = "a dry run: this is what would be done; nothing was written or changed".to_owned();
        let output = verdict(Verdict::DryRun, trigger, &reason);
        return Ok(Triaged { case_id: Some(case.clone()), plan: Some(facts(Counted::default(), earlier, around)), ..output });
    }
    // A target that a tag protects is not cut without a person, so that it does not count for the brake.
    let marks = braked && plan::protection(&policy, &seen.tags).is_empty();
    let claiming = async {
        let (claimed, mark, earlier, group) = try_join4(
            claims::claim(clients, visit, instance, &case, trigger, input),
            async { if marks { counted(visit, save::mark(clients, visit, &case).await) } else { Ok(Some(())) } },
            save::earlier_case(clients, &seen, &case),
            async {
                if braked { counted(visit, look::group(clients, &seen).await.map_err(Error::from)) } else { Ok(Some((0, 0))) }
            },
        )
        .await?;
        let owned = claimed == Claimed::Ours;
        let others = if braked && owned { counted(visit, save::marked(clients, visit, &case).await)? } else { Some(0) };
        Ok::<_, Error>((claimed, mark, earlier, group, others))
    };
    let (claiming, around) = join(Box::pin(claiming), around).await;
    let (claimed, mark, earlier, group, others) = claiming?;
    if let Claimed::Joined(claim) = claimed {
        let worse = trigger.summary.severity > claim.severity;
        let reason = format!("the case {} of this target is open; the finding was added to it", claim.case_id);
        let output = verdict(Verdict::Joined, trigger, &reason);
        return Ok(Triaged { tell: worse, case_id: Some(claim.case_id), owner: Some(claim.execution_arn), ..output });
    }
    let uncounted = mark.is_none() || group.is_none() || others.is_none();
    let (members, contained) = group.unwrap_or_default();
    let plan = facts(Counted { others: others.unwrap_or_default(), members, contained, uncounted }, earlier, around);
    let plan = save::all(clients, visit, input, plan).await?;
    let output = verdict(Verdict::Respond, trigger, &format!("the case {case} is open"));
    Ok(Triaged { case_id: Some(case.clone()), plan: Some(plan), ..output })
}

/// The way for memory to be collected, or why there is none, and the memory of the target's type. Looked for only where
/// memory is wanted.
async fn around(clients: &Clients, policy: &Policy, seen: &Seen) -> (Result<CollectionPath, String>, Option<u64>) {
    if let Err((_, reason)) = path::wanted(policy, &seen.target) {
        return (Err(reason), None);
    }
    let (around, memory) = around::look(&clients.ec2, seen, &seen.target.region).await;
    let bucket = &clients.store.bucket;
    let found = match (&seen.primary, around) {
        (Some(primary), Ok(around)) => path::path(primary, &around, bucket),
        (_, Err(reason)) => Err(reason),
        (None, Ok(_)) => Err("the primary interface is not known".to_owned()),
    };
    (found, memory)
}

/// What the brake counts. Where it cannot, the machine tries twice more; then the brake does not hold, and the plan says so:
/// a target must not stay open because nobody could count the others.
fn counted<T>(visit: &Visit, result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.fault() == Fault::Transient && visit.retry < 2 => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the brake cannot count");
            Ok(None)
        }
        Ok(count) => Ok(Some(count)),
    }
}

/// One execution for each instance; beyond the policy's number a person is asked first, and nothing is started.
async fn several(clients: &Clients, visit: &Visit, input: &Value, trigger: &Trigger) -> Result<Output, Error> {
    let (policy, _): (Policy, _) = look::policy(clients, visit.retry).await?;
    if let Some(reason) = rules::policy_refuses(trigger, &policy) {
        return Ok(verdict(Verdict::Ignored, trigger, &reason));
    }
    let count = trigger.instances.len();
    if count > usize::from(policy.fan_out) {
        let limit = policy.fan_out;
        let reason = format!(
            "the finding names {count} instances, the policy allows {limit} without a person: respond to each by a request of your own"
        );
        return Ok(Triaged { tell: true, ..verdict(Verdict::Ask, trigger, &reason) });
    }
    let started = join_all(trigger.instances.iter().map(|instance| start(clients, visit, input, trigger, instance))).await;
    let executions = started.into_iter().collect::<Result<Vec<_>, _>>()?;
    let reason = format!("the finding names {count} instances: one execution was started for each");
    Ok(Triaged { executions, ..verdict(Verdict::FannedOut, trigger, &reason) })
}

/// Starts the execution of one instance. Its name makes a second start find the first.
async fn start(
    clients: &Clients,
    visit: &Visit,
    input: &Value,
    trigger: &Trigger,
    instance: &InstanceId,
) -> Result<String, AwsError> {
    let digest = sha256(format!("{}{}", trigger.summary.id, trigger.summary.updated_at).as_bytes());
    let name = format!("{}-{instance}", digest.chars().take(12).collect::<String>());
    let own = &visit.execution;
    let machine = machine(own);
    let event = fan_out(instance, input).to_string();
    let answer = clients.sfn.start_execution().state_machine_arn(&machine).name(&name).input(event).send().await;
    match answer.map_err(failed("states:StartExecution")) {
        Ok(answer) => Ok(answer.execution_arn),
        Err(error) if error.is("ExecutionAlreadyExists") => {
            Ok(format!("{}:{name}", machine.replacen(":stateMachine:", ":execution:", 1)))
        }
        Err(error) => Err(error),
    }
}

/// The state machine's ARN, from an execution's: so that function and machine can name each other without a cycle.
fn machine(execution: &ExecutionArn) -> String {
    let arn = execution.as_str().rsplit_once(':').map_or("", |(arn, _)| arn);
    arn.replacen(":execution:", ":stateMachine:", 1)
}

fn verdict(verdict: Verdict, trigger: &Trigger, reason: &str) -> Triaged {
    Triaged {
        verdict,
        tell: false,
        reason: bounded(reason, 600),
        case_id: None,
        plan: None,
        finding: Some(trigger.summary.clone()),
        owner: None,
        executions: Vec::new(),
    }
}
