//! How the target stands now, as AWS describes it.

use std::collections::{BTreeMap, BTreeSet};

use handler::AwsError;
use incident::plan::{Metadata, TargetState, Tracking};
use incident::protection::{Registration, ShutdownBehavior};
use incident::{Classify as _, Fault, GroupId, InstanceId, InterfaceId, VolumeId};

/// What AWS said, or why it did not: each source may be denied alone.
pub type Told<T> = Result<T, AwsError>;

/// A network interface that is attached to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its id.
    pub id: InterfaceId,
    /// Its groups.
    pub groups: Vec<GroupId>,
    /// How long its idle connections are tracked; absent where nobody has set it.
    pub tracking: Option<Tracking>,
    /// Its public IPv4 address.
    pub public: Option<String>,
    /// Its private addresses, IPv6 among them.
    pub addresses: Vec<String>,
}

/// A volume that is attached to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its id.
    pub id: VolumeId,
    /// Its device name.
    pub device: String,
    /// Whether it is deleted with the instance; absent where AWS did not say.
    pub delete_on_termination: Option<bool>,
}

/// A target that a target group lists as registered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The instance's id or an address.
    pub target: String,
    /// The port.
    pub port: Option<i32>,
}

/// The target and what is around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// Which instance.
    pub instance: InstanceId,
    /// Its state.
    pub state: TargetState,
    /// Its interfaces.
    pub nics: Vec<Nic>,
    /// Its volumes.
    pub disks: Vec<Disk>,
    /// Its instance metadata options; absent where AWS did not say.
    pub metadata: Option<Metadata>,
    /// Whether AWS is still applying those options.
    pub applying: bool,
    /// Whether the API may not terminate it.
    pub termination_protection: Told<bool>,
    /// Whether the API may not stop it.
    pub stop_protection: Told<bool>,
    /// What a shutdown from inside does.
    pub shutdown_behavior: Told<ShutdownBehavior>,
    /// The Auto Scaling group that it is in.
    pub group: Told<Option<String>>,
    /// What the target groups that were asked for list; `None` for one that is gone.
    pub target_groups: BTreeMap<String, Told<Option<Vec<Listed>>>>,
    /// Whether the classic load balancers that were asked for list it; `None` for one that is gone.
    pub classic: BTreeMap<String, Told<Option<bool>>>,
}

impl Now {
    /// The interface with this id.
    pub fn nic(&self, id: &InterfaceId) -> Option<&Nic> {
        self.nics.iter().find(|nic| nic.id == *id)
    }

    /// The volume with this id.
    pub fn disk(&self, id: &VolumeId) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.id == *id)
    }

    /// Whether a registration names this target: its id, or an address that it has.
    pub fn is_named(&self, target: &str) -> bool {
        target == self.instance.as_str() || self.nics.iter().any(|nic| nic.addresses.iter().any(|address| address == target))
    }

    /// Whether it is registered; `None` where the target group is gone or was not asked for.
    pub fn registered(&self, registration: &Registration) -> Told<Option<bool>> {
        let Some(told) = self.target_groups.get(&registration.target_group) else { return Ok(None) };
        let same = |listed: &Listed| {
            listed.target == registration.target && (registration.port.is_none() || registration.port == listed.port)
        };
        told.clone().map(|listed| listed.map(|listed| listed.iter().any(same)))
    }

    /// The first thing that could not be read and that may pass.
    pub fn busy(&self) -> Option<&AwsError> {
        let own = [
            self.termination_protection.as_ref().err(),
            self.stop_protection.as_ref().err(),
            self.shutdown_behavior.as_ref().err(),
            self.group.as_ref().err(),
        ];
        let around = self.target_groups.values().filter_map(|told| told.as_ref().err());
        let classic = self.classic.values().filter_map(|told| told.as_ref().err());
        own.into_iter().flatten().chain(around).chain(classic).find(|error| error.fault() == Fault::Transient)
    }
}

/// Security groups that there are, and whether each is one of Cordon's.
pub type Groups = BTreeMap<GroupId, bool>;

/// Whether one of `worn` is a group of Cordon's.
pub fn wears_ours(worn: &[GroupId], groups: &Groups) -> bool {
    worn.iter().any(|id| groups.get(id).copied().unwrap_or_default())
}

/// Whether two sets of groups are the same, in whatever order.
pub fn same(one: &[GroupId], other: &[GroupId]) -> bool {
    one.iter().collect::<BTreeSet<_>>() == other.iter().collect::<BTreeSet<_>>()
}

/// Whether a group of this name, with this value of the tag `cordon:role`, is one of Cordon's. A tag alone proves nothing,
/// since whoever may tag could make a group of somebody else look like ours; the name of a group cannot be changed.
pub fn is_ours(role: &str, name: &str) -> bool {
    let rest = name.strip_prefix("cordon-").and_then(|rest| rest.strip_prefix(role));
    let numbered = |rest: &str| rest.is_empty() || rest.strip_prefix('-').is_some_and(|number| number.parse::<u32>().is_ok());
    ["conversion", "collection", "isolation"].contains(&role) && rest.is_some_and(numbered)
}

/// An Auto Scaling group, as far as it decides whether the target may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// How many instances it wants.
    pub desired: i32,
    /// How many it may have.
    pub most: i32,
}
