//! What Systems Manager is asked: the agent, the document, the command.

use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::types::{CommandFilter, CommandFilterKey, DocumentFormat, DocumentHashType, InstanceInformationStringFilter};
use handler::aws::HttpStatus as _;
use handler::{AwsError, failed};
use incident::{Classify as _, Fault};
use jiff::{SignedDuration, Timestamp};

use crate::Case;
use crate::decide::Command;
use crate::preflight::{Agent, Pinned};

/// The most pages of commands that are searched: the history of 30 days of an instance that is patched every hour.
const MOST_PAGES: usize = 20;
/// How long a command may be on its way to the agent, in seconds: SSM takes no less than 30.
const DELIVERY_SECONDS: i64 = 600;

/// What became of the sending.
#[derive(Debug)]
pub(crate) enum Sending {
    /// It was sent.
    Sent(String),
    /// AWS refused it, so that surely nothing runs.
    Refused(AwsError),
    /// Nobody knows.
    Unknown(AwsError),
}

/// What the command printed, as far as it could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Printed {
    /// The line that says most: the last of our own script's, else the last there is, errors before output. The agent itself
    /// ends the errors with a line that only repeats the exit status.
    pub(crate) fn last_line<'a>(&'a self) -> &'a str {
        let lines = |text: &'a str| text.lines().map(str::trim).filter(|line| !line.is_empty());
        let ours = lines(&self.errors).rfind(|line| line.starts_with("cordon: "));
        ours.or_else(|| lines(&self.errors).next_back()).or_else(|| lines(&self.output).next_back()).unwrap_or_default()
    }
}

impl Case<'_> {
    /// The agent; `None` where Systems Manager knows none on the target.
    pub(crate) async fn agent(&self) -> Result<Option<Agent>, AwsError> {
        let filter = InstanceInformationStringFilter::builder().key("InstanceIds").values(self.plan.target.instance_id.as_str());
        let filter = filter.build().map_err(|error| unreadable("ssm:DescribeInstanceInformation", &error))?;
        let call = self.clients.ssm.describe_instance_information().filters(filter);
        let answer = match call.send().await.map_err(failed("ssm:DescribeInstanceInformation")) {
            Err(error) if error.is("InvalidInstanceId") => return Ok(None),
            other => other?,
        };
        Ok(answer.instance_information_list().first().map(|agent| Agent {
            ping: agent.ping_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            platform: agent.platform_type().map(|platform| platform.as_str().to_owned()).unwrap_or_default(),
        }))
    }

    /// The document's content, and what pins it: the hash is asked for of the very version whose content is read.
    pub(crate) async fn document(&self) -> Result<(String, Pinned), AwsError> {
        let name = &self.clients.deployment.document;
        let call = self.clients.ssm.get_document().name(name).document_format(DocumentFormat::Json);
        let document = call.send().await.map_err(failed("ssm:GetDocument"))?;
        let version = document.document_version.unwrap_or_default();
        let call = self.clients.ssm.describe_document().name(name).document_version(&version);
        let described = call.send().await.map_err(failed("ssm:DescribeDocument"))?.document;
        let hash = described.filter(|document| document.document_version() == Some(version.as_str()));
        let hash = hash.and_then(|document| document.hash).unwrap_or_default();
        Ok((document.content.unwrap_or_default(), Pinned { version, hash }))
    }

    /// The command of this case, where one was sent. The oldest, should there be two.
    pub(crate) async fn find_command(&self) -> Result<Option<String>, AwsError> {
        let since = self.plan.opened.saturating_sub(SignedDuration::from_mins(1)).unwrap_or(self.plan.opened);
        let filter = CommandFilter::builder().key(CommandFilterKey::InvokedAfter).value(second(since));
        let filter = filter.build().map_err(|error| unreadable("ssm:ListCommands", &error))?;
        let (mut found, mut token) = (None, None);
        for _ in 0..MOST_PAGES {
            let call = self.clients.ssm.list_commands().instance_id(self.plan.target.instance_id.as_str());
            let call = call.filters(filter.clone()).set_next_token(token);
            let page = call.send().await.map_err(failed("ssm:ListCommands"))?;
            let ours = page.commands().iter().filter(|command| {
                command.comment() == Some(self.comment().as_str())
                    && command.document_name() == Some(self.clients.deployment.document.as_str())
            });
            // The newest come first, so that the last one is the oldest.
            found = ours.filter_map(|command| command.command_id().map(str::to_owned)).next_back().or(found);
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Sends the command. Never resent by the SDK: a lost answer would run a second collector [facts 60].
    pub(crate) async fn send(&self, pinned: &Pinned, plan_url: String) -> Sending {
        let left = self.deadline().duration_since(self.now()).as_secs();
        let delivery = i32::try_from(left.clamp(30, DELIVERY_SECONDS)).unwrap_or(30);
        let call = (self.clients.ssm.send_command())
            .instance_ids(self.plan.target.instance_id.as_str())
            .document_name(&self.clients.deployment.document)
            .document_version(&pinned.version)
            .document_hash(&pinned.hash)
            .document_hash_type(DocumentHashType::Sha256)
            .parameters("PlanUrl", vec![plan_url])
            .comment(self.comment())
            .timeout_seconds(delivery);
        let once = aws_sdk_ssm::config::Builder::new().retry_config(RetryConfig::disabled());
        match call.customize().config_override(once).send().await {
            Ok(answer) => match answer.command.and_then(|command| command.command_id) {
                Some(id) => Sending::Sent(id),
                None => Sending::Unknown(unreadable("ssm:SendCommand", &"the answer names no command")),
            },
            Err(error) => {
                let refused = error.http_status().is_some_and(|status| (400..500).contains(&status));
                let error = failed("ssm:SendCommand")(error);
                if refused { Sending::Refused(error) } else { Sending::Unknown(error) }
            }
        }
    }

    /// What became of the command, and what it printed. A command that Systems Manager does not know (yet) is open: the looks
    /// at S3 tell whether it lives [facts 59].
    pub(crate) async fn invocation(&self, id: &str) -> Result<(Command, Printed), AwsError> {
        let call = self.clients.ssm.get_command_invocation().command_id(id).instance_id(self.plan.target.instance_id.as_str());
        match call.send().await.map_err(failed("ssm:GetCommandInvocation")) {
            Ok(answer) => {
                let command = answer.status().map_or(Command::Open, |status| Command::of(status.as_str()));
                let output = answer.standard_output_content.unwrap_or_default();
                Ok((command, Printed { output, errors: answer.standard_error_content.unwrap_or_default() }))
            }
            Err(error) if error.fault() == Fault::Transient => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the command's state is not known");
                Ok((Command::Open, Printed::default()))
            }
        }
    }

    /// Asks the agent to end the command.
    pub(crate) async fn cancel(&self, id: &str) -> Result<(), AwsError> {
        let call = self.clients.ssm.cancel_command().command_id(id).instance_ids(self.plan.target.instance_id.as_str());
        call.send().await.map_err(failed("ssm:CancelCommand")).map(drop)
    }

    /// By which the command is found again; 100 characters at most.
    fn comment(&self) -> String {
        format!("cordon {}", self.plan.case_id)
    }
}

fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn unreadable(action: &'static str, reason: &dyn std::fmt::Display) -> AwsError {
    let message = incident::text::bounded(&reason.to_string(), 300);
    AwsError { action, code: "UnreadableAnswer".to_owned(), message, request_id: String::new(), fault: Fault::Transient }
}
