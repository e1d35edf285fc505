//! What never acts: pure functions from a trigger and a policy to a refusal with its reason.
//!
//! INVARIANT: nothing in the account is changed for an input that one of these refuses.

use incident::ExecutionArn;
use incident::finding::Trigger;
use incident::plan::Source;
use incident::policy::{Policy, glob_matches};
use incident::text::bounded;

/// Why the input never acts, whatever the policy says. Needs no AWS call.
pub fn never_acts(trigger: &Trigger) -> Option<String> {
    let kind = bounded(&trigger.summary.kind, 100);
    if trigger.sample {
        return Some("a sample finding never acts".to_owned());
    }
    if trigger.archived {
        return Some("an archived finding never acts".to_owned());
    }
    if trigger.instances.is_empty() {
        return Some(format!("the finding names no EC2 instance (resource type `{}`)", trigger.resource_type));
    }
    if trigger.summary.source.is_person() {
        return None;
    }
    if glob_matches("Recon:EC2/PortProbe*", &trigger.summary.kind) {
        return Some(format!("`{kind}`: the instance is the victim of a scan"));
    }
    if glob_matches("*BruteForce*", &trigger.summary.kind) && is_inbound(trigger) {
        return Some(format!("`{kind}` inbound: the instance is the victim of a brute force attack"));
    }
    imported_never_acts(trigger)
}

/// By direction; by role only where the detector gives none. An absent role is not `TARGET`.
fn is_inbound(trigger: &Trigger) -> bool {
    match trigger.direction.as_deref() {
        Some("INBOUND") => true,
        Some("OUTBOUND") => false,
        _ => trigger.role.as_deref() == Some("TARGET"),
    }
}

/// Imported Security Hub findings act only while active, and only on threats.
fn imported_never_acts(trigger: &Trigger) -> Option<String> {
    let hub = trigger.security_hub.as_ref()?;
    if hub.record_state != "ACTIVE" {
        return Some(format!("an imported finding acts only while ACTIVE, this one is `{}`", hub.record_state));
    }
    if matches!(hub.workflow.as_str(), "SUPPRESSED" | "RESOLVED") {
        return Some("an imported finding that is suppressed or resolved never acts".to_owned());
    }
    let namespace = |kind: &String| kind.split('/').next().map(str::to_owned).unwrap_or_default();
    let threat = hub.types.iter().map(namespace).any(|n| matches!(n.as_str(), "TTPs" | "Effects" | "Unusual Behaviors"));
    let check = hub.types.iter().map(namespace).any(|n| n == "Software and Configuration Checks");
    if check || !threat {
        return Some(
            "an imported finding acts only on threat types (TTPs, Effects, Unusual Behaviors), never on checks".to_owned(),
        );
    }
    None
}

/// The account and Region, where they are not the execution's. Empty is unknown, and then looking decides.
pub fn elsewhere(trigger: &Trigger, execution: &ExecutionArn) -> Option<String> {
    let (account, region) = (trigger.summary.account.as_str(), trigger.summary.region.as_str());
    let other = |theirs: &str, ours: &str| !theirs.is_empty() && theirs != ours;
    (other(account, execution.account()) || other(region, execution.region())).then(|| {
        format!(
            "the finding is about account {account} in {region}, this is {} in {}: respond there; nothing was changed",
            execution.account(),
            execution.region()
        )
    })
}

/// Why the policy lets the input not act. People are not held by severity, types and products.
pub fn policy_refuses(trigger: &Trigger, policy: &Policy) -> Option<String> {
    if trigger.drill && !policy.drills.enabled {
        return Some("a drill, and the policy does not allow drills".to_owned());
    }
    if trigger.summary.source.is_person() {
        return None;
    }
    if trigger.summary.severity < policy.minimum_severity {
        let (severity, minimum) = (trigger.summary.severity, policy.minimum_severity);
        return Some(format!("the severity {severity} is below the policy's minimum of {minimum}"));
    }
    let kind = &trigger.summary.kind;
    if !policy.allows(kind) {
        return Some(format!("the policy does not allow the type `{}`", bounded(kind, 100)));
    }
    let hub = trigger.security_hub.as_ref().filter(|_| trigger.summary.source == Source::SecurityHub)?;
    // The ARN is AWS's to give, the name the product's: for GuardDuty the ARN decides.
    let guardduty = hub.product_arn.ends_with("::product/aws/guardduty");
    let known = policy
        .security_hub
        .products
        .iter()
        .any(|product| if product == "GuardDuty" { guardduty } else { *product == hub.product_name });
    (!known).then(|| format!("the policy does not name the Security Hub product `{}`", hub.product_name))
}

/// Why a drill may not touch this target.
pub fn drill_refuses(trigger: &Trigger, tags: &[(String, String)]) -> Option<String> {
    (trigger.drill && !tags.iter().any(|(key, _)| key == "cordon:drill"))
        .then(|| "a drill acts only on a target with the tag cordon:drill".to_owned())
}
