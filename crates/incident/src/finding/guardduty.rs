//! GuardDuty's findings: as EventBridge delivers them (camelCase) and as `GetFindings` gives them (PascalCase).

use super::value::{At, says_sample};
use super::{FindingError, Trigger};
use crate::ids::InstanceId;
use crate::plan::{FindingSummary, Source};

pub(super) fn parse(body: &At<'_>) -> Result<Trigger, FindingError> {
    let title = body.text(&["title"], 400);
    let info = body.find(&["service", "additionalInfo"]);
    let in_info = |name: &str| info.as_ref().and_then(|info| info.get(name));
    let sample = title.starts_with("[SAMPLE]")
        || in_info("sample").is_some_and(|s| s.is_true())
        || in_info("value")
            .is_some_and(|v| v.value.as_str().map_or(v.find(&["sample"]).is_some_and(|s| s.is_true()), says_sample));
    let kind = body.text(&["type"], 200);
    if kind.is_empty() {
        return Err(FindingError::new(format!("{}.type", body.path), "is not a text that says something"));
    }
    let action = body.find(&["service", "action", "networkConnectionAction"]);
    Ok(Trigger {
        summary: FindingSummary {
            source: Source::GuardDuty,
            id: body.text(&["id"], 300),
            kind,
            title,
            severity: severity(body)?,
            account: body.text(&["accountId"], 64),
            region: body.text(&["region"], 64),
            first_seen: body.text(&["service", "eventFirstSeen"], 64),
            updated_at: body.text(&["updatedAt"], 64),
        },
        instances: instances(body)?,
        resource_type: body.text(&["resource", "resourceType"], 64),
        sample,
        archived: body.find(&["service", "archived"]).is_some_and(|a| a.is_true()),
        drill: false,
        role: body.find(&["service", "resourceRole"]).and_then(|r| r.as_text(32)),
        direction: action.and_then(|a| a.get("connectionDirection")).and_then(|d| d.as_text(32)),
        dry_run: false,
        security_hub: None,
    })
}

/// 0 to 10. A finding without a severity that can be read is refused, which is told, rather than taken for harmless.
fn severity(body: &At<'_>) -> Result<f64, FindingError> {
    let at = body.get("severity").ok_or_else(|| FindingError::new(format!("{}.severity", body.path), "is missing"))?;
    let number = at.number().or_else(|| match at.value.as_str()?.to_ascii_uppercase().as_str() {
        "LOW" => Some(2.0),
        "MEDIUM" => Some(5.0),
        "HIGH" => Some(8.0),
        "CRITICAL" => Some(9.5),
        _ => None,
    });
    number.map(|n| n.clamp(0.0, 10.0)).ok_or_else(|| FindingError::new(&at.path, "is not a number from 0 to 10"))
}

fn instances(body: &At<'_>) -> Result<Vec<InstanceId>, FindingError> {
    let mut found: Vec<InstanceId> = Vec::new();
    if let Some(at) = body.find(&["resource", "instanceDetails", "instanceId"]).filter(|at| at.value != "None" && at.value != "")
    {
        found.push(at.instance()?);
    } else if body.text(&["resource", "resourceType"], 64) == "Instance" {
        let path = format!("{}.resource.instanceDetails.instanceId", body.path);
        return Err(FindingError::new(path.trim_start_matches('.'), "is missing although the resource is an instance"));
    }
    // Attack sequences name their resources by ARN.
    let resources = body.find(&["service", "detection", "sequence", "resources"]);
    for resource in resources.iter().flat_map(|r| r.items(1000)) {
        let Some(uid) = resource.get("uid") else { continue };
        let ec2 = resource.text(&["resourceType"], 64) == "EC2_INSTANCE";
        let arn = uid.value.as_str().is_some_and(|s| s.contains(":instance/"));
        if ec2 || arn {
            let id = uid.instance()?;
            if !found.contains(&id) {
                found.push(id);
            }
        }
    }
    Ok(found)
}
