//! `cordon release`: gives a contained target back, or says what that would give back.

use incident::release::{
    CheckVerdict, Checked, ReleasePlan, ReleaseReport, ReleaseRequest, ReleaseStatus, Released, RestoredStatus,
};
use incident::text::harmless;
use incident::{CaseId, ExecutionArn, case};
use serde::Serialize;
use serde_json::Value;

use crate::bucket::Bucket;
use crate::output::{coloured, document, say};
use crate::respond::{self, End};
use crate::{Arguments, Error, Release, deployment, exit, function, words};

/// Starts the release of a case's target, and follows it to its end.
pub(crate) async fn run(arguments: &Arguments, given: &Release) -> Result<u8, Error> {
    let request = ReleaseRequest {
        case_id: given.case.clone(),
        reason: given.reason.clone().unwrap_or_default(),
        dry_run: given.dry_run,
        rejoin_group: given.rejoin_group,
    };
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let machine = found.release_state_machine.as_deref();
    let machine = machine.ok_or_else(|| function::older(arguments, "no state machine that releases"))?;
    let sfn = aws_sdk_sfn::Client::new(&config);
    // No name: of two releases at once the second one is refused by the claim of the first.
    let input = serde_json::to_string(&request).unwrap_or_default();
    let start = sfn.start_execution().state_machine_arn(machine).input(input);
    let execution = start.send().await.map_err(Error::aws("states:StartExecution"))?.execution_arn;
    if !arguments.json {
        say(&format!("started {execution}"));
    }
    let end = Box::pin(respond::follow(&sfn, &execution, arguments.json)).await?;
    let told = Told::of(&Bucket::of(&config, &found), given, &execution, &end).await?;
    if arguments.json {
        document(&Document { schema: "cordon.release-ended.v1", execution: &execution, status: &end.status, told: &told });
    } else {
        told.print(&end);
    }
    Ok(if told.is_as_asked() { exit::OK } else { exit::FAILED })
}

/// `cordon show` of a release's own file.
pub(crate) async fn show(arguments: &Arguments, bucket: &Bucket, id: &CaseId, plan: ReleasePlan) -> Result<u8, Error> {
    let report: Option<ReleaseReport> = bucket.document(id, case::RELEASED).await?;
    let (execution, opened, of) = (plan.execution.to_string(), plan.opened, plan.case_id.clone());
    let told = Told { succeeded: report.is_some(), plan: Some(plan), report, ..Told::default() };
    if arguments.json {
        document(&Document { schema: "cordon.release-ended.v1", execution: &execution, status: "", told: &told });
    } else {
        say(&format!("release of {of}, begun at {opened} by {execution}"));
        told.print(&End { status: String::new(), output: Value::Null, cause: String::new() });
    }
    Ok(exit::OK)
}

/// `cordon.release-ended.v1`: what the release's execution came to. `checked` is there for a dry run and where it can be read;
/// `plan` and `report` are `release.json` and `released.json` of the release's own file; `refused` is why nothing was done.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: &'static str,
    execution: &'a str,
    status: &'a str,
    #[serde(flatten)]
    told: &'a Told,
}

/// What is known of it at its end.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    checked: Option<Checked>,
    plan: Option<ReleasePlan>,
    report: Option<ReleaseReport>,
    refused: Option<String>,
    succeeded: bool,
}

impl Told {
    async fn of(bucket: &Bucket, given: &Release, execution: &str, end: &End) -> Result<Self, Error> {
        let succeeded = end.status == "SUCCEEDED";
        if given.dry_run && succeeded {
            let checked = serde_json::from_value(end.output.clone()).ok();
            return Ok(Self { checked, succeeded, ..Self::default() });
        }
        let id = execution.parse::<ExecutionArn>().map(|execution| CaseId::new(&given.case.instance(), &execution));
        let (plan, report) = match id {
            Ok(id) => (bucket.document(&id, case::RELEASE).await?, bucket.document(&id, case::RELEASED).await?),
            Err(_) => (None, None),
        };
        let refused = (!succeeded && report.is_none()).then(|| harmless(&end.cause, 2_000));
        Ok(Self { checked: None, plan, report, refused, succeeded })
    }

    fn is_as_asked(&self) -> bool {
        let allowed =
            self.checked.as_ref().is_none_or(|checked| checked.verdict != CheckVerdict::Refused && checked.reasons.is_empty());
        self.succeeded && allowed
    }

    fn print(&self, end: &End) {
        if let Some(checked) = &self.checked {
            return dry_run(checked);
        }
        if let Some(released) = self.report.as_ref().and_then(|report| report.released.as_ref()) {
            items(released);
        }
        if let Some(denial) = self.report.as_ref().and_then(|report| report.denial.as_ref()) {
            say(&format!("credentials: {}", words::denial(denial)));
        }
        if let Some(plan) = &self.plan {
            lost(plan);
        }
        if let Some(plan) = self.plan.as_ref().filter(|_| self.report.is_some()) {
            say(&format!("on record: cordon verify {}", plan.release_id));
        }
        say(&coloured(&self.sentence(end), self.is_as_asked()));
    }

    fn sentence(&self, end: &End) -> String {
        if let Some(refused) = &self.refused {
            return format!("not released: {refused}");
        }
        let status = self.report.as_ref().and_then(|report| report.released.as_ref()).map(|released| released.status);
        let said = match status {
            Some(ReleaseStatus::Released) if self.succeeded => "released: everything was read back as it was before the case",
            Some(ReleaseStatus::Released) => "released, but not all of it went as asked for",
            Some(ReleaseStatus::PartlyReleased) => "only PARTLY released",
            Some(ReleaseStatus::NotReleased) => "NOT released: the target is as contained as before",
            Some(ReleaseStatus::Superseded) => "STOPPED: a new finding claimed the target, and its case contains it again",
            Some(ReleaseStatus::Unknown) | None => "NOBODY KNOWS how the target stands: look at it",
        };
        let cause = end.cause.trim();
        if cause.is_empty() { said.to_owned() } else { format!("{said} ({})", harmless(cause, 600)) }
    }
}

fn dry_run(checked: &Checked) {
    if let Some(plan) = &checked.plan {
        say(&format!("a release of {} would give back, as it was before {}:", plan.target.instance_id, plan.restored_from));
        for restore in &plan.restore {
            say(&format!("  {}", value(&harmless(&restore.subject(), 300), restore)));
        }
        if plan.credentials {
            say("  the role's sessions, where they are denied");
        }
        if plan.restore.is_empty() {
            say("  nothing of the instance: it stands as it did before");
        }
        lost(plan);
    }
    for reason in &checked.reasons {
        say(&coloured(&format!("it would be refused, or is worth knowing: {}", harmless(reason, 400)), false));
    }
    say("dry run: nothing was written or changed");
}

/// A thing to give back, with its value.
fn value(subject: &str, restore: &impl Serialize) -> String {
    let fields = serde_json::to_value(restore).unwrap_or_default();
    match fields.get("to") {
        Some(Value::Null) | None => subject.to_owned(),
        Some(to) => format!("{subject}: {}", harmless(&to.to_string(), 300)),
    }
}

fn items(released: &Released) {
    for item in &released.items {
        let (mark, good) = match item.status {
            RestoredStatus::Restored => ("given back", true),
            RestoredStatus::NotRestored => ("NOT GIVEN BACK", false),
            RestoredStatus::Unknown => ("UNKNOWN", false),
        };
        let why = if item.reason.is_empty() { String::new() } else { format!(" ({})", harmless(&item.reason, 400)) };
        say(&format!("{}  {}{why}", coloured(&format!("{mark:<14}"), good), harmless(&item.restore.subject(), 300)));
    }
    for reason in &released.reasons {
        say(&format!("  - {}", harmless(reason, 400)));
    }
}

fn lost(plan: &ReleasePlan) {
    for lost in &plan.not_restorable {
        say(&format!("not given back: {}: {}", harmless(&lost.what, 200), harmless(&lost.reason, 400)));
    }
}
