//! `cordon release`: gives a contained target back, or says what that would give back.

mod end;
mod print;
mod show;

use aws_sdk_sfn::Client;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use incident::CaseId;
use incident::permission::StatementError;
use incident::release::ReleaseRequest;

use crate::bucket::Bucket;
use crate::output::{document, note, say};
use crate::{Arguments, Error, Release, deployment, exit, function, respond, watch};
use end::End;

pub(crate) use show::show;

/// How often a case is released on one day, at most: each name counts once.
const MOST_A_DAY: u32 = 50;

/// Starts the release of a case's target, and follows it to its end.
pub(crate) async fn run(arguments: &Arguments, given: &Release) -> Result<u8, Error> {
    let request = ReleaseRequest {
        case_id: given.case.clone(),
        reason: given.reason.clone().unwrap_or_default(),
        dry_run: given.dry_run,
        rejoin_group: given.rejoin_group,
    };
    if !request.dry_run && request.reason.trim().is_empty() {
        return Err(StatementError { field: "reason", reason: "must say why the target is given back".to_owned() }.into());
    }
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let machine = found.release_state_machine.as_deref();
    let machine = machine.ok_or_else(|| function::older(arguments, "no state machine that releases"))?;
    let sfn = Client::new(&config);
    let execution = Box::pin(start(&sfn, machine, &request)).await?;
    if !arguments.json {
        say(&format!("started {execution}"));
    }
    let ended = Box::pin(respond::follow(&sfn, &execution, arguments.json)).await?;
    let end = Box::pin(End::of(&Bucket::of(&config, &found), &request, execution, ended)).await;
    if arguments.json {
        document(&end);
    } else {
        print::print(&end);
    }
    for reason in print::complaints(&end) {
        note(&reason);
    }
    Ok(if end.as_asked { exit::OK } else { exit::FAILED })
}

/// Starts the machine. Who asks twice starts one release: Step Functions gives the execution of this name and input that runs
/// already. Where one of this name has ended, or was asked for otherwise, the next number is the name; of two that run after
/// all the claim on the target lets one go on. The day is in the name since names are free again after 90 days [facts 83], while
/// the files of releases, which have their names from their executions, are not.
async fn start(sfn: &Client, machine: &str, request: &ReleaseRequest) -> Result<String, Error> {
    let input = serde_json::to_string(request).unwrap_or_default();
    let day = watch::now().strftime("%Y%m%d").to_string();
    for number in 1..=MOST_A_DAY {
        let start = sfn.start_execution().state_machine_arn(machine).input(&input);
        // A dry run changes nothing, and may run as often as anybody likes.
        let start = start.set_name((!request.dry_run).then(|| format!("{}-{day}-{number}", request.case_id)));
        match start.send().await {
            Ok(started) => return Ok(started.execution_arn),
            Err(error) if error.as_service_error().is_some_and(StartExecutionError::is_execution_already_exists) => {}
            Err(error) => return Err(Error::aws("states:StartExecution")(error)),
        }
    }
    Err(Error::Refused(busy(&request.case_id)))
}

fn busy(case: &CaseId) -> String {
    format!("releases of the case {case} were started {MOST_A_DAY} times today: see in Step Functions why they end")
}
