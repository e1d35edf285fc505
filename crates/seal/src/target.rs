//! The target at the seal: how it stands, and the tag without which nothing of it may be terminated.

use aws_sdk_ec2::types::{Instance, InstanceNetworkInterface, InstanceStateName, Reservation, Tag};
use handler::{AwsError, failed, recorder};
use incident::evidence::Standing;
use incident::plan::{Plan, TargetState};
use incident::record::Change;
use incident::{CaseId, Classify as _, Fault, Visit};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::locate::Case;
use crate::{Clients, Error};

/// The tag that Seal sets: its value is the case. `infra/template.yaml` lets Terminate end only what has it.
pub(crate) const SEALED: &str = "cordon:sealed";

/// The target as EC2 describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// How it stands.
    pub(crate) standing: Standing,
    /// The case whose evidence is sealed, as the tag says.
    sealed: Option<String>,
}

/// Looks at the target; `None` where EC2 does not know it or may not tell, which the guard takes as a refusal.
pub(crate) async fn look(clients: &Clients, plan: &Plan) -> Result<Option<Target>, Error> {
    let id = &plan.target.instance_id;
    let described = clients.ec2.describe_instances().instance_ids(id.as_str()).send().await;
    match described.map_err(failed("ec2:DescribeInstances")) {
        Ok(page) => {
            let mut found = page.reservations().iter().flat_map(Reservation::instances);
            Ok(found.find(|instance| instance.instance_id() == Some(id.as_str())).map(target))
        }
        Err(error) if error.fault() == Fault::Transient => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "how the target stands is not in the manifest, so that it will not be terminated");
            Ok(None)
        }
    }
}

fn target(instance: &Instance) -> Target {
    let id = |interface: &InstanceNetworkInterface| interface.network_interface_id().and_then(|id| id.parse().ok());
    let mut interfaces: Vec<_> = instance.network_interfaces().iter().filter_map(id).collect();
    let mappings = instance.block_device_mappings().iter();
    let mut volumes: Vec<_> = mappings.filter_map(|mapping| mapping.ebs()?.volume_id()?.parse().ok()).collect();
    interfaces.sort();
    volumes.sort();
    let tag = instance.tags().iter().find(|tag| tag.key() == Some(SEALED));
    let launched = instance.launch_time().and_then(|time| Timestamp::from_second(time.secs()).ok());
    let standing = Standing { state: state(instance), launched, interfaces, volumes };
    Target { standing, sealed: tag.and_then(|tag| tag.value()).map(str::to_owned) }
}

fn state(instance: &Instance) -> TargetState {
    match instance.state().and_then(|state| state.name()).map(InstanceStateName::as_str) {
        Some("pending") => TargetState::Pending,
        Some("running") => TargetState::Running,
        Some("stopping") => TargetState::Stopping,
        Some("stopped") => TargetState::Stopped,
        Some("shutting-down") => TargetState::ShuttingDown,
        Some("terminated") => TargetState::Terminated,
        _ => TargetState::Gone,
    }
}

/// Tags the target as sealed, where the plan provides for its end at all. Where that is refused, its end will be as well.
pub(crate) async fn mark(
    clients: &Clients,
    case: &Case,
    plan: &Plan,
    visit: &Visit,
    target: Option<&Target>,
) -> Result<(), Error> {
    let wanted = |target: &&Target| target.standing.state.is_alive() && !is_marked(target, &plan.case_id);
    let Some(target) = target.filter(wanted).filter(|_| plan.disposition.terms().is_some()) else { return Ok(()) };
    let id = plan.target.instance_id.as_str();
    let (from, to) = (json!({SEALED: target.sealed}), json!({SEALED: plan.case_id}));
    let mut change = Change::intended("ec2:CreateTags", id, from, to);
    let recorder = case.file.recorder(visit);
    let number = recorder.intent(vec![change.clone()]).await?;
    let tag = Tag::builder().key(SEALED).value(plan.case_id.as_str()).build();
    let tagged: Result<_, AwsError> =
        clients.ec2.create_tags().resources(id).tags(tag).send().await.map_err(failed("ec2:CreateTags"));
    change.result = Some(recorder::result(&tagged));
    recorder.outcome(number, vec![change], Value::Null).await?;
    match tagged {
        Err(error) if error.fault() == Fault::Transient => Err(error.into()),
        _ => Ok(()),
    }
}

fn is_marked(target: &Target, case: &CaseId) -> bool {
    target.sealed.as_deref() == Some(case.as_str())
}
