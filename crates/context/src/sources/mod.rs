//! The sources: what each asks, and within which bounds.

mod console;
mod dns_query_logs;
mod flow_logs;
mod guardduty;
mod image;
mod instance;
mod interfaces;
mod security_groups;
mod tags;
mod trail;
mod user_data;
mod volumes;

use aws_sdk_ec2::types::Filter;
use handler::AwsError;
use incident::Fault;
use incident::context::Source;

use crate::Run;
use crate::answers::Answers;

/// The most pages of what belongs to one instance: EC2 gives hundreds of things on each.
const MOST_PAGES: usize = 4;
/// The most values that EC2 takes in one filter.
const MOST_VALUES: usize = 200;

/// What a source gave.
pub(crate) enum Found {
    /// AWS was asked, and there is none of it; why.
    Nothing(String),
    /// Answers, and what their reader must know.
    Answers(Answers, &'static str),
    /// Something that is kept as it is.
    Plain(Vec<u8>),
}

/// Asks one source.
pub(crate) async fn ask(run: &Run<'_>, source: Source) -> Result<Found, AwsError> {
    // Boxed, since each future holds a call of the SDK.
    let found = match source {
        Source::Instance => Box::pin(instance::ask(run)).await,
        Source::Volumes => Box::pin(volumes::ask(run)).await,
        Source::Interfaces => Box::pin(interfaces::ask(run)).await,
        Source::SecurityGroups => Box::pin(security_groups::ask(run)).await,
        Source::Image => Box::pin(image::ask(run)).await,
        Source::Tags => Box::pin(tags::ask(run)).await,
        Source::UserData => Box::pin(user_data::ask(run)).await,
        Source::ConsoleOutput => Box::pin(console::output(run)).await,
        Source::ConsoleScreenshot => Box::pin(console::screenshot(run)).await,
        Source::CloudTrailTarget => Box::pin(trail::target(run)).await,
        Source::CloudTrailSessions => Box::pin(trail::sessions(run)).await,
        Source::CloudTrailAccessKeys => Box::pin(trail::access_keys(run)).await,
        Source::CloudTrailStart => Box::pin(trail::start(run)).await,
        Source::GuardDutyFindings => Box::pin(guardduty::ask(run)).await,
        Source::FlowLogs => Box::pin(flow_logs::ask(run)).await,
        Source::DnsQueryLogs => Box::pin(dns_query_logs::ask(run)).await,
    };
    match found {
        Err(error) if error.is("InvalidInstanceID.NotFound") => {
            Ok(Found::Nothing("EC2 does not know the instance any more".to_owned()))
        }
        other => other,
    }
}

/// What EC2 is to look for.
fn filter<T: AsRef<str>>(name: &str, values: impl IntoIterator<Item = T>) -> Filter {
    let values = values.into_iter().take(MOST_VALUES).map(|value| value.as_ref().to_owned()).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// A question that the SDK would not put.
fn not_sent(action: &'static str, why: &str) -> AwsError {
    AwsError { action, code: "NotSent".to_owned(), message: why.to_owned(), request_id: String::new(), fault: Fault::Invalid }
}
