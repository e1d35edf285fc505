//! `cordon prepare` and `cordon doctor`: containment outside of any case.

use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use incident::ExecutionArn;
use incident::claim::Claim;
use incident::sweep::{Prepared, Problem, ProblemKind, Swept};
use incident::text::{bounded, harmless};
use serde::Serialize;
use serde_json::json;

use crate::bucket::Bucket;
use crate::output::{coloured, document, say};
use crate::watch::read;
use crate::{Arguments, Doctor, Error, Prepare, deployment, exit, function};

/// The most claims whose executions are looked at.
const MOST_CLAIMS: usize = 500;

/// Makes the groups that incidents need.
pub(crate) async fn prepare(arguments: &Arguments, given: &Prepare) -> Result<u8, Error> {
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let payload = json!({ "mode": "prepare", "vpcs": given.vpc });
    let prepared: Prepared = Box::pin(function::ask(arguments, &config, found.isolate_function.as_deref(), &payload)).await?;
    let wanting = prepared.vpcs.iter().filter(|vpc| !vpc.reason.is_empty()).count();
    if arguments.json {
        document(&Document { schema: "cordon.prepared.v1", said: &prepared });
    } else {
        say(&format!("{:<21}  {:<20}  {:<20}  STATE", "VPC", "ISOLATION", "CONVERSION"));
        for vpc in &prepared.vpcs {
            let how = match (vpc.reason.as_str(), vpc.changed) {
                ("", true) => coloured("made or set right", true),
                ("", false) => "as it should be".to_owned(),
                (reason, _) => coloured(&format!("NOT ready: {}", harmless(reason, 400)), false),
            };
            let group = |id: Option<&incident::GroupId>| id.map_or("-", incident::GroupId::as_str).to_owned();
            say(&format!(
                "{:<21}  {:<20}  {:<20}  {how}",
                vpc.vpc.as_str(),
                group(vpc.isolation.as_ref()),
                group(vpc.conversion.as_ref())
            ));
        }
        say(&format!("{} of {} VPCs are ready", prepared.vpcs.len() - wanting, prepared.vpcs.len()));
    }
    Ok(if wanting == 0 { exit::OK } else { exit::FAILED })
}

/// Looks for what containment left behind, in whichever case.
pub(crate) async fn run(arguments: &Arguments, _given: &Doctor) -> Result<u8, Error> {
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let payload = json!({ "mode": "sweep" });
    let mut swept: Swept = Box::pin(function::ask(arguments, &config, found.isolate_function.as_deref(), &payload)).await?;
    let (claims, dead) = Box::pin(claims(&Bucket::of(&config, &found), &aws_sdk_sfn::Client::new(&config))).await?;
    swept.problems.extend(dead);
    swept.problems.sort_by_key(|problem| !problem.kind.is_urgent());
    let urgent = swept.problems.iter().filter(|problem| problem.kind.is_urgent()).count();
    if arguments.json {
        document(&Document { schema: "cordon.containment.v1", said: &Checked { claims, urgent, swept: &swept } });
    } else {
        for problem in &swept.problems {
            let mark = if problem.kind.is_urgent() { coloured("URGENT", false) } else { "note  ".to_owned() };
            say(&format!("{mark}  {}: {}", harmless(&problem.subject, 200), harmless(&problem.advice, 400)));
        }
        let Swept { vpcs, groups, interfaces, .. } = &swept;
        say(&format!("looked at {vpcs} VPCs, {groups} groups of ours, {interfaces} interfaces in them and {claims} claims"));
        let said = if urgent == 0 { "nothing is urgent".to_owned() } else { format!("{urgent} urgent") };
        say(&coloured(&said, urgent == 0));
    }
    Ok(if urgent == 0 { exit::OK } else { exit::FAILED })
}

/// How many targets are claimed, and the claims whose executions no longer run.
async fn claims(bucket: &Bucket, sfn: &aws_sdk_sfn::Client) -> Result<(usize, Vec<Problem>), Error> {
    let keys: Vec<String> = bucket.keys("open/").await?.into_iter().take(MOST_CLAIMS).collect();
    let mut dead = Vec::new();
    for key in &keys {
        let Some(bytes) = bucket.get(key).await? else { continue };
        let problem = |advice: String| Problem { kind: ProblemKind::DeadClaim, subject: bounded(key, 200), advice };
        let Ok(claim) = serde_json::from_slice::<Claim>(&bytes) else {
            dead.push(problem("it cannot be read, and no case of its target can be opened: find out who wrote it".to_owned()));
            continue;
        };
        if !runs(sfn, &claim.execution_arn).await? {
            dead.push(problem(format!(
                "its execution no longer runs, and nobody closed the case {id}. A new finding takes the target over; to close the \
                 case, see `cordon show {id}` and the last word's log",
                id = claim.case_id
            )));
        }
    }
    Ok((keys.len(), dead))
}

async fn runs(sfn: &aws_sdk_sfn::Client, execution: &ExecutionArn) -> Result<bool, Error> {
    match sfn.describe_execution().execution_arn(execution.as_str()).send().await {
        Ok(answer) => Ok(!read::is_over(&answer.status)),
        Err(error) if error.as_service_error().is_some_and(DescribeExecutionError::is_execution_does_not_exist) => Ok(false),
        Err(error) => Err(Error::aws("states:DescribeExecution")(error)),
    }
}

/// `cordon.prepared.v1` or `cordon.containment.v1`: what the function said.
#[derive(Serialize)]
struct Document<T> {
    schema: &'static str,
    #[serde(flatten)]
    said: T,
}

/// With what the command line looked at itself: claims, and how many problems are urgent.
#[derive(Serialize)]
struct Checked<'a> {
    claims: usize,
    urgent: usize,
    #[serde(flatten)]
    swept: &'a Swept,
}
