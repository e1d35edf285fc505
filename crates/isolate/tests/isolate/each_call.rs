//! A fault at each AWS call of Isolate, `CloseDoor` and Lockdown, before and after its effect: never more open than before, always
//! read back, always told.

use incident::evidence::{ContainmentStatus, InterfaceOutcome, InterfaceStatus, LockdownStatus};
use incident::{Classify as _, Fault};
use serde_json::Value;

use crate::support::{CONVERSION, CallFault, Cloud, NIC, NIC2, VPC, VPC2, WEB, capturing, plan};

/// The retries of a fault that may pass, as the definition has them.
const RETRIES: u32 = 5;

/// Where a state begins.
struct Scene {
    name: &'static str,
    mode: &'static str,
    cloud: fn() -> Cloud,
    plan: fn() -> Value,
}

fn two() -> Cloud {
    Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &[WEB])])
}

fn plan_of_two() -> Value {
    plan(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &[WEB])])
}

fn collecting() -> Value {
    capturing(plan_of_two())
}

/// Isolate died between a convert and its cut.
fn half_way() -> Cloud {
    let cloud = two().with_pair();
    cloud.account().nics.get_mut(NIC).unwrap().groups = vec![CONVERSION.to_owned()];
    cloud
}

/// Memory was collected, and the way out is still there.
fn on_the_path() -> Cloud {
    let cloud = two().with_collection();
    cloud.account().nics.get_mut(NIC).unwrap().groups = vec![crate::support::COLLECTION.to_owned()];
    cloud
}

const SCENES: [Scene; 6] = [
    Scene { name: "the first time in a VPC", mode: "contain", cloud: two, plan: plan_of_two },
    Scene { name: "with the pair there", mode: "contain", cloud: || two().with_pair(), plan: plan_of_two },
    Scene { name: "with a way out for memory", mode: "contain", cloud: two, plan: collecting },
    Scene { name: "after Isolate died half way", mode: "close-door", cloud: half_way, plan: plan_of_two },
    Scene { name: "with the way out still there", mode: "close-door", cloud: on_the_path, plan: collecting },
    Scene { name: "after memory", mode: "lockdown", cloud: on_the_path, plan: collecting },
];

/// What the last state that ran says; nothing where the definition has to say it for the step.
#[derive(Debug)]
struct Said {
    done: bool,
    read_back: bool,
    interfaces: Vec<InterfaceOutcome>,
    reasons: Vec<String>,
}

#[tokio::test]
async fn a_fault_at_any_call_leaves_nothing_more_open_and_is_read_back_and_told() {
    let mut runs = 0;
    for scene in &SCENES {
        let undisturbed = (scene.cloud)();
        let said = conduct(scene, &undisturbed, scene.name).await.unwrap();
        assert!(said.done && said.read_back, "{}: {said:?}", scene.name);
        let calls = undisturbed.aws.actions();
        assert!(calls.len() > 6, "{}: only {calls:?}", scene.name);
        for (n, action) in calls.iter().enumerate() {
            for fault in [CallFault::Refused, CallFault::Throttled, CallFault::Lost] {
                let at = format!("{}, call {n}, {action}, {fault:?}", scene.name);
                let cloud = (scene.cloud)();
                cloud.fail_call(n, fault);
                let said = conduct(scene, &cloud, &at).await;
                told(&cloud, said.as_ref(), &at);
                // What passes is ridden out.
                let done = said.as_ref().is_some_and(|said| said.done);
                assert!(fault == CallFault::Refused || done, "{at}: {said:?}");
                runs += 1;
            }
        }
    }
    assert!(runs > 200, "only {runs} faults were tried");
}

/// As the definition conducts it: what may pass is tried again; what else breaks Isolate is followed by `CloseDoor`, and what
/// breaks Lockdown by the simpler `ClosePath`.
async fn conduct(scene: &Scene, cloud: &Cloud, at: &str) -> Option<Said> {
    let said = tried(scene.mode, scene, cloud, at).await;
    if said.is_some() || scene.mode == "close-door" { said } else { tried("close-door", scene, cloud, at).await }
}

async fn tried(mode: &str, scene: &Scene, cloud: &Cloud, at: &str) -> Option<Said> {
    let plan = (scene.plan)();
    for retry in 0..=RETRIES {
        let run = if mode == "lockdown" {
            let locked = cloud.lock_down(retry, &plan).await;
            locked.map(|locked| Said {
                done: locked.status == LockdownStatus::LockedDown,
                read_back: locked.read_back_at.is_some(),
                interfaces: locked.interfaces,
                reasons: locked.reasons,
            })
        } else {
            let contained = cloud.run(mode, retry, &plan).await;
            contained.map(|contained| Said {
                done: contained.status == ContainmentStatus::Contained,
                read_back: contained.read_back_at.is_some(),
                interfaces: contained.interfaces,
                reasons: contained.reasons,
            })
        };
        // Between two attempts as much as at the end.
        assert_eq!(wide_open(cloud), [""; 0], "{at}: after {mode}, retry {retry}");
        match run {
            Ok(said) => return Some(said),
            Err(error) if error.fault() == Fault::Transient => {}
            Err(_) => return None,
        }
    }
    None
}

/// The interfaces in a conversion group that lets anything pass.
fn wide_open(cloud: &Cloud) -> Vec<String> {
    let account = cloud.account();
    let open = |id: &String| {
        account.groups.get(id).is_some_and(|group| {
            group.name.starts_with("cordon-conversion") && !(group.ingress.is_empty() && group.egress.is_empty())
        })
    };
    account.nics.iter().filter(|(_, nic)| nic.groups.iter().any(open)).map(|(id, _)| id.clone()).collect()
}

/// What is said is so, and what is not well is said.
fn told(cloud: &Cloud, said: Option<&Said>, at: &str) {
    let Some(said) = said else { return };
    assert!(said.read_back || !said.done, "{at}: said unread: {said:?}");
    assert!(said.done || !said.reasons.is_empty(), "{at}: nobody hears why: {said:?}");
    for nic in &said.interfaces {
        let rules = rules_on(cloud, nic.id.as_str());
        match nic.status {
            InterfaceStatus::Cut => assert_eq!(rules, [""; 0], "{at}: {} is said to be cut", nic.id),
            InterfaceStatus::PathOnly => {
                assert!(
                    rules.iter().all(|rule| !rule.contains('/')),
                    "{at}: {} is said to have its path alone: {rules:?}",
                    nic.id
                );
            }
            _ => {}
        }
    }
}

/// Every rule that holds for an interface; a group of the target's own counts as one.
fn rules_on(cloud: &Cloud, nic: &str) -> Vec<String> {
    let account = cloud.account();
    let groups = account.nics[nic].groups.clone();
    let of = |id: &String| account.groups.get(id).map_or(vec![id.clone()], |group| [&group.ingress[..], &group.egress].concat());
    groups.iter().flat_map(of).collect()
}
