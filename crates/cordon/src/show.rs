//! `cordon show`: what is known of a case.
//!
//! A closed case tells itself, in its report. Of an open one the plan, the evidence manifest and the records tell what there is.

mod print;
mod terminated;

use aws_config::SdkConfig;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::stream::{self, StreamExt as _};
use incident::context::Context;
use incident::evidence::{Capture, Containment, Denial, Failure, Lockdown, Missing, Permission, Termination};
use incident::manifest::{ClosingManifest, EvidenceManifest, SealedSnapshot};
use incident::permission::Answered;
use incident::plan::Plan;
use incident::protection::Protection;
use incident::record::Record;
use incident::release::ReleasePlan;
use incident::report::{self, Action};
use incident::risk::Risk;
use incident::text::sha256;
use incident::{CaseId, ExecutionArn, InstanceId, case};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::list::Status;
use crate::output::document;
use crate::{Arguments, Error, Show, deployment, exit};

/// How many objects are read at once.
const AT_ONCE: usize = 16;

/// Prints what is known of a case.
pub(crate) async fn run(arguments: &Arguments, given: &Show) -> Result<u8, Error> {
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let bucket = Bucket::of(&config, &found);
    if let Some(release) = bucket.document::<ReleasePlan>(&given.case, case::RELEASE).await? {
        return Box::pin(crate::release::show(arguments, &config, &bucket, &given.case, release)).await;
    }
    let known = Box::pin(know(&config, &bucket, &given.case)).await?;
    if arguments.json {
        document(&known);
    } else {
        print::print(&known);
    }
    Ok(exit::OK)
}

/// `cordon.show.v1`: what is known of a case. A field is null, or an empty list, where nothing is known of it (yet).
///
/// The fields from `closedAt` on have the form that they have in `report.json`, and those of an open case are taken from
/// `plan.json`, `manifest-evidence.json` and the records. Text of findings and targets in it is hostile: whoever shows it must
/// escape it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    schema: &'static str,
    case_id: CaseId,
    instance_id: InstanceId,
    /// `open`, `closedAsPlanned`, `closedNotAsPlanned`, or `broken`: its execution has ended and did not close it.
    status: Status,
    execution: Option<ExecutionArn>,
    /// What was sealed; null where nothing is yet.
    sealed: Option<Seal>,
    /// The answers of people, in full, by the names of their objects.
    answers: Vec<Answered>,
    /// What lies among the answers and is none.
    unreadable_answers: Vec<String>,
    #[serde(flatten)]
    told: Told,
}

/// The evidence as it was sealed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seal {
    at: Timestamp,
    /// The SHA-256 of the evidence manifest, which answers are about.
    manifest: String,
    complete: bool,
}

/// What the report says; also what is put together where there is none yet. Unknown fields are those of later versions.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    closed_at: Option<Timestamp>,
    closed_by: Option<String>,
    reasons: Vec<String>,
    failure: Option<Failure>,
    todo: Vec<String>,
    plan: Option<Plan>,
    containment: Option<Containment>,
    protection: Option<Protection>,
    denial: Option<Denial>,
    memory: Option<Capture>,
    lockdown: Option<Lockdown>,
    context: Option<Context>,
    snapshots: Vec<SealedSnapshot>,
    missing: Vec<Missing>,
    permission: Option<Permission>,
    termination: Option<Termination>,
    risks: Vec<Risk>,
    actions: Vec<Action>,
}

async fn know(config: &SdkConfig, bucket: &Bucket, case_id: &CaseId) -> Result<Known, Error> {
    let closing: Option<ClosingManifest> = bucket.document(case_id, case::CLOSING_MANIFEST).await?;
    let evidence = bucket.get(&case::key(case_id, case::EVIDENCE_MANIFEST)).await?;
    let unusable = |error: serde_json::Error| Error::Capture { file: case::EVIDENCE_MANIFEST.to_owned(), why: error.to_string() };
    let manifest: Option<EvidenceManifest> = evidence.as_deref().map(serde_json::from_slice).transpose().map_err(unusable)?;
    let (answers, unreadable_answers) = Box::pin(all::<Answered>(bucket, case_id, case::APPROVALS)).await?;
    let told: Option<Told> = bucket.document(case_id, case::REPORT).await?;
    let told = match told {
        Some(told) => told,
        None => Box::pin(open(bucket, case_id, manifest.as_ref())).await?,
    };
    if told.plan.is_none() && manifest.is_none() && closing.is_none() && Box::pin(nothing(bucket, case_id)).await? {
        return Err(Error::Empty(case_id.to_string()));
    }
    let execution = (told.plan.as_ref().map(|plan| &plan.execution))
        .or(manifest.as_ref().map(|manifest| &manifest.execution))
        .or(closing.as_ref().map(|closing| &closing.execution))
        .cloned();
    let running = closing.is_none() && Box::pin(may_run(config, execution.as_ref())).await;
    Ok(Known {
        schema: "cordon.show.v1",
        case_id: case_id.clone(),
        instance_id: case_id.instance(),
        status: Status::of(closing.map(|closing| closing.as_planned), running),
        execution,
        sealed: evidence.zip(manifest).map(|(bytes, manifest)| Seal {
            at: manifest.sealed_at,
            manifest: sha256(&bytes),
            complete: manifest.complete,
        }),
        answers,
        unreadable_answers,
        told,
    })
}

async fn nothing(bucket: &Bucket, case_id: &CaseId) -> Result<bool, Error> {
    Ok(bucket.keys(&case::prefix(case_id)).await?.is_empty())
}

/// Whether the execution may still be at work: also where nobody may say so.
pub(crate) async fn may_run(config: &SdkConfig, execution: Option<&ExecutionArn>) -> bool {
    let Some(execution) = execution else { return true };
    match aws_sdk_sfn::Client::new(config).describe_execution().execution_arn(execution.as_str()).send().await {
        Ok(answer) => matches!(answer.status, ExecutionStatus::Running | ExecutionStatus::PendingRedrive),
        Err(error) => !error.as_service_error().is_some_and(DescribeExecutionError::is_execution_does_not_exist),
    }
}

/// What the documents of an open case tell.
async fn open(bucket: &Bucket, case_id: &CaseId, manifest: Option<&EvidenceManifest>) -> Result<Told, Error> {
    let plan: Option<Plan> = bucket.document(case_id, case::PLAN).await?;
    let (records, _) = Box::pin(all::<Record>(bucket, case_id, case::RECORDS)).await?;
    let risks = plan.as_ref().map(|plan| plan.risks.clone()).unwrap_or_default();
    let mut told =
        Told { termination: terminated::from(&records), actions: report::actions(&records), plan, risks, ..Told::default() };
    if let Some(manifest) = manifest.cloned() {
        told.containment = manifest.containment;
        told.protection = manifest.protection;
        told.denial = manifest.denial;
        told.memory = manifest.memory;
        told.lockdown = manifest.lockdown;
        told.context = manifest.context;
        told.snapshots = manifest.snapshots;
        told.missing = manifest.missing;
        told.risks = manifest.risks;
        told.todo = todo(case_id, told.plan.as_ref(), manifest.complete, told.termination.is_some());
    }
    Ok(told)
}

/// What a person may have to do about a case that is sealed and not closed yet.
fn todo(case_id: &CaseId, plan: Option<&Plan>, complete: bool, begun: bool) -> Vec<String> {
    use incident::plan::DispositionPlan::{Ask, Quarantine, Terminate};
    let asks = match plan.map(|plan| &plan.disposition) {
        None | Some(Quarantine { .. }) => false,
        Some(Ask(_)) => true,
        // The policy's standing permission is void where anything is missing.
        Some(Terminate(_)) => !complete,
    };
    let question =
        format!("decide whether the target may be terminated: cordon approve {case_id}, or cordon deny {case_id} --because '…'");
    (asks && !begun).then_some(question).into_iter().collect()
}

/// Every document below a folder of the case, in the order of their names; and the names of those that are none.
async fn all<T: DeserializeOwned>(bucket: &Bucket, case_id: &CaseId, folder: &str) -> Result<(Vec<T>, Vec<String>), Error> {
    let keys = bucket.keys(&case::key(case_id, folder)).await?;
    let mut reads =
        stream::iter(keys).map(|key| Box::pin(async move { bucket.get(&key).await.map(|bytes| (key, bytes)) })).buffered(AT_ONCE);
    let (mut documents, mut others) = (Vec::new(), Vec::new());
    while let Some(read) = reads.next().await {
        let (key, bytes) = read?;
        match bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(document) => documents.push(document),
            None => others.push(key.strip_prefix(&case::prefix(case_id)).unwrap_or(&key).to_owned()),
        }
    }
    Ok((documents, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_a_later_version_is_still_read() {
        let told: Told =
            serde_json::from_value(serde_json::json!({"schema": "cordon.report.v1", "todo": ["a"], "later": {"b": 1}})).unwrap();
        assert_eq!((told.todo, told.plan.is_none()), (vec!["a".to_owned()], true));
    }
}
