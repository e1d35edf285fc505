//! Properties of the plan over any world: what Cordon left is given back, what somebody else made stays, and a second plan is
//! empty.

use std::collections::BTreeMap;

use handler::AwsError;
use incident::plan::{Metadata, Target, TargetState, Tracking, Volume};
use incident::protection::{Membership, Registration, ShutdownBehavior};
use incident::release::{ReleaseRequest, Restore};
use incident::{Fault, GroupId, InstanceId, InterfaceId, VolumeId};
use proptest::collection::vec;
use proptest::prelude::*;
use release::now::{Capacity, Disk, Groups, Listed, Nic, Now, Told, wears_ours};
use release::plan::{Draft, World, draft};
use release::readback::{Standing, standing};
use release::saved::{Saved, Was};
use serde_json::json;

use super::support::{INCIDENT, INSTANCE, TARGETS, case_of};

/// A world: what was, what is, and what a person asks for.
#[derive(Debug, Clone)]
struct Case {
    saved: Saved,
    now: Now,
    groups: Groups,
    capacity: Told<Option<Capacity>>,
    rejoin: bool,
}

impl Case {
    fn draft(&self) -> Draft {
        let request = json!({"caseId": case_of(INCIDENT), "reason": "x", "rejoinGroup": self.rejoin});
        let request: ReleaseRequest = serde_json::from_value(request).unwrap();
        let Self { saved, now, groups, capacity, .. } = self;
        draft(&World { saved, now, groups, capacity, request: &request })
    }

    /// The world after everything of the plan was given back.
    fn released(&self) -> Self {
        let mut after = self.clone();
        for restore in self.draft().restore {
            give(&mut after.now, restore);
        }
        after
    }
}

/// What AWS makes of a change.
fn give(now: &mut Now, restore: Restore) {
    let nic = |now: &mut Now, id: &InterfaceId| now.nics.iter().position(|nic| nic.id == *id).unwrap();
    match restore {
        Restore::Metadata { to } => now.metadata = Some(to),
        Restore::Tracking { interface, to } => {
            let at = nic(now, &interface);
            now.nics[at].tracking = Some(to);
        }
        Restore::Groups { interface, to } => {
            let at = nic(now, &interface);
            now.nics[at].groups = to;
        }
        Restore::TargetGroup { registration } => {
            let listed = now.target_groups.get_mut(&registration.target_group).unwrap().as_mut().unwrap().as_mut().unwrap();
            listed.push(Listed { target: registration.target, port: registration.port });
        }
        Restore::ClassicBalancer { name } => drop(now.classic.insert(name, Ok(Some(true)))),
        Restore::AutoScalingGroup { name } => now.group = Ok(Some(name)),
        Restore::DeleteOnTermination { volume, to, .. } => {
            let at = now.disks.iter().position(|disk| disk.id == volume).unwrap();
            now.disks[at].delete_on_termination = Some(to);
        }
        Restore::ShutdownBehavior { to } => now.shutdown_behavior = Ok(to),
        Restore::StopProtection { to } => now.stop_protection = Ok(to),
        Restore::TerminationProtection { to } => now.termination_protection = Ok(to),
    }
}

fn interface(n: usize) -> InterfaceId {
    InterfaceId::parse(&format!("eni-{n:08x}")).unwrap()
}

fn volume(n: usize) -> VolumeId {
    VolumeId::parse(&format!("vol-{n:08x}")).unwrap()
}

/// Groups 1 to 4 are somebody's, group 9 is ours.
fn group(n: u32) -> GroupId {
    GroupId::parse(&format!("sg-{n:08x}")).unwrap()
}

const OURS: u32 = 9;

fn unread() -> AwsError {
    AwsError {
        action: "x",
        code: "AccessDenied".to_owned(),
        message: "no".to_owned(),
        request_id: String::new(),
        fault: Fault::Denied,
    }
}

fn groups() -> impl Strategy<Value = Vec<GroupId>> {
    proptest::sample::subsequence(vec![1, 2, 3], 1..=3).prop_map(|all| all.into_iter().map(group).collect())
}

fn some_tracking() -> impl Strategy<Value = Option<Tracking>> {
    let set = |(tcp, udp): (i32, Option<i32>)| Some(Tracking { tcp_established: Some(tcp), udp_stream: udp, udp: None });
    prop_oneof![Just(None), Just(Some(Tracking::SHORTEST)), (60..400_i32, proptest::option::of(60..180_i32)).prop_map(set)]
}

fn some_metadata() -> impl Strategy<Value = Metadata> {
    (any::<bool>(), any::<bool>(), 1..5).prop_map(|(enabled, tokens_required, hop_limit)| Metadata {
        enabled,
        tokens_required,
        hop_limit,
    })
}

fn told<T: Clone + std::fmt::Debug + 'static>(value: impl Strategy<Value = T> + 'static) -> impl Strategy<Value = Told<T>> {
    prop_oneof![4 => value.prop_map(Ok), 1 => Just(Err(unread()))]
}

fn behavior() -> impl Strategy<Value = ShutdownBehavior> {
    prop_oneof![Just(ShutdownBehavior::Stop), Just(ShutdownBehavior::Terminate)]
}

/// What was.
fn was() -> impl Strategy<Value = Saved> {
    let nics = vec((proptest::option::of(groups()), proptest::option::of(some_tracking())), 0..4);
    let volumes = vec(proptest::option::of(any::<bool>()), 0..4);
    let own = (proptest::option::of(any::<bool>()), proptest::option::of(any::<bool>()), proptest::option::of(behavior()));
    let around = (any::<bool>(), vec(80..83_i32, 0..4), any::<bool>());
    (nics, volumes, proptest::option::of(some_metadata()), own, around).prop_map(|(nics, volumes, metadata, own, around)| {
        let (member, ports, classic) = around;
        let nics = nics.into_iter().enumerate();
        let registration =
            |port| Registration { target_group: TARGETS.to_owned(), target: INSTANCE.to_owned(), port: Some(port), zone: None };
        let mut ports = ports;
        ports.sort_unstable();
        ports.dedup();
        Saved {
            target: target(),
            interfaces: nics.map(|(n, (groups, tracking))| (interface(n), Was { groups, tracking, address: None })).collect(),
            metadata,
            volumes: volumes
                .into_iter()
                .enumerate()
                .map(|(n, delete)| Volume {
                    id: volume(n),
                    device: format!("/dev/{n}"),
                    root: n == 0,
                    delete_on_termination: delete,
                })
                .collect(),
            termination_protection: own.0,
            stop_protection: own.1,
            shutdown_behavior: own.2,
            group: member.then(|| Membership {
                name: "web".to_owned(),
                lifecycle: "InService".to_owned(),
                protected_from_scale_in: false,
            }),
            registrations: ports.into_iter().map(registration).collect(),
            more_registrations: 0,
            classic: classic.then(|| "old".to_owned()).into_iter().collect(),
            unseen: Vec::new(),
        }
    })
}

fn target() -> Target {
    serde_json::from_value(json!({"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running",
        "interfaces": [], "volumes": [], "profile": null, "spot": false, "architecture": null, "windows": false, "memoryMib": null,
        "metadata": null}))
    .unwrap()
}

/// What is: anything.
fn is() -> impl Strategy<Value = Now> {
    let worn = prop_oneof![
        2 => Just(vec![group(OURS)]),
        1 => groups(),
        1 => groups().prop_map(|mut worn| { worn.push(group(OURS)); worn }),
        1 => Just(vec![group(4)]),
    ];
    let nics = vec(proptest::option::weighted(0.8, (worn, some_tracking())), 0..5);
    let disks = vec(proptest::option::weighted(0.8, proptest::option::of(any::<bool>())), 0..5);
    let own = (told(any::<bool>()), told(any::<bool>()), told(behavior()));
    let member = prop_oneof![Just(None), Just(Some("web".to_owned())), Just(Some("other".to_owned()))];
    let listed = vec(80..83_i32, 0..3).prop_map(|ports| {
        ports.into_iter().map(|port| Listed { target: INSTANCE.to_owned(), port: Some(port) }).collect::<Vec<_>>()
    });
    let around = (told(member), told(proptest::option::of(listed)), told(proptest::option::of(any::<bool>())));
    let state = prop_oneof![Just(TargetState::Running), Just(TargetState::Stopped)];
    (nics, disks, proptest::option::of(some_metadata()), own, around, state).prop_map(
        |(nics, disks, metadata, own, around, state)| Now {
            instance: InstanceId::parse(INSTANCE).unwrap(),
            state,
            nics: nics
                .into_iter()
                .enumerate()
                .filter_map(|(n, nic)| {
                    let (groups, tracking) = nic?;
                    Some(Nic { id: interface(n), groups, tracking, public: None, addresses: Vec::new() })
                })
                .collect(),
            disks: disks
                .into_iter()
                .enumerate()
                .filter_map(|(n, disk)| Some(Disk { id: volume(n), device: format!("/dev/{n}"), delete_on_termination: disk? }))
                .collect(),
            metadata,
            applying: false,
            termination_protection: own.0,
            stop_protection: own.1,
            shutdown_behavior: own.2,
            group: around.0,
            target_groups: BTreeMap::from([(TARGETS.to_owned(), around.1)]),
            classic: BTreeMap::from([("old".to_owned(), around.2)]),
        },
    )
}

/// Any world at all.
fn anything() -> impl Strategy<Value = Case> {
    let exist = proptest::sample::subsequence(vec![1, 2, 3], 0..=3);
    let capacity = told(proptest::option::of((0..3_i32, 0..3_i32).prop_map(|(desired, most)| Capacity { desired, most })));
    (was(), is(), exist, capacity, any::<bool>()).prop_map(|(saved, now, exist, capacity, rejoin)| {
        let mut groups: Groups = exist.into_iter().map(|n| (group(n), false)).collect();
        groups.extend([(group(4), false), (group(OURS), true)]);
        Case { saved, now, groups, capacity, rejoin }
    })
}

/// A world in which nothing is but what was and what Cordon made of it; each thing as Cordon left it, or given back already.
fn left_by_cordon() -> impl Strategy<Value = Case> {
    (was(), vec(any::<bool>(), 32)).prop_map(|(saved, changed)| {
        let mut changed = changed.into_iter().cycle();
        let mut ours = || changed.next().unwrap_or_default();
        let mut now = before(&saved);
        for nic in &mut now.nics {
            if ours() {
                nic.groups = vec![group(OURS)];
            }
            if ours() {
                nic.tracking = Some(Tracking::SHORTEST);
            }
        }
        for disk in &mut now.disks {
            disk.delete_on_termination = disk.delete_on_termination.map(|delete| delete && !ours());
        }
        if let Some(metadata) = now.metadata.as_mut().filter(|_| ours()) {
            metadata.enabled = false;
        }
        now.termination_protection = now.termination_protection.map(|on| on || ours());
        now.stop_protection = now.stop_protection.map(|on| on || ours());
        now.shutdown_behavior = now.shutdown_behavior.map(|behavior| if ours() { ShutdownBehavior::Stop } else { behavior });
        now.group = now.group.map(|group| group.filter(|_| !ours()));
        for listed in now.target_groups.values_mut().flatten().flatten() {
            listed.retain(|_| !ours());
        }
        for registered in now.classic.values_mut() {
            *registered = Ok(Some(!ours()));
        }
        let groups = (1..=4).map(|n| (group(n), false)).chain([(group(OURS), true)]).collect();
        Case { saved, now, groups, capacity: Ok(Some(Capacity { desired: 1, most: 2 })), rejoin: true }
    })
}

/// The target as it was before the case.
fn before(saved: &Saved) -> Now {
    let nic = |(id, was): (&InterfaceId, &Was)| Nic {
        id: id.clone(),
        groups: was.groups.clone().unwrap_or_else(|| vec![group(4)]),
        tracking: was.tracking.flatten().map(Tracking::filled),
        public: None,
        addresses: Vec::new(),
    };
    let listed = saved.registrations.iter().map(|it| Listed { target: it.target.clone(), port: it.port }).collect();
    Now {
        instance: InstanceId::parse(INSTANCE).unwrap(),
        state: TargetState::Running,
        nics: saved.interfaces.iter().map(nic).collect(),
        disks: saved
            .volumes
            .iter()
            .map(|it| Disk { id: it.id.clone(), device: it.device.clone(), delete_on_termination: it.delete_on_termination })
            .collect(),
        metadata: saved.metadata.clone(),
        applying: false,
        termination_protection: Ok(saved.termination_protection.unwrap_or_default()),
        stop_protection: Ok(saved.stop_protection.unwrap_or_default()),
        shutdown_behavior: Ok(saved.shutdown_behavior.unwrap_or(ShutdownBehavior::Terminate)),
        group: Ok(saved.group.as_ref().map(|group| group.name.clone())),
        target_groups: BTreeMap::from([(TARGETS.to_owned(), Ok(Some(listed)))]),
        classic: saved.classic.iter().map(|name| (name.clone(), Ok(Some(true)))).collect(),
    }
}

proptest! {
    #[test]
    fn a_second_plan_is_empty_and_the_first_is_read_back_as_restored(case in anything()) {
        let after = case.released();
        prop_assert_eq!(after.draft().restore, Vec::<Restore>::new());
        for restore in case.draft().restore {
            prop_assert_eq!(standing(&restore, &after.now), Standing::Restored, "{:?}", restore);
            prop_assert!(matches!(standing(&restore, &case.now), Standing::NotYet(_)), "{:?}", restore);
        }
    }

    #[test]
    fn what_only_cordon_changed_is_as_it_was_in_every_field(case in left_by_cordon()) {
        let (mut after, mut was) = (case.released().now, before(&case.saved));
        for now in [&mut after, &mut was] {
            // EC2's defaults are no setting before, and one afterwards.
            now.nics.iter_mut().for_each(|nic| nic.tracking = Some(nic.tracking.unwrap_or_default().filled()));
            now.target_groups.values_mut().flatten().flatten().for_each(|listed| listed.sort());
        }
        // A group would replace a target that stays cut off.
        if after.nics.iter().any(|nic| wears_ours(&nic.groups, &case.groups)) { after.group = was.group.clone(); }
        for (nic, was) in after.nics.iter_mut().zip(&was.nics) {
            let saved = &case.saved.interfaces[&nic.id];
            // What no case has on record is not given back.
            if saved.groups.is_none() { nic.groups.clone_from(&was.groups); }
            if saved.tracking.is_none() { nic.tracking = was.tracking; }
        }
        if case.saved.termination_protection.is_none() { after.termination_protection = was.termination_protection.clone(); }
        if case.saved.stop_protection.is_none() { after.stop_protection = was.stop_protection.clone(); }
        if case.saved.shutdown_behavior.is_none() { after.shutdown_behavior = was.shutdown_behavior.clone(); }
        prop_assert_eq!(after, was);
    }

    #[test]
    fn what_is_not_as_cordon_left_it_stays(case in anything()) {
        let after = case.released().now;
        for (nic, now) in case.now.nics.iter().zip(&after.nics) {
            prop_assert!(wears_ours(&nic.groups, &case.groups) || nic.groups == now.groups);
            prop_assert!(nic.tracking.unwrap_or_default().filled() == Tracking::SHORTEST || nic.tracking == now.tracking);
            prop_assert!(now.groups == nic.groups || !wears_ours(&now.groups, &case.groups), "nothing is put into a group of ours");
        }
        for (disk, now) in case.now.disks.iter().zip(&after.disks) {
            prop_assert!(disk.delete_on_termination == Some(false) || disk == now);
        }
        if let (Some(metadata), Some(now)) = (&case.now.metadata, &after.metadata) {
            prop_assert!(!metadata.enabled || metadata == now);
            prop_assert_eq!((metadata.tokens_required, metadata.hop_limit), (now.tokens_required, now.hop_limit));
        }
        prop_assert!(case.now.termination_protection == Ok(true) || case.now.termination_protection == after.termination_protection);
        prop_assert!(case.now.stop_protection == Ok(true) || case.now.stop_protection == after.stop_protection);
        prop_assert!(case.rejoin || case.now.group == after.group);
    }

    #[test]
    fn a_target_with_an_interface_that_stays_cut_off_joins_no_group(case in anything()) {
        let after = case.released().now;
        let cut = after.nics.iter().any(|nic| wears_ours(&nic.groups, &case.groups));
        prop_assert!(!cut || after.group == case.now.group, "{:?}", after.nics);
    }

    #[test]
    fn the_way_in_comes_before_the_balancers_and_the_protections_last(case in anything()) {
        let place = |restore: &Restore| match restore {
            Restore::Metadata { .. } | Restore::Tracking { .. } => 0,
            Restore::Groups { .. } => 1,
            Restore::TargetGroup { .. } | Restore::ClassicBalancer { .. } | Restore::AutoScalingGroup { .. } => 2,
            Restore::DeleteOnTermination { .. } => 3,
            Restore::ShutdownBehavior { .. } | Restore::StopProtection { .. } | Restore::TerminationProtection { .. } => 4,
        };
        let draft = case.draft();
        prop_assert!(draft.restore.is_sorted_by_key(place), "{:?}", draft.restore);
        prop_assert!(draft.not_restorable.iter().any(|lost| lost.what == "old connections"));
    }
}
