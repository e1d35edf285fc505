//! What is decided, for every role, every claim and every order.

#![expect(clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use std::collections::BTreeMap;

use credentials::decide::{Claimed, Look, Role, SLOTS, Slot, choices, covers, profile_name, refused};
use credentials::obstacle::Obstacle;
use credentials::{Means, Settings};
use incident::InstanceId;
use incident::evidence::DenialScope;
use proptest::prelude::*;

const POLICY: &str = "arn:aws:iam::111122223333:policy/cordon-DenyPolicy-1";

fn instance(n: usize) -> InstanceId {
    InstanceId::parse(&format!("i-{n:017x}")).unwrap()
}

fn settings() -> Settings {
    Settings { policy: POLICY.to_owned(), own_prefix: "cordon-".to_owned(), means: Means::Tags }
}

#[test]
fn a_profiles_name_is_what_follows_its_path() {
    for (arn, name) in [
        ("arn:aws:iam::111122223333:instance-profile/web", "web"),
        ("arn:aws-cn:iam::111122223333:instance-profile/team/a/web+1=2,3.4@5-6_7", "web+1=2,3.4@5-6_7"),
    ] {
        assert_eq!(profile_name(arn), Ok(name));
    }
    let long = format!("arn:aws:iam::1:instance-profile/{}", "x".repeat(129));
    for bad in
        ["", "web", "arn:aws:iam::1:role/web", "arn:aws:iam::1:instance-profile/", "arn:aws:iam::1:instance-profile/a b", &long]
    {
        assert!(matches!(profile_name(bad), Err(Obstacle::NoProfileName { .. })), "{bad}");
    }
}

#[test]
fn roles_that_are_not_the_accounts_own_and_cordons_are_refused() {
    let cases = [
        ("/", "web", None),
        ("/team/", "not-cordon-web", None),
        ("/", "cordon", None),
        ("/", "cordon-IsolateFunctionRole-1", Some(Obstacle::Ours)),
        ("/", "Cordon-IsolateFunctionRole-1", Some(Obstacle::Ours)),
        ("/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS", Some(Obstacle::ServiceLinked)),
        ("/aws-reserved/sso.amazonaws.com/eu-west-1/", "AWSReservedSSO_Admin_1", Some(Obstacle::SingleSignOn)),
        ("/", "é-not-a-role", None),
    ];
    for (path, name, expected) in cases {
        let role = Role { name: name.to_owned(), arn: String::new(), path: path.to_owned() };
        assert_eq!(refused(&role, &settings()), expected, "{path}{name}");
    }
}

#[test]
fn everything_covers_both_phases_and_the_first_phase_only_itself() {
    use DenialScope::{All, AllButSystemsManager as First};
    let cases = [
        (None, First, false),
        (None, All, false),
        (Some(First), First, true),
        (Some(First), All, false),
        (Some(All), First, true),
    ];
    for (reached, wanted, covered) in cases {
        assert_eq!(covers(reached, wanted), covered, "{reached:?} {wanted:?}");
    }
}

/// A role on which a policy may be attached and some slots' tags name some of a few instances.
fn looks() -> impl Strategy<Value = Look> {
    let tag = || prop::collection::vec(prop::option::of(0_usize..4), SLOTS.len());
    (any::<bool>(), tag(), tag()).prop_map(|(attached, first, all)| {
        let mut tags = BTreeMap::from([("team".to_owned(), "web".to_owned())]);
        for (slot, (first, all)) in SLOTS.iter().zip(first.into_iter().zip(all)) {
            tags.extend(first.map(|n| (slot.first.to_owned(), instance(n).to_string())));
            tags.extend(all.map(|n| (slot.all.to_owned(), instance(n).to_string())));
        }
        let attached = if attached { vec![POLICY.to_owned()] } else { Vec::new() };
        Look { attached, tags, inline: None }
    })
}

fn claims() -> impl Strategy<Value = [Claimed; SLOTS.len()]> {
    prop::array::uniform5(prop_oneof![Just(Claimed::Free), Just(Claimed::Ours), Just(Claimed::Others)])
}

fn scopes() -> impl Strategy<Value = DenialScope> {
    prop_oneof![Just(DenialScope::AllButSystemsManager), Just(DenialScope::All)]
}

/// The role after the step has done what it decided.
fn after(look: &Look, slot: Slot, scope: DenialScope, target: &InstanceId) -> Look {
    let mut look = look.clone();
    if !look.has(POLICY) {
        look.attached.push(POLICY.to_owned());
    }
    for tag in look.untagged(slot, scope, target) {
        look.tags.insert(tag.to_owned(), target.to_string());
    }
    look
}

proptest! {
    #[test]
    fn what_is_written_never_names_another_and_ends_in_a_denial(look in looks(), claims in claims(), scope in scopes()) {
        let target = instance(0);
        for (slot, claimed) in choices(&claims, &look, &target) {
            prop_assert_ne!(claimed, Claimed::Others);
            for tag in look.untagged(slot, scope, &target) {
                prop_assert_eq!(look.tags.get(tag), None, "only a tag that is not there is written");
            }
            let now = after(&look, slot, scope, &target);
            prop_assert!(covers(now.reached(POLICY, &target), scope));
            prop_assert!(now.untagged(slot, scope, &target).is_empty() && now.has(POLICY), "a second run changes nothing");
            for other in 1..4 {
                let before = Look { attached: now.attached.clone(), ..look.clone() };
                prop_assert_eq!(now.reached(POLICY, &instance(other)), before.reached(POLICY, &instance(other)), "others are as before");
            }
        }
    }

    #[test]
    fn a_slot_never_changes_between_phases(look in looks(), claims in claims()) {
        let target = instance(0);
        if let Some((slot, _)) = choices(&claims, &look, &target).into_iter().next() {
            let first = after(&look, slot, DenialScope::AllButSystemsManager, &target);
            let mut claimed = claims;
            claimed[usize::from(slot.number) - 1] = Claimed::Ours;
            let again = choices(&claimed, &first, &target).into_iter().next();
            prop_assert_eq!(again, Some((slot, Claimed::Ours)));
        }
    }

    #[test]
    fn targets_of_one_role_that_claim_one_after_the_other_get_different_slots(count in 1_usize..=8) {
        let mut claims: BTreeMap<u8, usize> = BTreeMap::new();
        let mut look = Look::default();
        for target in 0..count {
            let mine = SLOTS.map(|slot| match claims.get(&slot.number) {
                None => Claimed::Free,
                Some(owner) if *owner == target => Claimed::Ours,
                Some(_) => Claimed::Others,
            });
            match choices(&mine, &look, &instance(target)).into_iter().next() {
                Some((slot, _)) => {
                    prop_assert!(claims.insert(slot.number, target).is_none());
                    look = after(&look, slot, DenialScope::All, &instance(target));
                }
                None => prop_assert!(target >= SLOTS.len(), "only the sixth finds none"),
            }
        }
        let denied = (0..count).filter(|n| look.reached(POLICY, &instance(*n)).is_some()).count();
        prop_assert_eq!(denied, count.min(SLOTS.len()));
    }
}
