//! Security Hub's findings (ASFF): imported, behind a custom action, or bare.

use super::value::{At, says_sample};
use super::{FindingError, SecurityHub, Trigger};
use crate::ids::InstanceId;
use crate::plan::{FindingSummary, Source};

/// `action`: a person clicked. `only`: the instance whose finding counts, where the event holds several.
pub(super) fn parse(body: &At<'_>, action: bool, only: Option<&InstanceId>) -> Result<Trigger, FindingError> {
    let findings: Vec<At<'_>> = match body.get("findings") {
        Some(list) if list.value.is_array() => list.items(100).collect(),
        Some(list) => return Err(FindingError::new(&list.path, "is not a list")),
        None => vec![body.clone()],
    };
    if !action && findings.len() > 1 {
        // Security Hub sends one finding in each imported event; several would need a verdict each.
        return Err(FindingError::new(format!("{}.findings", body.path), "must hold one finding in an imported event"));
    }
    let mut named = Vec::new();
    for finding in &findings {
        let ids = instances(finding)?;
        if only.is_none_or(|only| ids.contains(only)) {
            named.push((finding, ids));
        }
    }
    let Some((first, _)) = named.first() else {
        let path = format!("{}.findings", body.path);
        return Err(FindingError::new(path, if only.is_some() { "names another instance" } else { "is empty" }));
    };
    let mut trigger = one(first, action, findings.len());
    for (finding, ids) in &named {
        trigger.sample |= is_sample(finding);
        for id in ids {
            if !trigger.instances.contains(id) {
                trigger.instances.push(id.clone());
            }
        }
    }
    Ok(trigger)
}

fn one(finding: &At<'_>, action: bool, count: usize) -> Trigger {
    let types: Vec<String> = [vec!["types"], vec!["findingProviderFields", "types"]]
        .into_iter()
        .find_map(|path| finding.find(&path).filter(|t| t.value.as_array().is_some_and(|t| !t.is_empty())))
        .iter()
        .flat_map(|types| types.items(50))
        .filter_map(|t| t.as_text(200))
        .collect();
    let product = |name: &str| field(finding, name);
    let direction = product("aws/guardduty/service/action/networkConnectionAction/connectionDirection").or_else(|| match finding
        .text(&["network", "direction"], 8)
        .as_str()
    {
        "IN" => Some("INBOUND".to_owned()),
        "OUT" => Some("OUTBOUND".to_owned()),
        _ => None,
    });
    let workflow = finding.text(&["workflow", "status"], 32);
    let archived = finding.text(&["recordState"], 32) == "ARCHIVED"
        || product("aws/guardduty/service/archived").is_some_and(|a| a == "true");
    Trigger {
        summary: FindingSummary {
            source: if action { Source::SecurityHubAction } else { Source::SecurityHub },
            id: finding.text(&["id"], 300),
            kind: types.first().map(|t| guardduty_type(t)).unwrap_or_default(),
            title: finding.text(&["title"], 400),
            severity: severity(finding),
            account: finding.text(&["awsAccountId"], 64),
            region: finding.text(&["region"], 64),
            first_seen: finding.text(&["firstObservedAt"], 64),
            updated_at: finding.text(&["updatedAt"], 64),
        },
        instances: Vec::new(),
        resource_type: finding
            .get("resources")
            .and_then(|r| r.items(1).next())
            .map(|r| r.text(&["type"], 64))
            .unwrap_or_default(),
        sample: is_sample(finding),
        archived,
        drill: false,
        role: product("aws/guardduty/service/resourceRole"),
        direction,
        dry_run: false,
        security_hub: Some(SecurityHub {
            findings: count,
            product_name: finding.text(&["productName"], 128),
            product_arn: finding.text(&["productArn"], 256),
            record_state: finding.text(&["recordState"], 32),
            workflow,
            types,
        }),
    }
}

fn field(finding: &At<'_>, name: &str) -> Option<String> {
    let fields = finding.get("productFields")?;
    fields.value.get(name).and_then(|v| v.as_str()).map(|s| crate::text::bounded(s, 256))
}

fn is_sample(finding: &At<'_>) -> bool {
    finding.text(&["title"], 400).starts_with("[SAMPLE]")
        || finding.get("sample").is_some_and(|s| s.is_true())
        || field(finding, "aws/guardduty/service/additionalInfo/sample").is_some_and(|s| s.eq_ignore_ascii_case("true"))
        || field(finding, "aws/guardduty/service/additionalInfo/value").is_some_and(|s| says_sample(&s))
}

/// `TTPs/Command and Control/Backdoor:EC2-C&CActivity.B` -> `Backdoor:EC2/C&CActivity.B`: Security Hub cannot have a
/// slash in GuardDuty's type, but the rules by type must hold in both forms. Others stay as they are.
fn guardduty_type(kind: &str) -> String {
    match kind.rsplit_once('/') {
        Some((_, last)) if last.contains(":EC2-") || last.contains(":Runtime-") => last.replacen('-', "/", 1),
        _ => kind.to_owned(),
    }
}

/// Normalized (0 to 100) divided by ten, else the lower bound of the label.
fn severity(finding: &At<'_>) -> f64 {
    let normalized = finding.find(&["severity", "normalized"]).and_then(|n| n.number());
    let label = || match finding.text(&["severity", "label"], 32).as_str() {
        "LOW" => 1.0,
        "MEDIUM" => 40.0,
        "HIGH" => 70.0,
        "CRITICAL" => 90.0,
        _ => 0.0,
    };
    normalized.unwrap_or_else(label).clamp(0.0, 100.0) / 10.0
}

fn instances(finding: &At<'_>) -> Result<Vec<InstanceId>, FindingError> {
    let mut found = Vec::new();
    for resource in finding.get("resources").iter().flat_map(|r| r.items(100)) {
        if resource.text(&["type"], 64) != "AwsEc2Instance" {
            continue;
        }
        let id = resource.get("id").ok_or_else(|| FindingError::new(format!("{}.Id", resource.path), "is missing"))?;
        let id = id.instance()?;
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(found)
}
