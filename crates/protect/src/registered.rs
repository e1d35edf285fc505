//! Where the target is registered: target groups and classic load balancers. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancing::types::LoadBalancerDescription;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetGroup, TargetHealth, TargetHealthDescription, TargetHealthReasonEnum as Reason, TargetHealthStateEnum as State,
    TargetTypeEnum,
};
use futures_util::future::join;
use futures_util::{StreamExt as _, stream};
use handler::{AwsError, failed};
use incident::protection::Registration;
use incident::text::bounded;

use crate::decide::Seen;
use crate::{Run, told};

/// How many calls are made at a time.
pub(crate) const AT_ONCE: usize = 16;
/// The most target groups that are asked. An account may have 3,000 in a Region, and a step has a minute.
pub(crate) const MOST_GROUPS: usize = 500;

/// Where the target is registered, and where it may be without our knowing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) targets: BTreeSet<Registration>,
    pub(crate) classic: BTreeSet<String>,
    /// The ARNs of the load balancers in front of each target group that was asked, as far as there are any.
    pub(crate) fronts: BTreeMap<String, Vec<String>>,
    /// Target groups that could not be asked, each with the reason.
    pub(crate) unread: BTreeMap<String, String>,
    /// Why classic load balancers could not be listed.
    pub(crate) unread_classic: Option<String>,
    /// What else was not looked through, one sentence each.
    pub(crate) unlisted: Vec<String>,
}

impl Registered {
    /// What was not looked through, one sentence each. Few, whatever the account has.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let mut all = self.unlisted.clone();
        if let Some((group, reason)) = self.unread.first_key_value() {
            all.push(match self.unread.len() - 1 {
                0 => format!("{group} could not be asked for the target: {reason}"),
                more => format!("{group} and {more} more target groups could not be asked for the target: {reason}"),
            });
        }
        all.extend(self.unread_classic.iter().map(|reason| format!("classic load balancers could not be listed: {reason}")));
        all.iter().map(|sentence| bounded(sentence, 600)).collect()
    }
}

/// Looks everywhere, or of target groups only in `among`. What is only throttled fails at first: what is saved of it is
/// written once, and should know all.
pub(crate) async fn look(run: &Run<'_>, seen: &Seen, among: Option<BTreeSet<String>>) -> Result<Registered, AwsError> {
    let (groups, classic) = Box::pin(join(groups(run, seen, among), classic(run))).await;
    let mut found = Registered::default();
    match told(classic, run.retry)? {
        Ok(names) => found.classic = names,
        Err(reason) => found.unread_classic = Some(reason),
    }
    let mut groups = match told(groups, run.retry)? {
        Ok(groups) => groups,
        Err(reason) => {
            found.unlisted.push(format!("target groups could not be listed: {reason}"));
            Vec::new()
        }
    };
    if groups.len() > MOST_GROUPS {
        let (all, more) = (groups.len(), groups.len() - MOST_GROUPS);
        found.unlisted.push(format!("{more} of {all} target groups were not asked for the target: look there by hand"));
        groups.truncate(MOST_GROUPS);
    }
    found.fronts = groups.iter().filter(|(_, fronts)| !fronts.is_empty()).cloned().collect();
    let asking = groups.into_iter().map(|(group, _)| async {
        let targets = targets(run, seen, &group).await;
        (group, targets)
    });
    let asked: Vec<_> = stream::iter(asking).buffer_unordered(AT_ONCE).collect().await;
    for (group, targets) in asked {
        match told(targets, run.retry)? {
            Ok(targets) => found.targets.extend(targets),
            Err(reason) => drop(found.unread.insert(group, reason)),
        }
    }
    if let Err(reason) = &seen.places {
        found
            .unlisted
            .push(format!("target groups were not asked for the target's addresses, which could not be read: {reason}"));
    }
    Ok(found)
}

/// The ARNs of the target groups that could hold the target (of its VPCs, by instance or by address), each with those of the
/// load balancers in front of it.
///
/// Addresses are compared within a VPC alone, since two VPCs may use the same ones.
async fn groups(run: &Run<'_>, seen: &Seen, among: Option<BTreeSet<String>>) -> Result<Vec<(String, Vec<String>)>, AwsError> {
    if let Some(known) = among {
        return Ok(known.into_iter().map(|group| (group, Vec::new())).collect());
    }
    let pages = run.clients.elbv2.describe_target_groups().into_paginator().items().send();
    let groups: Vec<TargetGroup> =
        pages.collect::<Result<_, _>>().await.map_err(failed("elasticloadbalancing:DescribeTargetGroups"))?;
    // Where this look could not read them, triage's are better than none.
    let planned = || run.plan.target.interfaces.iter().map(|nic| nic.vpc.to_string()).collect();
    let vpcs: BTreeSet<String> = seen.places.as_ref().map_or_else(|_| planned(), |places| places.vpcs.clone());
    let near = |group: &&TargetGroup| {
        let of_kind = matches!(group.target_type(), Some(TargetTypeEnum::Instance | TargetTypeEnum::Ip));
        of_kind && group.vpc_id().is_some_and(|vpc| vpcs.contains(vpc))
    };
    let with_fronts = |group: &TargetGroup| Some((group.target_group_arn()?.to_owned(), group.load_balancer_arns().to_vec()));
    Ok(groups.iter().filter(near).filter_map(with_fronts).collect())
}

/// The target's registrations in one group. All of its targets are listed: of a target that is asked for by its id alone only
/// the group's own port is told, and it may be registered on several.
async fn targets(run: &Run<'_>, seen: &Seen, group: &str) -> Result<Vec<Registration>, AwsError> {
    let answer = run.clients.elbv2.describe_target_health().target_group_arn(group).send().await;
    let answer = match answer.map_err(failed("elasticloadbalancing:DescribeTargetHealth")) {
        // Deleted meanwhile: nothing is registered there.
        Err(error) if error.is("TargetGroupNotFound") => return Ok(Vec::new()),
        other => other?,
    };
    let is_ours =
        |id: &str| id == run.plan.target.instance_id.as_str() || seen.places.as_ref().is_ok_and(|places| places.holds(id));
    let registration = |described: &TargetHealthDescription| {
        let target = described.target()?;
        let id = target.id().filter(|id| is_ours(id))?;
        (!described.target_health().is_some_and(is_out)).then(|| Registration {
            target_group: group.to_owned(),
            target: id.to_owned(),
            port: target.port(),
            zone: target.availability_zone().map(str::to_owned),
        })
    };
    Ok(answer.target_health_descriptions().iter().filter_map(registration).collect())
}

/// Whether a target is out, or on its way: what drains gets no new requests [facts 21]. A target that is `unused` for another
/// reason (no balancer uses the group, the instance is stopped) is registered still.
fn is_out(health: &TargetHealth) -> bool {
    match health.state() {
        Some(State::Draining) => true,
        Some(State::Unused) => health.reason() == Some(&Reason::NotRegistered),
        _ => false,
    }
}

async fn classic(run: &Run<'_>) -> Result<BTreeSet<String>, AwsError> {
    let pages = run.clients.elb.describe_load_balancers().into_paginator().items().send();
    let all: Vec<LoadBalancerDescription> =
        pages.collect::<Result<_, _>>().await.map_err(failed("elasticloadbalancing:DescribeLoadBalancers"))?;
    let instance = run.plan.target.instance_id.as_str();
    let holds = |it: &&LoadBalancerDescription| it.instances().iter().any(|member| member.instance_id() == Some(instance));
    Ok(all.iter().filter(holds).filter_map(|it| it.load_balancer_name().map(str::to_owned)).collect())
}
