//! Which case an execution works on, when nobody says.

use handler::{AwsError, CaseFile};
use incident::claim::Claim;
use incident::plan::{LockMode, Plan, Retention};
use incident::{CaseId, InstanceId, Visit, case};
use jiff::SignedDuration;
use serde_json::Value;

use crate::{Clients, Error};

/// A case that there is something of.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Its file.
    pub(crate) file: CaseFile,
    /// What was decided; absent where triage broke before it could decide.
    pub(crate) plan: Option<Plan>,
    /// How its objects are locked.
    pub(crate) retention: Retention,
}

/// The case of a plan.
pub(crate) fn planned(clients: &Clients, plan: Plan) -> Case {
    Case { file: clients.store.case(&plan.case_id, plan.retention), retention: plan.retention, plan: Some(plan) }
}

/// The case of `visit`'s execution: from its plan, or from the instances that its input names. A name in the input is
/// believed only if the bucket knows a case or a claim of this very execution for it.
pub(crate) async fn find(clients: &Clients, visit: &Visit, plan: Option<Plan>, input: &Value) -> Result<Option<Case>, Error> {
    if let Some(plan) = plan {
        return Ok(Some(planned(clients, plan)));
    }
    for instance in instances(input) {
        let id = CaseId::new(&instance, &visit.execution);
        if let Some(fetched) = clients.store.get(&case::key(&id, case::PLAN)).await? {
            match fetched.json::<Plan>() {
                Ok(plan) if plan.case_id == id => return Ok(Some(planned(clients, plan))),
                _ => return Ok(Some(unplanned(clients, visit, &id))),
            }
        }
        let claimed = claim(clients, &instance).await?.is_some_and(|(claim, _)| claim.case_id == id);
        if claimed || !clients.store.keys(&case::prefix(&id), "").await?.is_empty() {
            return Ok(Some(unplanned(clients, visit, &id)));
        }
    }
    Ok(None)
}

fn unplanned(clients: &Clients, visit: &Visit, id: &CaseId) -> Case {
    let kept = SignedDuration::from_hours(24 * i64::from(clients.settings.evidence_days));
    let until = visit.entered.checked_add(kept).unwrap_or(visit.entered);
    let retention = Retention { mode: LockMode::Governance, until };
    Case { file: clients.store.case(id, retention), plan: None, retention }
}

/// The claim on `instance` and its `ETag`; `None` also where it cannot be parsed, since then it is not ours.
pub(crate) async fn claim(clients: &Clients, instance: &InstanceId) -> Result<Option<(Claim, String)>, AwsError> {
    let fetched = clients.store.get(&Claim::key(instance)).await?;
    Ok(fetched.and_then(|there| Some((there.json::<Claim>().ok()?, there.etag))))
}

/// The most instances of one finding that are looked for.
const MOST_INSTANCES: usize = 10;

/// The instance ids in hostile JSON: what stands under a key like `instanceId`, and what ends an instance's ARN.
pub(crate) fn instances(input: &Value) -> Vec<InstanceId> {
    let mut found = Vec::new();
    let mut left = vec![("", input)];
    while let Some((key, value)) = left.pop() {
        match value {
            Value::Object(map) => left.extend(map.iter().map(|(key, value)| (key.as_str(), value))),
            Value::Array(list) => left.extend(list.iter().map(|value| (key, value))),
            Value::String(text) => {
                let id = match text.rsplit_once("instance/") {
                    Some((arn, id)) if arn.starts_with("arn:") => id,
                    _ if key.eq_ignore_ascii_case("instanceId") => text,
                    _ => continue,
                };
                if let Ok(id) = InstanceId::parse(id)
                    && !found.contains(&id)
                {
                    found.push(id);
                }
            }
            _ => {}
        }
    }
    found.sort();
    found.truncate(MOST_INSTANCES);
    found
}

/// `problem` as a sentence for a report.
pub(crate) fn sentence(what: &str, problem: &dyn std::error::Error) -> String {
    incident::text::bounded(&format!("{what}: {problem}"), 400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn instances_are_found_in_every_form_of_input() {
        let id = "i-0abc1234def567890";
        let arn = format!("arn:aws:ec2:eu-central-1:111122223333:instance/{id}");
        for input in [
            json!({"instanceId": id, "reason": "x"}),
            json!({"detail": {"resource": {"instanceDetails": {"instanceId": id}}}}),
            json!({"Resource": {"InstanceDetails": {"InstanceId": id}}}),
            json!({"detail": {"findings": [{"Resources": [{"Id": arn}]}]}}),
        ] {
            assert_eq!(instances(&input), [InstanceId::parse(id).unwrap()], "{input}");
        }
        for hostile in [json!(null), json!("i-0abc1234"), json!({"instanceId": "../../open"}), json!([[[{"note": id}]]])] {
            assert_eq!(instances(&hostile), [], "{hostile}");
        }
    }
}
