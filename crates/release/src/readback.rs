//! How one thing stands, by what AWS says now. Pure.

use incident::InterfaceId;
use incident::release::Restore;
use serde_json::{Value, json};

use crate::now::{Nic, Now, Told, same};

/// How one thing that is to be given back stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// As it was before the case.
    Restored,
    /// AWS has taken the change and is still applying it.
    Applying,
    /// Not yet: how it is instead.
    NotYet(String),
    /// It cannot be any more: what it belongs to is gone.
    Lost(String),
    /// It could not be read.
    Unknown(String),
}

/// How `restore` stands.
pub fn standing(restore: &Restore, now: &Now) -> Standing {
    if !now.state.is_alive() {
        return Standing::Lost("the target is gone".to_owned());
    }
    match restore {
        Restore::Metadata { to } => match &now.metadata {
            None => Standing::Unknown("EC2 does not say how it is".to_owned()),
            Some(metadata) if metadata == to && now.applying => Standing::Applying,
            Some(metadata) => equal(metadata == to, || json!(metadata)),
        },
        Restore::Tracking { interface, to } => on(now, interface, |nic| {
            let tracking = nic.tracking.unwrap_or_default().filled();
            equal(tracking == *to, || json!(tracking))
        }),
        Restore::Groups { interface, to } => on(now, interface, |nic| equal(same(&nic.groups, to), || json!(nic.groups))),
        Restore::TargetGroup { registration } => registered(now.registered(registration), "the target group"),
        Restore::ClassicBalancer { name } => registered(now.classic.get(name).cloned().unwrap_or(Ok(None)), "the load balancer"),
        Restore::AutoScalingGroup { name } => read(&now.group, |group| group.as_ref() == Some(name)),
        Restore::DeleteOnTermination { volume, to, .. } => match now.disk(volume).map(|disk| disk.delete_on_termination) {
            None => Standing::Lost("the volume is not attached any more".to_owned()),
            Some(None) => Standing::Unknown("EC2 does not say how it is".to_owned()),
            Some(Some(delete)) => equal(delete == *to, || json!(delete)),
        },
        Restore::ShutdownBehavior { to } => read(&now.shutdown_behavior, |behavior| behavior == to),
        Restore::StopProtection { to } => read(&now.stop_protection, |on| on == to),
        Restore::TerminationProtection { to } => read(&now.termination_protection, |on| on == to),
    }
}

/// Whether this is an interface that does not have its groups back. One that is not attached any more cuts the target from
/// nothing, and must not keep it out of what waits for its network.
pub(crate) fn is_cut(restore: &Restore, now: &Now) -> bool {
    let has_none = !matches!(standing(restore, now), Standing::Restored | Standing::Lost(_));
    matches!(restore, Restore::Groups { .. }) && has_none
}

fn equal(equal: bool, now: impl Fn() -> Value) -> Standing {
    if equal { Standing::Restored } else { Standing::NotYet(format!("it was read back as {}", now())) }
}

fn on(now: &Now, interface: &InterfaceId, standing: impl Fn(&Nic) -> Standing) -> Standing {
    let gone = || Standing::Lost("the interface is not attached any more".to_owned());
    now.nic(interface).map_or_else(gone, standing)
}

fn registered(told: Told<Option<bool>>, place: &str) -> Standing {
    match told {
        Ok(Some(true)) => Standing::Restored,
        Ok(Some(false)) => Standing::NotYet("it was read back as not registered".to_owned()),
        Ok(None) => Standing::Lost(format!("{place} does not exist any more")),
        Err(error) => Standing::Unknown(error.to_string()),
    }
}

fn read<T: serde::Serialize>(told: &Told<T>, right: impl Fn(&T) -> bool) -> Standing {
    match told {
        Ok(value) => equal(right(value), || json!(value)),
        Err(error) => Standing::Unknown(error.to_string()),
    }
}
