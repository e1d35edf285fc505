//! What a case took is given back: `release(isolate(x)) == x` over everything that is restorable.
//!
//! The real code of every step that changes anything (Isolate, Protect, Credentials, and Release), with Triage before them and
//! Seal between them, behind the real SDK clients, against one account that remembers. Targets are generated; what may differ
//! afterwards stands in one place, [`account::Account::restorable`].

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

mod account;
mod answers;
mod targets;
mod world;

use std::collections::BTreeSet;

use account::{Account, INSTANCE, Keeper, Nic};
use proptest::prelude::*;
use serde_json::Value;
use targets::{Case, case};
use world::{Contained, Released, World};

/// The id of the interface that comes late.
const LATE: &str = "eni-0ffffffffffffffff";

/// A case to its end, or two.
async fn contain(world: &World, case: &Case) -> Contained {
    let late = |account: &mut Account| account.nics.extend(case.late.iter().map(|nic| (LATE.to_owned(), nic.clone())));
    let contained = world.contain("one", late).await;
    if case.twice { world.contain("two", |_| ()).await } else { contained }
}

/// A case, its end, and its release.
async fn there_and_back(case: &Case) -> (World, Contained, Released) {
    let world = World::new(case);
    let contained = contain(&world, case).await;
    let released = world.release("last", &contained.case, case.rejoin).await;
    (world, contained, released)
}

/// The account as it was, with what came later.
fn before(case: &Case) -> Account {
    let mut account = case.account.clone();
    account.nics.extend(case.late.iter().map(|nic| (LATE.to_owned(), nic.clone())));
    account
}

/// Whether the target comes back into its group: it was taken out, somebody asked for it, and there is a place.
fn rejoins(case: &Case) -> bool {
    let scaling = &case.account.scaling;
    scaling.lifecycle.as_deref() != Some("InService") || (case.rejoin && scaling.most > scaling.desired)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn ours(account: &Account) -> impl Iterator<Item = (&String, &Nic)> {
    account.nics.iter().filter(|(_, nic)| nic.keeper == Keeper::Us)
}

/// What lock-down leaves: nothing open, nothing that others could end, and nobody else touched.
fn assert_contained(case: &Case, world: &World, contained: &Contained) -> Result<(), TestCaseError> {
    let Contained { containment, lockdown, protection, cut, .. } = contained;
    let now = world.account();
    prop_assert_eq!(&containment["status"], "contained", "{:?}", contained);
    prop_assert_eq!(&lockdown["status"], "lockedDown", "{:?}", contained);
    prop_assert_eq!(&protection["failure"], &Value::Null);
    // A role that has no room for the denial is said to be open, and so is one that nobody can find.
    let said = ["denied", "notDenied", "nothingToDeny", "unknown"];
    for denial in [&contained.first, &contained.denial] {
        prop_assert!(said.contains(&denial["status"].as_str().unwrap()), "{:?}", denial);
    }
    let path = contained.plan["memory"]["path"]["interface"].as_str();
    for (id, nic) in ours(cut) {
        let home = if path == Some(id) { "collection" } else { "isolation" };
        prop_assert_eq!(cut.roles(nic), [home], "{} while memory is collected", id);
    }
    for (id, nic) in ours(&now) {
        prop_assert_eq!(now.roles(nic), ["isolation"], "{} after lock-down", id);
        prop_assert!(nic.groups.iter().all(|id| now.groups[id].ingress.is_empty() && now.groups[id].egress.is_empty()));
        prop_assert_eq!(nic.tracking, Some([60, 60, 30]), "{}", id);
    }
    prop_assert_eq!(now.instance.metadata.endpoint.as_str(), "disabled");
    prop_assert!(now.instance.termination || now.instance.spot);
    prop_assert!(now.instance.stop || !now.instance.stoppable);
    prop_assert_eq!(now.instance.shutdown.as_str(), "stop");
    prop_assert!(now.disks.values().all(|disk| !disk.deleted));
    prop_assert!(now.scaling.lifecycle.as_deref() != Some("InService"));
    prop_assert!(now.classic.values().all(|registered| !registered));
    // Everything else is as it was: it belongs to others.
    let was = before(case);
    for (id, nic) in was.nics.iter().filter(|(_, nic)| nic.keeper != Keeper::Us) {
        prop_assert_eq!(&now.nics[id], nic, "{} is not ours to change", id);
    }
    for (id, group) in was.groups.iter().filter(|(_, group)| group.role().is_none()) {
        prop_assert_eq!(&now.groups[id], group, "{} is somebody else's", id);
    }
    for (arn, group) in &was.target_groups {
        let own = |(id, _): &&(String, i32)| id == INSTANCE || was.nics.values().any(|nic| nic.is_at(id));
        let others: BTreeSet<_> = group.targets.iter().filter(|target| !own(target)).cloned().collect();
        prop_assert_eq!(&now.target_groups[arn].targets, &others, "{}", arn);
    }
    if let (Some(was), Some(now)) = (&was.role, &now.role) {
        let kept = was.tags.iter().all(|(key, value)| now.tags.get(key) == Some(value));
        prop_assert!(kept && now.attached.is_superset(&was.attached), "{:?}", now);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_a_case_took_is_given_back(case in case()) {
        let (world, contained, released) = run(there_and_back(&case));
        let rejoins = rejoins(&case);
        prop_assert_eq!(world.account().restorable(rejoins), before(&case).restorable(rejoins));
        prop_assert_eq!(&released.restored["status"], "released", "{:?}", released);
        let instance = &case.account.instance;
        // Of a profile without a role nobody knows whether it had one, and whose sessions are denied.
        let (lifted, as_planned) = match (instance.profile, &case.account.role) {
            (true, Some(_)) => ("lifted", true),
            (true, None) => ("unknown", false),
            (false, _) => ("nothingToDeny", true),
        };
        prop_assert_eq!(&released.denial["status"], lifted, "{:?} after {:?}", released.denial, contained.denial);
        prop_assert_eq!(&released.closed["asPlanned"], as_planned, "{:?}", released.closed);
        prop_assert_eq!(&released.plan["caseId"], contained.case.as_str());
    }

    #[test]
    fn a_case_takes_all_of_it_and_touches_nobody_else(case in case()) {
        let (world, contained) = run(async {
            let world = World::new(&case);
            let contained = contain(&world, &case).await;
            (world, contained)
        });
        assert_contained(&case, &world, &contained)?;
    }
}
