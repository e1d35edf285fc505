//! Whatever the target looks like, nothing is changed whose old value was not saved, and what is decided settles it.

#![expect(clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use incident::protection::{BeforeProtections, Membership, ShutdownBehavior};
use proptest::prelude::*;
use protect::decide::{Mapping, Seen, Step, before, decide};
use protect::places::Places;

fn maybe<T: std::fmt::Debug + Clone>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Result<T, String>> {
    prop_oneof![4 => values.prop_map(Ok), 1 => Just(Err("it could not be read".to_owned()))]
}

fn membership() -> impl Strategy<Value = Membership> {
    let states = ["InService", "Standby", "Pending", "Terminating", "Detaching"];
    (prop::sample::select(vec!["web", "other"]), prop::sample::select(states.to_vec()), any::<bool>()).prop_map(
        |(name, state, protected_from_scale_in)| Membership {
            name: name.to_owned(),
            lifecycle: state.to_owned(),
            protected_from_scale_in,
        },
    )
}

fn seen() -> impl Strategy<Value = Seen> {
    let behavior = prop_oneof![Just(ShutdownBehavior::Stop), Just(ShutdownBehavior::Terminate)];
    let volumes = maybe(prop::collection::vec(any::<Option<bool>>(), 0..5));
    let attributes = (maybe(any::<bool>()), maybe(any::<bool>()), maybe(behavior));
    (any::<bool>(), attributes, maybe(prop::option::of(membership())), volumes).prop_map(
        |(spot, (termination, stop, shutdown), group, volumes)| {
            let volume = |(n, deleted): (u8, Option<bool>)| Mapping {
                volume: format!("vol-{n:08x}").parse().unwrap(),
                device: format!("/dev/sd{n}"),
                deleted,
            };
            let volumes = volumes.map(|volumes| (0..).zip(volumes).map(volume).collect());
            Seen { spot, places: Ok(Places::default()), volumes, termination, stop, shutdown, group }
        },
    )
}

/// What the first attempt saves of it.
fn saved(seen: &Seen) -> BeforeProtections {
    before(seen, &"i-0123456789abcdef0-0123456789ab".parse().unwrap())
}

fn carried_out(mut seen: Seen, steps: &[Step]) -> Seen {
    for step in steps {
        match step {
            Step::ProtectFromTermination => seen.termination = Ok(true),
            Step::ProtectFromStop => seen.stop = Ok(true),
            Step::StopOnShutdown => seen.shutdown = Ok(ShutdownBehavior::Stop),
            Step::KeepVolumes(kept) => {
                for volume in seen.volumes.as_mut().unwrap().iter_mut().filter(|volume| kept.contains(volume)) {
                    volume.deleted = Some(false);
                }
            }
            Step::LeaveGroup(_) => seen.group = Ok(None),
        }
    }
    seen
}

proptest! {
    #[test]
    fn deciding_again_on_what_results_decides_nothing(seen in seen(), withheld in any::<bool>()) {
        let saved = saved(&seen);
        let now = carried_out(seen.clone(), &decide(&seen, &saved, withheld));
        prop_assert_eq!(decide(&now, &saved, withheld), Vec::new());
        prop_assert!(now.volumes.iter().flatten().all(|volume| volume.deleted != Some(true)));
        prop_assert!(now.spot || now.termination != Ok(false));
        prop_assert_ne!(now.stop, Ok(false));
        prop_assert_ne!(now.shutdown, Ok(ShutdownBehavior::Terminate));
        let serving = |group: &Membership| group.lifecycle == "InService";
        prop_assert!(withheld || !now.group.iter().flatten().any(serving));
    }

    #[test]
    fn what_was_not_saved_is_not_changed_and_a_later_attempt_takes_no_step_more(
        first in seen(),
        later in seen(),
        withheld in any::<bool>(),
    ) {
        let saved = self::saved(&first);
        let announced = decide(&later, &self::saved(&later), withheld);
        for step in decide(&later, &saved, withheld) {
            prop_assert!(announced.contains(&step), "{step:?} is in no intent");
            let known = match step {
                Step::ProtectFromTermination => saved.termination_protection.is_some() && !later.spot,
                Step::ProtectFromStop => saved.stop_protection.is_some(),
                Step::StopOnShutdown => saved.shutdown_behavior.is_some(),
                Step::LeaveGroup(group) => saved.group.as_ref().is_some_and(|before| before.name == group.name) && !withheld,
                // That it is to be deleted stands in the intent.
                Step::KeepVolumes(volumes) => volumes.iter().all(|volume| volume.deleted == Some(true)),
            };
            prop_assert!(known);
        }
    }
}
