//! The Lambda function of the step `triage`.

use triage::{Clients, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        ssm: aws_sdk_ssm::Client::new(&config),
        store: handler::Store::from_env(&config)?,
        policy_parameter: handler::env::required("POLICY_PARAMETER")?,
    };
    handler::serve(async |input| handle(&clients, input).await).await
}
