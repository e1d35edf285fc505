//! The verdict: what the read-back says, measure by measure, and what remains.

use std::collections::{BTreeMap, BTreeSet};

use handler::AwsError;
use incident::Fault;
use incident::plan::Cut;
use incident::protection::{Measure, MeasureOutcome, MeasureStatus, Membership, Protection, ProtectionStatus, ShutdownBehavior};
use incident::risk::{Risk, RiskKind};
use incident::text::bounded;

use crate::act::Made;
use crate::balancers::Left;
use crate::decide::{Mapping, Seen, can_leave, has_left, is_saved};
use crate::registered::Registered;
use crate::{Error, PATIENCE, Run};

/// The most target groups and balancers that are listed one by one: a payload has 256 KiB, and everything else of the case
/// must fit too [facts 82].
const MOST_LISTED: usize = 50;
/// The most reasons, and the most risks.
const MOST_SAID: usize = 40;

/// What the run comes to. Fails at first where something is not held and trying again may help: AWS was only busy, or has
/// taken the change and does not show it yet.
pub(crate) fn verdict(run: &Run<'_>, now: &Seen, made: &Made, left: &Left) -> Result<Protection, Error> {
    let mut measures = of_instance(run, now, made);
    measures.extend(of_group(run, now, made));
    measures.extend(of_balancers(run, left));
    let measures: Vec<MeasureOutcome> = measures.into_iter().map(|it| told_why(it, made, left)).collect();
    let failing = measures.iter().filter(|it| is_wanting(it)).find_map(|it| passing(it, made, left));
    if let Some(reason) = failing.filter(|_| run.retry < PATIENCE) {
        return Err(Error::NotYet(reason));
    }
    let status = Protection::verdict(&measures);
    let (measures, more) = listed(measures);
    let troubles = made.troubles.iter().chain(&left.troubles).map(|trouble| bounded(trouble, 400));
    let more = (more > 0).then(|| format!("{more} more target groups and load balancers are in before-balancers.json"));
    let mut reasons: Vec<String> = troubles.chain(more).collect();
    reasons.extend(measures.iter().filter(|it| is_wanting(it)).map(sentence));
    reasons.dedup();
    reasons.truncate(MOST_SAID);
    let mut risks = risks(now.spot, &measures);
    // Where it still serves, nothing of it was to end.
    if !run.withheld {
        risks.extend(flows(&left.before));
    }
    risks.truncate(MOST_SAID);
    let read_back_at = (status != ProtectionStatus::Unknown).then(handler::now);
    Ok(Protection { status, measures, read_back_at, reasons, risks, failure: None })
}

fn of_instance(run: &Run<'_>, now: &Seen, made: &Made) -> Vec<MeasureOutcome> {
    let saved = &made.saved;
    let termination = match &now.termination {
        // It takes what EC2 offers, and what EC2 does not offer is no failure [facts 20].
        Ok(false) | Err(_) if now.spot => {
            (MeasureStatus::NotOffered, "EC2 offers no termination protection for Spot instances".to_owned())
        }
        read => held(read, saved.termination_protection.is_some()),
    };
    let shutdown = now.shutdown.clone().map(|it| it == ShutdownBehavior::Stop);
    let mut all = vec![
        outcome(Measure::TerminationProtection, "", termination),
        outcome(Measure::StopProtection, "", held(&now.stop, saved.stop_protection.is_some())),
        outcome(Measure::ShutdownBehavior, "", held(&shutdown, saved.shutdown_behavior.is_some())),
    ];
    match &now.volumes {
        Ok(volumes) => all.extend(volumes.iter().map(of_volume)),
        Err(reason) => {
            let known = run.plan.target.volumes.iter();
            all.extend(known.map(|it| outcome(Measure::KeepVolume, it.id.as_str(), (MeasureStatus::Unknown, reason.clone()))));
        }
    }
    all
}

fn of_volume(volume: &Mapping) -> MeasureOutcome {
    let kept = volume.deleted.map(|deleted| !deleted).ok_or_else(|| "EC2 does not say".to_owned());
    outcome(Measure::KeepVolume, volume.volume.as_str(), held(&kept, true))
}

fn of_group(run: &Run<'_>, now: &Seen, made: &Made) -> Option<MeasureOutcome> {
    let before = made.saved.group.as_ref();
    let (name, how) = match &now.group {
        Err(reason) => (before.map(|it| it.name.as_str()), (MeasureStatus::Unknown, reason.clone())),
        Ok(now) if has_left(now.as_ref()) => (Some(before?.name.as_str()), (MeasureStatus::Held, String::new())),
        Ok(None) => return None,
        Ok(Some(_)) if run.withheld => (before.map(|it| it.name.as_str()), withheld(run)),
        Ok(Some(now)) => (Some(now.name.as_str()), (MeasureStatus::NotHeld, why_in(now, made))),
    };
    Some(outcome(Measure::AutoScalingGroup, name.unwrap_or_default(), how))
}

fn why_in(now: &Membership, made: &Made) -> String {
    if !is_saved(now, &made.saved) {
        "that it is in it was not known when what was had to be saved, so it was left there".to_owned()
    } else if can_leave(now) {
        "it was read back as still in it".to_owned()
    } else {
        format!("it is {} there, and cannot be detached safely: decide by hand", bounded(&now.lifecycle, 64))
    }
}

fn of_balancers(run: &Run<'_>, left: &Left) -> Vec<MeasureOutcome> {
    let stands = |registered: bool, unread: Option<&String>| match (registered, unread) {
        (true, _) if run.withheld => withheld(run),
        (true, _) => (MeasureStatus::NotHeld, "it was read back as still registered".to_owned()),
        (false, Some(reason)) => (MeasureStatus::Unknown, reason.clone()),
        (false, None) => (MeasureStatus::Held, String::new()),
    };
    let there: BTreeSet<&str> = left.now.targets.iter().map(|it| it.target_group.as_str()).collect();
    let groups: BTreeSet<&str> = left.before.targets.iter().map(|it| it.target_group.as_str()).collect();
    let groups = groups
        .into_iter()
        .map(|group| outcome(Measure::TargetGroup, group, stands(there.contains(group), left.now.unread.get(group))));
    let classic = left.before.classic.iter().map(|name| {
        let registered = left.now.classic.contains(name);
        outcome(Measure::ClassicBalancer, name, stands(registered, left.now.unread_classic.as_ref()))
    });
    // Somewhere in them it may be registered: nobody knows.
    let unseen = left.before.unseen().into_iter().map(|it| outcome(Measure::TargetGroup, "", (MeasureStatus::Unknown, it)));
    groups.chain(classic).chain(unseen).collect()
}

fn outcome(measure: Measure, subject: &str, (status, reason): (MeasureStatus, String)) -> MeasureOutcome {
    MeasureOutcome { measure, subject: bounded(subject, 300), status, reason: bounded(&reason, 300) }
}

fn held(read: &Result<bool, String>, saved: bool) -> (MeasureStatus, String) {
    match read {
        Ok(true) => (MeasureStatus::Held, String::new()),
        Ok(false) if !saved => {
            (MeasureStatus::NotHeld, "it could not be read, and so not be saved, at first: it was left as it is".to_owned())
        }
        Ok(false) => (MeasureStatus::NotHeld, "it was read back as it was before".to_owned()),
        Err(reason) => (MeasureStatus::Unknown, reason.clone()),
    }
}

fn withheld(run: &Run<'_>) -> (MeasureStatus, String) {
    let said = "the network is not cut without a person either, so that it still serves";
    let reasons = match &run.plan.cut {
        Cut::Now => String::new(),
        Cut::AskFirst { reasons } => reasons.iter().take(3).map(|reason| format!("; {reason}")).collect(),
    };
    (MeasureStatus::Withheld, format!("{said}{reasons}"))
}

/// How the calls went that were to bring a measure about; absent where there was none.
fn tried<'a>(it: &MeasureOutcome, made: &'a Made, left: &'a Left) -> Option<Result<(), &'a AwsError>> {
    let attempts = made.attempts.iter().chain(&left.attempts);
    let mut ours = attempts
        .filter(|attempt| attempt.measure == it.measure && bounded(&attempt.subject, 300) == it.subject)
        .map(|attempt| attempt.error.as_ref().map_or(Ok(()), Err))
        .peekable();
    ours.peek()?;
    Some(ours.collect())
}

/// The measure with what AWS said when it was refused, which tells more than the read-back, but never against it.
fn told_why(it: MeasureOutcome, made: &Made, left: &Left) -> MeasureOutcome {
    let Some(Err(error)) = tried(&it, made, left).filter(|_| is_wanting(&it)) else { return it };
    let offered = !(error.is("UnsupportedOperation") || error.is("Unsupported"));
    let status = if offered || it.status == MeasureStatus::Unknown { it.status } else { MeasureStatus::NotOffered };
    MeasureOutcome { status, reason: bounded(&error.to_string(), 300), ..it }
}

/// Why trying again may bring a measure about, where it may.
fn passing(it: &MeasureOutcome, made: &Made, left: &Left) -> Option<String> {
    match tried(it, made, left)? {
        Err(error) => (error.fault == Fault::Transient).then(|| error.to_string()),
        // It went through, and is not shown yet.
        Ok(()) => (it.status == MeasureStatus::NotHeld).then(|| sentence(it)),
    }
}

fn is_wanting(it: &MeasureOutcome) -> bool {
    matches!(it.status, MeasureStatus::NotHeld | MeasureStatus::Unknown)
}

/// At most [`MOST_LISTED`] target groups and balancers, what is wanting first; and how many more there are.
fn listed(measures: Vec<MeasureOutcome>) -> (Vec<MeasureOutcome>, usize) {
    let is_balancer = |it: &MeasureOutcome| matches!(it.measure, Measure::TargetGroup | Measure::ClassicBalancer);
    let (mut balancers, mut all): (Vec<_>, Vec<_>) = measures.into_iter().partition(is_balancer);
    balancers.sort_by_key(|it| !is_wanting(it));
    let more = balancers.len().saturating_sub(MOST_LISTED);
    balancers.truncate(MOST_LISTED);
    all.extend(balancers);
    (all, more)
}

fn sentence(it: &MeasureOutcome) -> String {
    bounded(&format!("{}: {}", it.measure.words(&it.subject).trim_end(), it.reason), 400)
}

/// What remains, the worst first.
fn risks(spot: bool, measures: &[MeasureOutcome]) -> Vec<Risk> {
    let mut all = Vec::new();
    if spot {
        all.push(Risk::new(RiskKind::SpotInterruption, "", "a Spot instance can be taken away at any time"));
    }
    let of_instance = |it: &&MeasureOutcome| {
        matches!(it.measure, Measure::TerminationProtection | Measure::StopProtection | Measure::ShutdownBehavior)
    };
    // What a Spot instance is not offered is part of its interruption; what another one is not offered leaves it as open.
    let open = |it: &&MeasureOutcome| is_wanting(it) || (it.status == MeasureStatus::NotOffered && !spot);
    let words: Vec<String> = measures.iter().filter(of_instance).filter(open).map(|it| it.measure.words(&it.subject)).collect();
    if !words.is_empty() {
        let advice = format!("others can stop or terminate it: see to it by hand that this holds: {}", words.join(", "));
        all.push(Risk::new(RiskKind::Unprotected, "", advice));
    }
    let rest = measures.iter().filter(|it| !of_instance(it)).filter(open).map(|it| {
        let (kind, advice) = match it.measure {
            Measure::AutoScalingGroup => {
                (RiskKind::AutoScaling, "the group may end it as unhealthy once it is cut off: take it out of the group by hand")
            }
            Measure::TargetGroup | Measure::ClassicBalancer => {
                (RiskKind::LoadBalancer, "it may still be sent requests, and be ended as unhealthy: take it out by hand")
            }
            _ => (RiskKind::Unprotected, "the volume may be deleted with the instance: keep it by hand"),
        };
        // Without a subject nobody looked: then the reason is what a person goes by.
        let unseen = it.subject.is_empty() && !it.reason.is_empty();
        let advice =
            if unseen { format!("not every load balancer was looked at ({}): {advice}", it.reason) } else { advice.to_owned() };
        Risk::new(kind, it.subject.as_str(), advice)
    });
    all.extend(rest);
    all
}

/// The load balancers that the target was behind, each once: what came through one may go on [facts 3, 21].
fn flows(before: &Registered) -> Vec<Risk> {
    let groups: BTreeSet<&str> = before.targets.iter().map(|it| it.target_group.as_str()).collect();
    let fronts: BTreeMap<&str, &str> = groups
        .into_iter()
        .flat_map(|group| before.fronts.get(group).into_iter().flatten().map(move |front| (front.as_str(), group)))
        .collect();
    let balancers = fronts.into_iter().map(|(front, group)| {
        // Connections through these are tracked whatever the groups say; the others' are the balancer's own.
        let advice = if ["/net/", "/gwy/"].iter().any(|kind| front.contains(kind)) {
            format!(
                "connections that came through it stay tracked and may go on: look at its flow logs; connection termination on \
                 deregistration, an attribute of {}, ends them",
                bounded(group, 150)
            )
        } else {
            DRAINING.to_owned()
        };
        Risk::new(RiskKind::BalancerFlows, bounded(front, 300), advice)
    });
    let classic = before.classic.iter().map(|name| Risk::new(RiskKind::BalancerFlows, bounded(name, 300), DRAINING));
    balancers.chain(classic).collect()
}

/// What is known of requests on their way through an Application or classic load balancer.
const DRAINING: &str = "requests that were under way when the target left it may go on until the draining time is over, unless the cut \
                        ended them: look at its access log";
