//! Where the flow logs of the target's VPCs, subnets and interfaces go: the logs themselves stay where they are.

use std::collections::BTreeSet;

use handler::{AwsError, failed};
use serde_json::json;

use super::{Found, MOST_PAGES, MOST_VALUES, filter};
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    const BY: &str = "resource-id";
    let interfaces: Vec<&str> =
        run.plan.target.interfaces.iter().map(|interface| interface.id.as_str()).take(MOST_VALUES).collect();
    if interfaces.is_empty() {
        return Ok(Found::Nothing("it has no interface".to_owned()));
    }
    let mut answers = Answers::default();
    let subnets = subnets(run, &mut answers, &interfaces).await?;
    let vpcs = run.plan.target.interfaces.iter().map(|interface| interface.vpc.as_str().to_owned());
    let logged: BTreeSet<String> =
        vpcs.chain(subnets).chain(interfaces.iter().map(|id| (*id).to_owned())).take(MOST_VALUES).collect();
    let ask = async |next| {
        let raw = Raw::default();
        let describe = run.clients.ec2.describe_flow_logs().filter(filter(BY, &logged)).set_next_token(next);
        let answer = describe.customize().interceptor(raw.clone()).send().await.map_err(failed("ec2:DescribeFlowLogs"))?;
        Ok(Page { items: answer.flow_logs().len(), answer: raw.xml(), next: answer.next_token })
    };
    answers.pages(("ec2:DescribeFlowLogs", json!({"Filter": {BY: logged}})), MOST_PAGES, ask).await?;
    Ok(Found::Answers(answers, "Read the logs where `logDestination` or `logGroupName` says, before their retention is over."))
}

/// The subnets of the interfaces, which the plan does not have.
async fn subnets(run: &Run<'_>, answers: &mut Answers, interfaces: &[&str]) -> Result<Vec<String>, AwsError> {
    const BY: &str = "network-interface-id";
    let mut subnets = Vec::new();
    let ask = async |next| {
        let raw = Raw::default();
        let describe = run.clients.ec2.describe_network_interfaces().filters(filter(BY, interfaces)).set_next_token(next);
        let answer =
            describe.customize().interceptor(raw.clone()).send().await.map_err(failed("ec2:DescribeNetworkInterfaces"))?;
        subnets.extend(answer.network_interfaces().iter().filter_map(|interface| interface.subnet_id().map(str::to_owned)));
        Ok(Page { items: 0, answer: raw.xml(), next: answer.next_token })
    };
    answers.pages(("ec2:DescribeNetworkInterfaces", json!({"Filters": {BY: interfaces}})), MOST_PAGES, ask).await?;
    Ok(subnets)
}
