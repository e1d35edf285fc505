//! A fault at each AWS call of a release, before and after its effect: nothing is changed unannounced, nothing is opened on an
//! unread claim, what is said was read back, and a run without fault brings the rest.

use incident::plan::Tracking;
use incident::record::Record;
use incident::release::{CheckVerdict, ReleasePlan, ReleaseStatus, Released, Restore, RestoredStatus};
use incident::{CaseId, Classify as _, Fault};
use release::Error;
use serde_json::json;

use super::account::{Account, Nic};
use super::audit;
use super::chain::later;
use super::faults::{CallFault, Disturbance, Ear};
use super::support::{
    Case, DB, INCIDENT, ISOLATION, LATE, NIC, OTHER, RELEASE, WEB, World, case, case_of, free, intent, moved, request, tracked,
};

/// The retries of a fault that may pass, as the definition has them.
const RETRIES: u32 = 5;
/// Enough of them for a check, which decides nothing by how often it was tried.
const RETRIES_OF_CHECK: u32 = 1;
/// The release that a person starts after the first one.
const AGAIN: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-release:again";
const CONVERSION: &str = "sg-0ccccccccccccccc2";

/// What a release begins with.
struct Scene {
    name: &'static str,
    cases: fn() -> Vec<Case>,
    /// Whether an execution that has died still claims the target.
    claimed: bool,
}

const FREE: Scene = Scene { name: "a case of a free target", cases: || vec![everything(INCIDENT)], claimed: false };

const LATER: Scene = Scene {
    name: "a case after another, whose execution died",
    cases: || vec![everything(OTHER), later(INCIDENT, OTHER)],
    claimed: true,
};

/// A case with everything that can be given back. The second interface came later: the records alone know it, and that it was
/// in the conversion group for a moment.
fn everything(execution: &'static str) -> Case {
    let mut tracking = tracked(LATE);
    tracking["from"]["tracking"] = json!(Tracking { tcp_established: Some(400), udp_stream: Some(100), udp: Some(40) });
    let converted = json!([moved(NIC, &[WEB, DB]), tracked(NIC), moved(LATE, &[DB]), tracking]);
    let cut = json!([moved(NIC, &[CONVERSION]), moved(LATE, &[CONVERSION])]);
    let mut case = case(execution);
    case.objects.extend([
        intent(execution, "20261124T033001.000Z-Isolate-00-001", &converted),
        intent(execution, "20261124T033001.000Z-Isolate-00-002", &cut),
    ]);
    case
}

/// The second interface, with these groups and this tracking.
fn with_late(account: &mut Account, group: &str, tracking: [&str; 3]) {
    let (groups, tracking) = (vec![group.to_owned()], Some(tracking.map(str::to_owned)));
    account.nics.insert(LATE.to_owned(), Nic { groups, tracking, public: None, private: "10.0.0.8".to_owned() });
    account.groups.insert(CONVERSION.to_owned(), ("cordon-conversion".to_owned(), "conversion".to_owned()));
}

/// How a release ended.
#[derive(Debug)]
enum Ended {
    /// A state failed, and its failure is told.
    Failed(String),
    Refused(Vec<String>),
    Released(Released),
}

/// One world, and what was heard in it.
struct Trial {
    world: World,
    ear: Ear,
    at: String,
    /// As the case left it, and as it was before.
    bounds: (Account, Account),
    plan: Option<ReleasePlan>,
}

impl Trial {
    async fn new(scene: &Scene, disturbance: Option<&Disturbance>) -> Self {
        let at = disturbance
            .as_ref()
            .map_or_else(|| "undisturbed".to_owned(), |it| format!("call {} of {}, {:?}", it.nth, it.action, it.fault));
        let world = World::of((scene.cases)()).await;
        world.now(|account| with_late(account, ISOLATION, ["60", "60", "30"]));
        if scene.claimed {
            world.claim(INCIDENT, false);
        }
        let mut before = free();
        with_late(&mut before, DB, ["400", "100", "40"]);
        let bounds = (world.account(), before);
        let ear = Ear::default();
        world.disturb(disturbance, &ear);
        Self { world, ear, at: format!("{}, {at}", scene.name), bounds, plan: None }
    }

    /// From now on nothing fails; what vanished stays gone.
    fn heal(&self) {
        self.world.disturb(None, &self.ear);
    }

    /// The account as the case left it, and as it was before; both without what vanished.
    fn bounds(&self) -> (Account, Account) {
        let (mut left, mut before) = self.bounds.clone();
        for vanished in self.ear.lock().unwrap().iter().filter(|it| it.fault == Some(CallFault::Gone)) {
            left.vanish(&vanished.call);
            before.vanish(&vanished.call);
        }
        (left, before)
    }

    /// As the definition conducts it: what may pass is tried again; only what was checked is restored.
    async fn conduct(&mut self, execution: &str) -> Ended {
        let mut retry = 0;
        loop {
            let from = self.heard();
            let checked = self.world.ask_as(execution, request(), retry).await;
            self.strays();
            audit::of_check(&self.ear.lock().unwrap()[from..], &case_of(execution), &self.at);
            match checked {
                Ok(checked) if checked.verdict == CheckVerdict::Release => {
                    self.plan = checked.plan;
                    return self.restore(0).await;
                }
                Ok(checked) => return Ended::Refused(checked.reasons),
                Err(error) if error.fault() == Fault::Transient && retry < RETRIES_OF_CHECK => {}
                Err(error) => return Ended::Failed(error.to_string()),
            }
            retry += 1;
        }
    }

    /// Restores what was checked, from this retry on.
    async fn restore(&mut self, first: u32) -> Ended {
        let plan = self.plan.clone().unwrap();
        let mut retry = first;
        loop {
            let from = self.heard();
            let restored = self.world.restore_as(&plan, retry).await;
            // Between two attempts as much as at the end.
            self.strays();
            self.audit(&plan, from, retry, restored.as_ref().err());
            match restored {
                Ok(released) => return Ended::Released(released),
                Err(error) if error.fault() == Fault::Transient && retry < first + RETRIES => {}
                Err(error) => return Ended::Failed(error.to_string()),
            }
            retry += 1;
        }
    }

    /// Whatever failed, the target is nothing but what it was, or as closed as the case left it.
    fn strays(&self) {
        let (left, before) = self.bounds();
        assert_eq!(
            self.world.account().strays(&left, &before),
            [""; 0],
            "{}: give back what before.json says, or nothing",
            self.at
        );
    }

    /// What is said of each thing is so, and was read.
    fn is_truthful(&self, released: &Released) {
        let (at, account) = (&self.at, self.world.account());
        let planned: Vec<&Restore> = self.plan.iter().flat_map(|plan| &plan.restore).collect();
        assert_eq!(released.items.iter().map(|item| &item.restore).collect::<Vec<_>>(), planned, "{at}: each thing is told of");
        for item in &released.items {
            let (what, shown) = (item.restore.subject(), account.shows(&item.restore));
            match item.status {
                RestoredStatus::Restored => {
                    assert!(shown, "{at}: {what} is said to be restored, and is not: go by the read-back in verdict.rs");
                    assert!(released.read_back_at.is_some(), "{at}: {what} is said to be restored unread");
                }
                RestoredStatus::NotRestored => {
                    assert!(!shown, "{at}: {what} is said not to be restored, and is: go by the read-back in verdict.rs");
                }
                RestoredStatus::Unknown => {}
            }
            assert_eq!(item.reason.is_empty(), item.status == RestoredStatus::Restored, "{at}: {what}: say why: {item:?}");
        }
        let whole = released.items.iter().all(|item| item.status == RestoredStatus::Restored);
        assert!(whole || released.status != ReleaseStatus::Released, "{at}: not all of it was read back: {released:?}");
        assert!(released.status == ReleaseStatus::Released || !released.reasons.is_empty(), "{at}: say why: {released:?}");
    }

    /// A failure says what failed, a refusal why; and whatever the undisturbed release would have given back and this one has
    /// not is named.
    fn is_told(&self, ended: &Ended, wanted: &[Restore], disturbance: &Disturbance) {
        let at = &self.at;
        let released = match ended {
            Ended::Failed(message) => {
                let service = disturbance.action.split(':').next().unwrap();
                let named = message.contains(service) || disturbance.fault == CallFault::Gone;
                assert!(named, "{at}: name the call that failed: {message}");
                return;
            }
            Ended::Refused(reasons) => {
                assert!(!reasons.is_empty(), "{at}: a refusal says why");
                return;
            }
            Ended::Released(released) => released,
        };
        self.is_truthful(released);
        let (plan, account) = (self.plan.as_ref().unwrap(), self.world.account());
        for subject in wanted.iter().filter(|restore| !account.shows(restore)).map(Restore::subject) {
            let left = released.items.iter().any(|it| it.restore.subject() == subject && it.status != RestoredStatus::Restored);
            let id = subject.rsplit_once(" of ").map_or(subject.as_str(), |(_, id)| id);
            let lost = plan.not_restorable.iter().any(|it| it.what == subject || it.what.ends_with(id));
            assert!(left || lost, "{at}: nobody hears that {subject} was not given back: {released:?} {:?}", plan.not_restorable);
        }
    }

    fn heard(&self) -> usize {
        self.ear.lock().unwrap().len()
    }

    fn audit(&self, plan: &ReleasePlan, from: usize, retry: u32, failure: Option<&Error>) {
        let heard = self.ear.lock().unwrap();
        audit::of_restore(&heard[from..], plan, &self.at);
        audit::of_records(
            &self.records(&plan.release_id),
            &heard[from..],
            retry,
            failure.map(ToString::to_string).as_deref(),
            &self.at,
        );
        audit::of_all(&heard, &self.at);
    }

    fn records(&self, release: &CaseId) -> Vec<Record> {
        self.world.records_of(release).into_iter().map(|record| serde_json::from_value(record).unwrap()).collect()
    }
}

/// A call by its place among those of its action.
type Nth = (String, usize);

/// What an undisturbed release calls, state by state, and what it gives back.
struct Undisturbed {
    check: Vec<Nth>,
    restore: Vec<Nth>,
    wanted: Vec<Restore>,
}

impl Undisturbed {
    async fn of(scene: &Scene) -> Self {
        let mut trial = Trial::new(scene, None).await;
        let ended = trial.conduct(RELEASE).await;
        let Ended::Released(released) = ended else { panic!("{}: {ended:?}", trial.at) };
        let as_before = (released.status, trial.world.account()) == (ReleaseStatus::Released, trial.bounds().1);
        assert!(as_before, "{}: {released:?}", trial.at);
        trial.is_truthful(&released);
        let mut check: Vec<Nth> = Vec::new();
        for action in trial.ear.lock().unwrap().iter().map(|it| &it.call.action) {
            let nth = check.iter().filter(|(there, _)| there == action).count();
            check.push((action.clone(), nth));
        }
        // The claim, and then the plan: the check's last word.
        let planned = check.iter().position(|call| *call == ("s3:PutObject".to_owned(), 1)).unwrap();
        let restore = check.split_off(planned + 1);
        Self { check, restore, wanted: released.items.into_iter().map(|item| item.restore).collect() }
    }

    /// Runs a release once for each call of `calls` and each fault that it can have.
    async fn disturbed(&self, scene: &Scene, calls: &[Nth], faults: &[CallFault]) {
        for (action, nth) in calls {
            for fault in faults.iter().copied().filter(|fault| fault.befalls(action)) {
                self.disturb(scene, Disturbance { action: action.clone(), nth: *nth, fault }).await;
            }
        }
    }

    async fn disturb(&self, scene: &Scene, disturbance: Disturbance) {
        let mut trial = Trial::new(scene, Some(&disturbance)).await;
        let ended = trial.conduct(RELEASE).await;
        trial.is_told(&ended, &self.wanted, &disturbance);
        let whole = matches!(&ended, Ended::Released(released) if released.status == ReleaseStatus::Released);
        assert!(whole || !disturbance.fault.passes(), "{}: what passes is ridden out: {ended:?}", trial.at);
        trial.heal();
        again(&mut trial, whole).await;
        another(&mut trial).await;
    }
}

#[tokio::test]
async fn a_fault_at_any_call_of_a_check_is_told_opens_nothing_and_another_release_brings_everything() {
    let undisturbed = Undisturbed::of(&FREE).await;
    assert!(undisturbed.check.len() > 20, "{:?}", undisturbed.check);
    undisturbed.disturbed(&FREE, &undisturbed.check, &CallFault::ALL).await;
}

#[tokio::test]
async fn a_fault_at_any_call_of_the_check_of_two_cases_and_a_dead_claim_opens_nothing() {
    let undisturbed = Undisturbed::of(&LATER).await;
    assert!(undisturbed.check.contains(&("states:DescribeExecution".to_owned(), 0)), "{:?}", undisturbed.check);
    assert!(undisturbed.check.contains(&("kms:Verify".to_owned(), 1)), "{:?}", undisturbed.check);
    let wanted = Undisturbed::of(&FREE).await.wanted;
    assert_eq!(undisturbed.wanted, wanted, "the later case is released to what the earlier one saved");
    let faults = [CallFault::Refused, CallFault::Lost, CallFault::Gone];
    undisturbed.disturbed(&LATER, &undisturbed.check, &faults).await;
}

#[tokio::test]
async fn a_fault_at_any_call_of_a_restore_changes_nothing_unannounced_is_told_and_the_next_attempt_brings_the_rest() {
    let undisturbed = Undisturbed::of(&FREE).await;
    assert!(undisturbed.wanted.len() == 13 && undisturbed.restore.len() > 30, "{:?}", undisturbed.restore);
    undisturbed.disturbed(&FREE, &undisturbed.restore, &CallFault::ALL).await;
}

/// The same step a second time, and nothing fails.
async fn again(trial: &mut Trial, whole: bool) {
    if trial.plan.is_none() {
        return;
    }
    let changes = trial.world.changes().len();
    let ended = trial.restore(RETRIES + 1).await;
    let at = &trial.at;
    let Ended::Released(released) = ended else { panic!("{at}: a second run without fault goes through: {ended:?}") };
    trial.is_truthful(&released);
    assert!(!whole || trial.world.changes().len() == changes, "{at}: a second run changed what was restored: look first");
    let before = trial.bounds().1;
    // With a group of an interface gone, the interface waits for another release, and the Auto Scaling group for the interface.
    let cut = released.items.iter().any(|item| match &item.restore {
        Restore::Groups { interface, .. } => before.nics.contains_key(interface.as_str()) && !before.shows(&item.restore),
        _ => false,
    });
    let waits = |restore: &Restore| cut && matches!(restore, Restore::AutoScalingGroup { .. });
    for item in released.items.iter().filter(|item| before.shows(&item.restore) && !waits(&item.restore)) {
        assert_eq!(item.status, RestoredStatus::Restored, "{at}: a second run without fault gives it back: {item:?}");
    }
}

/// Another release, which a person starts where the first one said that something is left.
async fn another(trial: &mut Trial) {
    if trial.world.account() == trial.bounds().1 {
        return;
    }
    let ended = trial.conduct(AGAIN).await;
    let (at, before) = (&trial.at, trial.bounds().1);
    if before.state == "gone" {
        let refused = matches!(&ended, Ended::Refused(reasons) if reasons.iter().any(|reason| reason.contains("is gone")));
        assert!(refused, "{at}: nothing is left to release: {ended:?}");
        return;
    }
    let Ended::Released(released) = ended else { panic!("{at}: a release without fault goes through: {ended:?}") };
    trial.is_truthful(&released);
    assert_eq!(released.status, ReleaseStatus::Released, "{at}: {released:?}");
    assert_eq!(trial.world.account(), before, "{at}: another release brings the rest");
}
