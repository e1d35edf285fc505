//! Sends the request that a person signed, and learns from STS who that was.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use handler::{AwsError, failed};
use incident::{Classify as _, Fault};

/// The call as errors name it. It needs no right.
const CALL: &str = "sts:GetCallerIdentity";

/// Who signed, as STS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) arn: String,
    pub(crate) account: String,
}

/// Replaces what the SDK has signed by what the person has: endpoint, connection, retries and errors stay the SDK's.
#[derive(Debug)]
struct AsSigned(Vec<(&'static str, String)>);

impl Intercept for AsSigned {
    fn name(&self) -> &'static str {
        "AsSigned"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        let there: Vec<String> = headers.iter().map(|(name, _)| name.to_owned()).collect();
        for name in there {
            headers.remove(name);
        }
        for (name, value) in &self.0 {
            headers.try_insert(*name, value.clone())?;
        }
        Ok(())
    }
}

/// Who signed a request with these headers. `Ok(Err(_))` where STS says that nobody did.
pub(crate) async fn signer(
    sts: &aws_sdk_sts::Client,
    headers: Vec<(&'static str, String)>,
) -> Result<Result<Signer, AwsError>, AwsError> {
    let call = sts.get_caller_identity().customize().interceptor(AsSigned(headers));
    match call.send().await.map_err(failed(CALL)) {
        Ok(answer) => Ok(Ok(Signer { arn: answer.arn.unwrap_or_default(), account: answer.account.unwrap_or_default() })),
        Err(error) if error.fault() == Fault::Transient => Err(error),
        Err(error) => Ok(Err(error)),
    }
}
