//! An account that remembers: the target, everything around it, and nothing that no step asks for.

use std::collections::{BTreeMap, BTreeSet};

use incident::plan::Tracking;

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const SCALING: &str = "web";

/// Everything that a description shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Account {
    pub(crate) instance: Instance,
    pub(crate) nics: BTreeMap<String, Nic>,
    pub(crate) disks: BTreeMap<String, Disk>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// The Auto Scaling group that there is, whether or not the target is in it.
    pub(crate) scaling: Scaling,
    pub(crate) target_groups: BTreeMap<String, TargetGroup>,
    /// Classic load balancers, and whether the target is registered.
    pub(crate) classic: BTreeMap<String, bool>,
    /// The role of the target's profile.
    pub(crate) role: Option<Role>,
    /// The VPC that has the endpoints that memory is collected through.
    pub(crate) endpoints: Option<String>,
    /// How many groups were made.
    pub(crate) made: usize,
}

#[expect(clippy::struct_excessive_bools, reason = "each is one attribute of an instance")]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instance {
    pub(crate) spot: bool,
    /// Whether EC2 offers stop protection for it.
    pub(crate) stoppable: bool,
    pub(crate) termination: bool,
    pub(crate) stop: bool,
    pub(crate) shutdown: String,
    pub(crate) metadata: Metadata,
    /// Whether it has the profile `web`.
    pub(crate) profile: bool,
    pub(crate) tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) endpoint: String,
    pub(crate) tokens: String,
    pub(crate) hops: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Nic {
    pub(crate) vpc: String,
    pub(crate) index: usize,
    pub(crate) groups: Vec<String>,
    pub(crate) tracking: Option<[i32; 3]>,
    pub(crate) keeper: Keeper,
    pub(crate) private: String,
    /// An IPv6 address.
    pub(crate) v6: Option<String>,
    /// A public address, and whether EC2 gave it.
    pub(crate) public: Option<(String, bool)>,
}

impl Nic {
    /// Whether this is one of its addresses.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        self.private == address || self.v6.as_deref() == Some(address)
    }
}

/// Who may change an interface.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Keeper {
    Us,
    Requester,
    Operator,
    /// The trunk of this branch, which is attached to no instance.
    Trunk(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Disk {
    pub(crate) device: String,
    pub(crate) deleted: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Group {
    pub(crate) vpc: String,
    pub(crate) name: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) ingress: BTreeSet<Rule>,
    pub(crate) egress: BTreeSet<Rule>,
}

impl Group {
    pub(crate) fn role(&self) -> Option<&str> {
        self.tags.get("cordon:role").map(String::as_str)
    }
}

/// One peer of one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) protocol: String,
    pub(crate) ports: Option<(i32, i32)>,
    /// A block, a group, or a prefix list.
    pub(crate) peer: String,
}

impl Rule {
    pub(crate) fn all(peer: &str) -> Self {
        Self { protocol: "-1".to_owned(), ports: None, peer: peer.to_owned() }
    }

    pub(crate) fn tcp(port: i32, peer: &str) -> Self {
        Self { protocol: "tcp".to_owned(), ports: Some((port, port)), peer: peer.to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    /// The lifecycle state of the target, where it is a member.
    pub(crate) lifecycle: Option<String>,
    pub(crate) protected: bool,
    pub(crate) desired: i32,
    pub(crate) most: i32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TargetGroup {
    pub(crate) vpc: String,
    /// `instance` or `ip`.
    pub(crate) kind: &'static str,
    pub(crate) targets: BTreeSet<(String, i32)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Role {
    pub(crate) path: &'static str,
    pub(crate) attached: BTreeSet<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Account {
    /// The primary interface's VPC.
    pub(crate) fn home(&self) -> &str {
        self.nics.values().find(|nic| nic.index == 0).map_or("", |nic| nic.vpc.as_str())
    }

    /// The roles of the groups that an interface wears, of Cordon's alone.
    pub(crate) fn roles(&self, nic: &Nic) -> Vec<&str> {
        nic.groups.iter().filter_map(|id| self.groups.get(id)?.role()).collect()
    }

    /// As much of the account as a release gives back: everything, but
    ///
    /// - Cordon's own groups, which stay for the next case;
    /// - how long connections are tracked where nobody had set it: a setting cannot be taken away, so that EC2's defaults are set;
    /// - the size that the Auto Scaling group wants, since it grows by a member that joins, and a member's own protection from
    ///   scale-in, which is lost when it leaves;
    /// - membership of that group where nobody asked for it, or there was no place.
    pub(crate) fn restorable(&self, rejoins: bool) -> Self {
        let mut all = self.clone();
        all.groups.retain(|_, group| group.role().is_none());
        for nic in all.nics.values_mut() {
            nic.groups.sort();
            let Tracking { tcp_established, udp_stream, udp } = Tracking::DEFAULTS;
            nic.tracking = nic.tracking.or_else(|| Some([tcp_established?, udp_stream?, udp?]));
        }
        all.scaling.desired = 0;
        all.scaling.protected = false;
        if !rejoins {
            all.scaling.lifecycle = None;
        }
        all.made = 0;
        all
    }
}
