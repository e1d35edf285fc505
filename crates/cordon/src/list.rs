//! `cordon list`: the cases, the newest first.
//!
//! Step Functions knows when each execution was started and whether it runs; the bucket knows which of them opened a case. A
//! case's id ends in the digest of its execution's ARN, by which the two are joined. Executions are forgotten after 90 days
//! [facts 82] and cases are not: those come last. A release has a file among the cases' and is an execution of another machine:
//! it is listed as the release of its case.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::stream::{self, StreamExt as _};
use incident::evidence::{Containment, ContainmentStatus, Termination, TerminationStatus};
use incident::plan::Plan;
use incident::release::ReleasePlan;
use incident::{CaseId, ExecutionArn, InstanceId, case};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::output::{coloured, document, say};
use crate::{Arguments, Error, List, deployment, exit, words};

/// How many cases are read at once.
const AT_ONCE: usize = 8;

/// Prints the cases.
pub(crate) async fn run(arguments: &Arguments, given: &List) -> Result<u8, Error> {
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let bucket = Bucket::of(&config, &found);
    let mut cases = by_digest(&Box::pin(bucket.folders("cases/")).await?);
    let limit = usize::from(given.limit);
    let sfn = aws_sdk_sfn::Client::new(&config);
    let mut listed = Box::pin(executed(&sfn, (&found.state_machine_arn, false), given.open, limit, &mut cases)).await?;
    if let Some(machine) = &found.release_state_machine {
        listed.extend(Box::pin(executed(&sfn, (machine, true), given.open, limit, &mut cases)).await?);
        // Each list is in order already, and the sort is stable.
        listed.sort_by_key(|listed| Reverse(listed.started()));
    }
    let mut more = listed.len().saturating_sub(limit);
    listed.truncate(limit);
    if given.open {
        more = 0;
    } else {
        let mut forgotten = cases.into_values().flatten();
        let free = limit.saturating_sub(listed.len());
        listed.extend(forgotten.by_ref().take(free).map(|case_id| Listed { case_id, execution: None }));
        more += forgotten.count();
    }
    let mut rows = Vec::new();
    let mut reads = stream::iter(listed).map(|listed| Box::pin(row(&bucket, listed))).buffered(AT_ONCE);
    while let Some(row) = reads.next().await {
        rows.push(row?);
    }
    // One that has just closed was still running when it was listed.
    rows.retain(|row| !given.open || row.status == Status::Open);
    // Of those without an execution only the case itself tells its age. The sort is stable, and leaves the others in place.
    rows.sort_by_key(|row| (row.execution.is_none(), Reverse(row.opened.filter(|_| row.execution.is_none()))));
    if arguments.json {
        let all = Document { schema: "cordon.list.v1", cases: &rows, more };
        document(&all);
    } else {
        print(&rows, more);
    }
    Ok(exit::OK)
}

/// The cases by the digest that their ids end in. What is no case id is no case.
fn by_digest(folders: &[String]) -> BTreeMap<String, Vec<CaseId>> {
    let mut cases = BTreeMap::<String, Vec<CaseId>>::new();
    for case_id in folders.iter().filter_map(|folder| CaseId::parse(folder).ok()) {
        let digest = case_id.as_str().rsplit('-').next().unwrap_or_default().to_owned();
        cases.entry(digest).or_default().push(case_id);
    }
    cases
}

/// A case, and its execution where Step Functions still knows it.
struct Listed {
    case_id: CaseId,
    execution: Option<Execution>,
}

struct Execution {
    arn: ExecutionArn,
    status: ExecutionStatus,
    started: Option<Timestamp>,
    /// Whether it is one of the machine that releases.
    releases: bool,
}

impl Listed {
    fn started(&self) -> Option<Timestamp> {
        self.execution.as_ref().and_then(|execution| execution.started)
    }
}

/// Takes the cases of a machine's executions out of `cases`, the newest first, until there are `limit`. The machine comes with
/// whether it releases.
async fn executed(
    sfn: &aws_sdk_sfn::Client,
    (machine, releases): (&str, bool),
    open: bool,
    limit: usize,
    cases: &mut BTreeMap<String, Vec<CaseId>>,
) -> Result<Vec<Listed>, Error> {
    let list = sfn.list_executions().state_machine_arn(machine).set_status_filter(open.then_some(ExecutionStatus::Running));
    let mut pages = list.max_results(1_000).into_paginator().send();
    let mut listed = Vec::new();
    while let Some(page) = pages.next().await {
        for execution in page.map_err(Error::aws("states:ListExecutions"))?.executions {
            let Ok(arn) = ExecutionArn::parse(&execution.execution_arn) else { continue };
            for case_id in cases.remove(&arn.digest()).into_iter().flatten() {
                let started = Timestamp::from_second(execution.start_date.secs()).ok();
                let execution = Execution { arn: arn.clone(), status: execution.status.clone(), started, releases };
                listed.push(Listed { case_id, execution: Some(execution) });
            }
            if listed.len() >= limit {
                return Ok(listed);
            }
        }
    }
    Ok(listed)
}

/// How a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// Its execution runs.
    Open,
    /// Closed as planned.
    ClosedAsPlanned,
    /// Closed, but not as planned.
    ClosedNotAsPlanned,
    /// Its execution has ended, or is forgotten, and the case was not closed.
    Broken,
}

impl Status {
    /// By the closing manifest's word, where there is one, else by the execution's.
    pub(crate) fn of(as_planned: Option<bool>, running: bool) -> Self {
        match (as_planned, running) {
            (Some(true), _) => Self::ClosedAsPlanned,
            (Some(false), _) => Self::ClosedNotAsPlanned,
            (None, true) => Self::Open,
            (None, false) => Self::Broken,
        }
    }

    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ClosedAsPlanned => "closed as planned",
            Self::ClosedNotAsPlanned => "closed, NOT as planned",
            Self::Broken => "BROKEN",
        }
    }

    /// Whether nothing is wrong with it.
    pub(crate) const fn is_good(self) -> bool {
        matches!(self, Self::Open | Self::ClosedAsPlanned)
    }
}

/// `cordon.list.v1`: the cases, the newest first, and how many more there are that were not read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: &'static str,
    cases: &'a [Row],
    more: usize,
}

/// One case. `execution` is null where Step Functions does not know it any more; `containment` and `termination` are null
/// where nothing is known of them yet.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    case_id: CaseId,
    instance_id: InstanceId,
    opened: Option<Timestamp>,
    status: Status,
    execution: Option<ExecutionArn>,
    execution_status: Option<String>,
    containment: Option<ContainmentStatus>,
    termination: Option<TerminationStatus>,
    /// The case that it gives back, where it is a release.
    releases: Option<CaseId>,
}

/// As much of the documents of a case as a line needs.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    as_planned: bool,
    plan: Option<Plan>,
    containment: Option<Containment>,
    termination: Option<Termination>,
}

async fn row(bucket: &Bucket, listed: Listed) -> Result<Row, Error> {
    let Listed { case_id, execution } = listed;
    let closing: Option<Told> = bucket.document(&case_id, case::CLOSING_MANIFEST).await?;
    let told: Option<Told> = match &closing {
        Some(_) => bucket.document(&case_id, case::REPORT).await?,
        None => bucket.document(&case_id, case::EVIDENCE_MANIFEST).await?,
    };
    let told = told.unwrap_or_default();
    let (opened, planned) = match (&execution, told.plan) {
        (Some(execution), _) => (execution.started, !execution.releases),
        (None, Some(plan)) => (Some(plan.opened), true),
        (None, None) => {
            let plan: Option<Plan> = bucket.document(&case_id, case::PLAN).await?;
            (plan.as_ref().map(|plan| plan.opened), plan.is_some())
        }
    };
    let release: Option<ReleasePlan> = if planned { None } else { bucket.document(&case_id, case::RELEASE).await? };
    let opened = opened.or(release.as_ref().map(|release| release.opened));
    let running = execution.as_ref().is_some_and(|execution| execution.status == ExecutionStatus::Running);
    let execution_status = execution.as_ref().map(|execution| execution.status.as_str().to_owned());
    Ok(Row {
        instance_id: case_id.instance(),
        case_id,
        opened,
        status: Status::of(closing.map(|closing| closing.as_planned), running),
        execution: execution.map(|execution| execution.arn),
        execution_status,
        containment: told.containment.map(|containment| containment.status),
        termination: told.termination.map(|termination| termination.status),
        releases: release.map(|release| release.case_id),
    })
}

impl Row {
    /// How the target stands, in words.
    fn target(&self) -> String {
        if let Some(case) = &self.releases {
            return format!("release of {case}");
        }
        let said = match (self.termination, self.containment) {
            (Some(TerminationStatus::Refused) | None, Some(containment)) => words::containment(containment),
            (Some(termination), _) => words::termination(termination),
            (None, None) => "not known yet",
        };
        said.to_owned()
    }
}

fn print(rows: &[Row], more: usize) {
    if rows.is_empty() {
        say("no cases");
        return;
    }
    say(&format!("{:<32}  {:<20}  {:<22}  TARGET", "CASE", "OPENED", "STATUS"));
    for row in rows {
        let opened = row.opened.map_or_else(|| "unknown".to_owned(), |opened| opened.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        // Padded before it is coloured: a terminal does not count what colours.
        let status = coloured(&format!("{:<22}", row.status.words()), row.status.is_good());
        let gone = if row.execution.is_none() { " (its execution is forgotten)" } else { "" };
        say(&format!("{:<32}  {opened:<20}  {status}  {}{gone}", row.case_id.as_str(), row.target()));
    }
    if more > 0 {
        say(&format!("and {more} more: --limit says how many are printed"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_manifest_has_the_last_word_about_a_case() {
        for (as_planned, running, expected) in [
            (Some(true), true, Status::ClosedAsPlanned),
            (Some(true), false, Status::ClosedAsPlanned),
            (Some(false), true, Status::ClosedNotAsPlanned),
            (None, true, Status::Open),
            (None, false, Status::Broken),
        ] {
            assert_eq!(Status::of(as_planned, running), expected);
        }
    }

    #[test]
    fn a_folder_that_is_no_case_is_left_out() {
        let folders = ["i-0abc1234def567890-0123456789ab", "..", "i-0abc1234def567890", "\u{1b}[2J"].map(str::to_owned);
        let cases = by_digest(&folders);
        assert_eq!(cases.keys().collect::<Vec<_>>(), ["0123456789ab"]);
    }
}
