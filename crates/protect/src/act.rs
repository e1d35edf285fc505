//! The first chain: protections of the instance and its volumes, and its way out of its Auto Scaling group.

use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, EbsInstanceBlockDeviceSpecification, InstanceBlockDeviceMappingSpecification,
};
use futures_util::future::{join, join_all};
use handler::{AwsError, failed};
use incident::case;
use incident::plan::Plan;
use incident::protection::{BeforeProtections, Measure, ShutdownBehavior};
use incident::record::Change;
use serde_json::{Value, json};

use crate::decide::{Mapping, Seen, Step, before, decide};
use crate::look::look;
use crate::records::{Attempt, Planned};
use crate::{Error, Run, told};

/// The action that sets a protection.
const MODIFY: &str = "ec2:ModifyInstanceAttribute";
/// The action that leaves a group.
const DETACH: &str = "autoscaling:DetachInstances";

/// What the first chain did.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) saved: BeforeProtections,
    pub(crate) attempts: Vec<Attempt>,
    /// The target as it was read back; `None` where it is gone meanwhile.
    pub(crate) now: Option<Seen>,
    /// What went wrong besides, one sentence each.
    pub(crate) troubles: Vec<String>,
}

impl Made {
    /// What there is where the chain broke before it changed anything.
    pub(crate) fn broken(run: &Run<'_>, seen: &Seen, reason: String) -> Self {
        let saved = before(seen, &run.plan.case_id);
        Self { saved, attempts: Vec::new(), now: Some(seen.clone()), troubles: vec![reason] }
    }
}

/// Saves and announces, changes everything at once, and reads it back.
pub(crate) async fn protect(run: &Run<'_>, seen: &Seen) -> Result<Made, Error> {
    let found = before(seen, &run.plan.case_id);
    let announced = decide(seen, &found, run.withheld);
    let planned: Vec<Planned> = announced.iter().flat_map(|step| planned(step, run.plan)).collect();
    let (saved, number) = join(run.file.put_or_read(case::BEFORE_PROTECTIONS, found), Box::pin(run.announce(&planned))).await;
    let ((saved, _), number) = (saved?, number?);
    let Some(number) = number else {
        return Ok(Made { saved, attempts: Vec::new(), now: Some(seen.clone()), troubles: Vec::new() });
    };
    // What an earlier attempt saved counts: it may know less, and then less is done than was announced.
    let steps = decide(seen, &saved, run.withheld);
    let forgone = announced.iter().filter(|step| !steps.contains(step)).flat_map(|step| self::planned(step, run.plan));
    let forgone = forgone.map(Planned::forgone).collect();
    let attempts = all(run, steps).await;
    let (recorded, now) = join(run.outcome(number, &attempts, forgone), Box::pin(look(run))).await;
    let troubles = told(recorded, run.retry)?.err().into_iter().collect();
    Ok(Made { saved, attempts, now: now?, troubles })
}

async fn all(run: &Run<'_>, steps: Vec<Step>) -> Vec<Attempt> {
    let answers = join_all(steps.iter().map(|step| make(run, step))).await;
    let went = |(step, answer): (Step, Result<(), AwsError>)| {
        planned(&step, run.plan).into_iter().map(|planned| planned.went(&answer)).collect::<Vec<_>>()
    };
    steps.into_iter().zip(answers).flat_map(went).collect()
}

/// The changes of a step: one, or one for each volume.
fn planned(step: &Step, plan: &Plan) -> Vec<Planned> {
    let instance = plan.target.instance_id.as_str();
    let of = |measure, subject: &str, action: &str, changed: &str, from: Value, to: Value| Planned {
        measure,
        subject: subject.to_owned(),
        change: Change::intended(action, changed, from, to),
    };
    let attribute = |measure, name: &str, from: Value, to: Value| {
        vec![of(measure, "", MODIFY, instance, json!({ name: from }), json!({ name: to }))]
    };
    match step {
        Step::ProtectFromTermination => {
            attribute(Measure::TerminationProtection, "disableApiTermination", json!(false), json!(true))
        }
        Step::ProtectFromStop => attribute(Measure::StopProtection, "disableApiStop", json!(false), json!(true)),
        Step::StopOnShutdown => {
            let (from, to) = (json!(ShutdownBehavior::Terminate.name()), json!(ShutdownBehavior::Stop.name()));
            attribute(Measure::ShutdownBehavior, "instanceInitiatedShutdownBehavior", from, to)
        }
        Step::KeepVolumes(volumes) => {
            let kept = |deleted: bool, device: &str| json!({ "deleteOnTermination": deleted, "device": device });
            let volume = |it: &Mapping| {
                let id = it.volume.as_str();
                of(Measure::KeepVolume, id, MODIFY, id, kept(true, &it.device), kept(false, &it.device))
            };
            volumes.iter().map(volume).collect()
        }
        Step::LeaveGroup(group) => {
            let (from, to) = (json!({ "group": group }), json!({ "group": null, "capacity": "kept" }));
            vec![of(Measure::AutoScalingGroup, &group.name, DETACH, instance, from, to)]
        }
    }
}

async fn make(run: &Run<'_>, step: &Step) -> Result<(), AwsError> {
    let instance = run.plan.target.instance_id.as_str();
    // EC2 takes one attribute in a call.
    let modify = || run.clients.ec2.modify_instance_attribute().instance_id(instance);
    let on = || AttributeBooleanValue::builder().value(true).build();
    let call = match step {
        Step::ProtectFromTermination => modify().disable_api_termination(on()),
        Step::ProtectFromStop => modify().disable_api_stop(on()),
        Step::StopOnShutdown => {
            modify().instance_initiated_shutdown_behavior(AttributeValue::builder().value(ShutdownBehavior::Stop.name()).build())
        }
        Step::KeepVolumes(volumes) => {
            let kept = volumes.iter().map(|volume| {
                let ebs = EbsInstanceBlockDeviceSpecification::builder().delete_on_termination(false).build();
                InstanceBlockDeviceMappingSpecification::builder().device_name(&volume.device).ebs(ebs).build()
            });
            modify().set_block_device_mappings(Some(kept.collect()))
        }
        Step::LeaveGroup(group) => {
            let call = run.clients.autoscaling.detach_instances().instance_ids(instance).auto_scaling_group_name(&group.name);
            // The group starts another instance in its place.
            return call.should_decrement_desired_capacity(false).send().await.map_err(failed(DETACH)).map(drop);
        }
    };
    call.send().await.map_err(failed(MODIFY)).map(drop)
}
