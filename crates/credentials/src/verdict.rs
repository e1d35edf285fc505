//! The verdict: what the read-back says, what stood in the way, and what remains.

use incident::InstanceId;
use incident::evidence::{Denial, DenialScope, DenialStatus};
use incident::plan::Plan;
use incident::risk::{Risk, RiskKind};
use incident::text::bounded;
use jiff::Timestamp;

use crate::Means;
use crate::decide::{Role, Slot, covers};
use crate::obstacle::{About, Obstacle};

/// What a run has come to know.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    instance: &'a InstanceId,
    policy: &'a str,
    /// What was wanted.
    pub(crate) scope: DenialScope,
    pub(crate) means: Means,
    pub(crate) role: Option<Role>,
    pub(crate) slot: Option<Slot>,
    /// How far the target is denied, as it was read.
    pub(crate) reached: Option<DenialScope>,
    read_back_at: Option<Timestamp>,
    pub(crate) obstacles: Vec<Obstacle>,
}

impl<'a> Verdict<'a> {
    pub(crate) const fn new(instance: &'a InstanceId, policy: &'a str, scope: DenialScope) -> Self {
        Self {
            instance,
            policy,
            scope,
            means: Means::Tags,
            role: None,
            slot: None,
            reached: None,
            read_back_at: None,
            obstacles: Vec::new(),
        }
    }

    /// Notes what was read.
    pub(crate) fn read(&mut self, reached: Option<DenialScope>) {
        self.reached = reached;
        self.read_back_at = Some(handler::now());
    }

    /// What the step says.
    pub(crate) fn denial(&self) -> Denial {
        let unknown = || self.obstacles.iter().any(|obstacle| obstacle.status() == DenialStatus::Unknown);
        let status = match self.reached {
            Some(_) => DenialStatus::Denied,
            None if unknown() => DenialStatus::Unknown,
            None => DenialStatus::NotDenied,
        };
        // What stood in the way of what is so all the same is in the records.
        let done = covers(self.reached, self.scope);
        let obstacles: &[Obstacle] = if done { &[] } else { &self.obstacles };
        let mut reasons: Vec<String> = obstacles.iter().map(|obstacle| bounded(&obstacle.reason(), 600)).collect();
        if done && self.reached != Some(self.scope) {
            reasons.push(
                "an earlier case has denied everything already, what Systems Manager's agent needs too: memory cannot be captured"
                    .to_owned(),
            );
        }
        Denial {
            status,
            scope: self.reached.unwrap_or(self.scope),
            role: self.role.as_ref().map(|role| role.arn.clone()),
            read_back_at: self.read_back_at,
            reasons,
            risks: self.risks(obstacles),
            failure: None,
        }
    }

    fn risks(&self, obstacles: &[Obstacle]) -> Vec<Risk> {
        let subject = self.role.as_ref().map_or("", |role| role.arn.as_str());
        let about = About { instance: self.instance, scope: self.scope, slot: self.slot, policy: self.policy };
        let credentials = |advice: &str| Risk::new(RiskKind::RoleCredentials, subject, advice);
        let Some(reached) = self.reached else {
            // One risk for each role: the first obstacle is the one to clear first.
            let advice = obstacles.first().map(|obstacle| obstacle.advice(about)).unwrap_or_default();
            return vec![credentials(&format!("the role's credentials are still good: {advice}"))];
        };
        let advice = match (obstacles.first(), reached) {
            (Some(obstacle), _) => {
                format!("the credentials may still do what Systems Manager's agent needs: {}", obstacle.advice(about))
            }
            (None, DenialScope::AllButSystemsManager) => {
                format!("until lock-down the credentials may do what Systems Manager's agent needs; {}", self.left())
            }
            (None, DenialScope::All) => self.left(),
        };
        let metadata = "instance metadata still hands out the role's credentials, which are denied as those before";
        vec![credentials(&advice), Risk::new(RiskKind::InstanceMetadata, self.instance.as_str(), metadata)]
    }

    /// What no denial on the role reaches.
    fn left(&self) -> String {
        let instance = self.instance;
        let siblings = match self.means {
            Means::AllSessions { .. } => "older sessions of every other instance and user of the role are denied too; ",
            Means::Tags | Means::Inline { .. } => "",
        };
        format!(
            "{siblings}sessions of other roles (an hour at most) and logins to registries, clusters and databases that were got with \
             the credentials go on: look in CloudTrail for what the session {instance} asked for"
        )
    }
}

/// The plan leaves the credentials alone.
pub(crate) fn withheld(scope: DenialScope, reason: &str) -> Denial {
    Denial {
        status: DenialStatus::Withheld,
        scope,
        role: None,
        read_back_at: None,
        reasons: vec![bounded(reason, 600)],
        risks: Vec::new(),
        failure: None,
    }
}

/// The target has no role, as far as triage saw.
pub(crate) fn nothing(plan: &Plan, scope: DenialScope) -> Denial {
    let instance = &plan.target.instance_id;
    let advice = if plan.target.state.is_alive() {
        format!(
            "the target has no instance profile; where default host management is on, Systems Manager gives its agent credentials of \
             that role, which are not touched: deny them by ssm:SourceInstanceARN like `*{instance}`, or switch it off"
        )
    } else {
        format!(
            "the target is gone, and AWS does not say any more which role it had: look in CloudTrail for the session {instance}, and deny \
             it on that role"
        )
    };
    Denial {
        status: DenialStatus::NothingToDeny,
        scope,
        role: None,
        read_back_at: None,
        reasons: Vec::new(),
        risks: vec![Risk::new(RiskKind::RoleCredentials, "", &advice)],
        failure: None,
    }
}
