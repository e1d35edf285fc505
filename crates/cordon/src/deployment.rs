//! Where Cordon is: the ordinary AWS environment, and the parameter that the template writes.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ssm::error::ProvideErrorMetadata as _;
use serde::Deserialize;

use crate::{Arguments, Error};

/// What the template says of itself. Unknown fields are those of later versions.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deployment {
    pub(crate) state_machine_arn: String,
    pub(crate) bucket: String,
    pub(crate) signing_key_arn: String,
    /// The function that takes people's answers; absent before a version that has it.
    pub(crate) permission_function: Option<String>,
    /// The state machine that gives targets back; absent before a version that has it.
    pub(crate) release_state_machine: Option<String>,
    /// The function that contains, prepares and looks; absent before a version that is asked.
    pub(crate) isolate_function: Option<String>,
    /// The STS endpoint by which that function finds out who answers.
    pub(crate) sts_host: Option<String>,
}

/// The AWS configuration: profile, Region and endpoint as everywhere else.
pub(crate) async fn aws(arguments: &Arguments) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = &arguments.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &arguments.region {
        loader = loader.region(Region::new(region.clone()));
    }
    loader.load().await
}

/// Finds the deployment.
pub(crate) async fn find(arguments: &Arguments, config: &SdkConfig) -> Result<Deployment, Error> {
    let name = &arguments.deployment;
    let why = |why: String| Error::Deployment { name: name.clone(), why };
    let answer = aws_sdk_ssm::Client::new(config).get_parameter().name(name).send().await.map_err(|error| {
        if error.code() == Some("ParameterNotFound") {
            why("there is no such parameter in this account and Region".to_owned())
        } else {
            Error::aws("ssm:GetParameter")(error)
        }
    })?;
    let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
    serde_json::from_str(&value).map_err(|error| why(error.to_string()))
}
