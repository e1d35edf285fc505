//! Reads a case while it is under way: each object that never changes once.

use std::collections::BTreeSet;

use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::stream::{self, StreamExt as _};
use incident::claim::Claim;
use incident::progress::{Progress, Stage};
use incident::text::{bounded, sha256};
use incident::{CaseId, ExecutionArn, case};
use serde::Deserialize;

use super::facts::{Facts, Sealed};
use crate::Error;
use crate::bucket::Bucket;

/// How many objects are read at once.
const AT_ONCE: usize = 16;
/// How many looks at a wait are kept.
const MOST_LOOKS: usize = 200;

/// Reads one case again and again.
pub(super) struct Reader<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) sfn: &'a aws_sdk_sfn::Client,
    pub(super) case_id: &'a CaseId,
    /// The names of the records and answers that were read, also of those that say nothing.
    seen: BTreeSet<String>,
    execution: Option<ExecutionArn>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bucket: &'a Bucket, sfn: &'a aws_sdk_sfn::Client, case_id: &'a CaseId) -> Self {
        Self { bucket, sfn, case_id, seen: BTreeSet::new(), execution: None }
    }

    /// Adds what is new to what is known. What could not be read this time is read the next time.
    pub(super) async fn look(&mut self, facts: &mut Facts) -> Result<(), Error> {
        let prefix = case::prefix(self.case_id);
        // Asked before the case is listed: an execution that has ended writes nothing after this.
        Box::pin(self.ask(facts)).await?;
        let keys = Box::pin(self.bucket.keys(&prefix)).await?;
        facts.names = keys.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect();
        if facts.names.is_empty() && self.execution.is_none() {
            return Err(Error::Empty(self.case_id.to_string()));
        }
        if facts.plan.is_none() && facts.names.contains(case::PLAN) {
            facts.plan = Box::pin(self.bucket.document(self.case_id, case::PLAN)).await?;
        }
        if facts.release.is_none() && facts.names.contains(case::RELEASE) {
            facts.release = Box::pin(self.bucket.document(self.case_id, case::RELEASE)).await?;
        }
        Box::pin(self.entries(facts)).await?;
        Box::pin(self.documents(facts)).await?;
        if facts.sealed.is_none() && facts.closing.is_none() && facts.release.is_none() {
            self.progress(Stage::Memory, &mut facts.memory).await;
            self.progress(Stage::Snapshots, &mut facts.snapshots).await;
            if facts.plan.as_ref().is_some_and(|plan| plan.copies.is_some()) {
                self.progress(Stage::Copies, &mut facts.copies).await;
            }
        }
        Ok(())
    }

    /// How the execution stands. Where nobody may say, it counts as running.
    async fn ask(&mut self, facts: &mut Facts) -> Result<(), Error> {
        if self.execution.is_none() {
            self.execution = Box::pin(execution(self.bucket, self.case_id)).await?;
        }
        let (Some(execution), None) = (&self.execution, &facts.ended) else { return Ok(()) };
        match self.sfn.describe_execution().execution_arn(execution.as_str()).send().await {
            Ok(answer) if is_over(&answer.status) => facts.ended = Some(bounded(answer.status.as_str(), 40)),
            Err(error) if error.as_service_error().is_some_and(DescribeExecutionError::is_execution_does_not_exist) => {
                facts.ended = Some("it is forgotten".to_owned());
            }
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    /// The records and the answers.
    async fn entries(&mut self, facts: &mut Facts) -> Result<(), Error> {
        let entry = |name: &&String| name.starts_with(case::RECORDS) || name.starts_with(case::APPROVALS);
        let new: Vec<String> = facts.names.iter().filter(entry).filter(|name| !self.seen.contains(*name)).cloned().collect();
        let (bucket, case_id) = (self.bucket, self.case_id);
        let read = |name: String| Box::pin(async move { (bucket.get(&case::key(case_id, &name)).await, name) });
        let mut reads = stream::iter(new).map(read).buffer_unordered(AT_ONCE);
        while let Some((bytes, name)) = reads.next().await {
            let Some(bytes) = bytes? else { continue };
            self.seen.insert(name.clone());
            // What is neither says nothing here: `cordon verify` tells.
            if name.starts_with(case::RECORDS) {
                facts.records.extend(serde_json::from_slice(&bytes).ok().map(|record| (name, record)));
            } else {
                facts.answers.extend(serde_json::from_slice(&bytes).ok().map(|answer| (name, answer)));
            }
        }
        Ok(())
    }

    /// The signed documents, once they are signed, and the report.
    async fn documents(&self, facts: &mut Facts) -> Result<(), Error> {
        let has = |name: &str| facts.names.contains(name);
        if facts.sealed.is_none() && has(case::EVIDENCE_SIGNATURE) {
            facts.sealed = Box::pin(self.sealed()).await?;
        }
        let signed = facts.names.contains(case::CLOSING_SIGNATURE) || facts.ended.is_some();
        if facts.closing.is_none() && signed && facts.names.contains(case::CLOSING_MANIFEST) {
            if facts.release.is_some() {
                facts.report_of_release = Box::pin(self.bucket.document(self.case_id, case::RELEASED)).await?;
            } else {
                let report = Box::pin(self.bucket.document(self.case_id, case::REPORT)).await?;
                facts.report = report.unwrap_or_default();
            }
            facts.closing = Box::pin(self.bucket.document(self.case_id, case::CLOSING_MANIFEST)).await?;
        }
        Ok(())
    }

    async fn sealed(&self) -> Result<Option<Sealed>, Error> {
        let bytes = Box::pin(self.bucket.get(&case::key(self.case_id, case::EVIDENCE_MANIFEST))).await?;
        let sealed =
            bytes.map(|bytes| Ok(Sealed { manifest: sha256(&bytes), told: serde_json::from_slice(&bytes)? })).transpose();
        let unusable = |why: serde_json::Error| Error::Capture { file: case::EVIDENCE_MANIFEST.to_owned(), why: why.to_string() };
        sealed.map_err(unusable)
    }

    /// A look that is new. It is no evidence, and the case goes on without it.
    async fn progress(&self, stage: Stage, looks: &mut Vec<Progress>) {
        let Ok(Some(bytes)) = Box::pin(self.bucket.get(&case::progress(self.case_id, stage))).await else { return };
        let Ok(look) = serde_json::from_slice::<Progress>(&bytes) else { return };
        if look.stage == stage && looks.last().is_none_or(|last| last.at < look.at) {
            looks.push(look);
        }
        let old = looks.len().saturating_sub(MOST_LOOKS);
        looks.drain(..old);
    }
}

/// Whether an execution of this status does nothing any more.
pub(crate) fn is_over(status: &ExecutionStatus) -> bool {
    !matches!(status, ExecutionStatus::Running | ExecutionStatus::PendingRedrive)
}

/// As much of the plan, of a release's plan and of the closing manifest as says whose case it is.
#[derive(Deserialize)]
struct Owned {
    execution: ExecutionArn,
}

/// The execution of a case or of a release: from its plan; where triage broke before there was one, from the closing manifest, or
/// from the claim on the target.
///
/// INVARIANT: it is the case's own, whatever the documents say: the case's id is made from its ARN.
pub(crate) async fn execution(bucket: &Bucket, case_id: &CaseId) -> Result<Option<ExecutionArn>, Error> {
    let own = |execution: &ExecutionArn| CaseId::new(&case_id.instance(), execution) == *case_id;
    for name in [case::PLAN, case::RELEASE, case::CLOSING_MANIFEST] {
        let bytes = Box::pin(bucket.get(&case::key(case_id, name))).await?;
        let owned = bytes.and_then(|bytes| serde_json::from_slice::<Owned>(&bytes).ok());
        if let Some(execution) = owned.map(|owned| owned.execution).filter(own) {
            return Ok(Some(execution));
        }
    }
    let claim = Box::pin(bucket.get(&Claim::key(&case_id.instance()))).await?;
    let claim = claim.and_then(|bytes| serde_json::from_slice::<Claim>(&bytes).ok());
    Ok(claim.map(|claim| claim.execution_arn).filter(own))
}
