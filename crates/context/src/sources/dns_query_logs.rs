//! Where the DNS queries of the target's VPCs are logged. The resolver answers also where nothing else gets out [facts 6].

use std::collections::BTreeSet;

use aws_sdk_route53resolver::types::Filter;
use handler::{AwsError, failed};
use serde_json::json;

use super::Found;
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;

/// The most pages of associations, and of configurations.
const MOST_PAGES: usize = 2;
/// The most configurations that are described: a VPC has few.
const MOST_CONFIGURATIONS: usize = 10;

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    let vpcs: BTreeSet<&str> = run.plan.target.interfaces.iter().map(|interface| interface.vpc.as_str()).collect();
    if vpcs.is_empty() {
        return Ok(Found::Nothing("it is in no VPC that is known".to_owned()));
    }
    let mut answers = Answers::default();
    let ids = associated(run, &mut answers, &vpcs).await?;
    let ids: Vec<&String> = ids.iter().take(MOST_CONFIGURATIONS).collect();
    if !ids.is_empty() {
        let named = filter("Id", &ids);
        let list = async |next| {
            let raw = Raw::default();
            let list = run.clients.resolver.list_resolver_query_log_configs().filters(named.clone()).set_next_token(next);
            let answer = list.customize().interceptor(raw.clone()).send().await;
            let answer = answer.map_err(failed("route53resolver:ListResolverQueryLogConfigs"))?;
            Ok(Page { items: answer.resolver_query_log_configs().len(), answer: raw.json(), next: answer.next_token })
        };
        let asked = ("route53resolver:ListResolverQueryLogConfigs", json!({"Filters": {"Id": ids}}));
        answers.pages(asked, MOST_PAGES, list).await?;
    }
    Ok(Found::Answers(answers, "Read the logs where `DestinationArn` says, before their retention is over."))
}

/// The configurations that the VPCs are associated with.
async fn associated(run: &Run<'_>, answers: &mut Answers, vpcs: &BTreeSet<&str>) -> Result<BTreeSet<String>, AwsError> {
    let of_vpcs = filter("ResourceId", vpcs);
    let mut ids = BTreeSet::new();
    let list = async |next| {
        let raw = Raw::default();
        let list = run.clients.resolver.list_resolver_query_log_config_associations();
        let list = list.filters(of_vpcs.clone()).set_next_token(next).customize().interceptor(raw.clone());
        let answer = list.send().await.map_err(failed("route53resolver:ListResolverQueryLogConfigAssociations"))?;
        let found = answer.resolver_query_log_config_associations().iter();
        ids.extend(found.filter_map(|it| it.resolver_query_log_config_id().map(str::to_owned)));
        Ok(Page { items: 0, answer: raw.json(), next: answer.next_token })
    };
    let asked = ("route53resolver:ListResolverQueryLogConfigAssociations", json!({"Filters": {"ResourceId": vpcs}}));
    answers.pages(asked, MOST_PAGES, list).await?;
    Ok(ids)
}

fn filter<T: AsRef<str>>(name: &str, values: impl IntoIterator<Item = T>) -> Filter {
    let values = values.into_iter().map(|value| value.as_ref().to_owned()).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}
