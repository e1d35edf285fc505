//! The Lambda function of the step `context`.

use context::{Clients, handle, timeouts};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let asking = config.to_builder().timeout_config(timeouts()).build();
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&asking),
        cloudtrail: aws_sdk_cloudtrail::Client::new(&asking),
        guardduty: aws_sdk_guardduty::Client::new(&asking),
        resolver: aws_sdk_route53resolver::Client::new(&asking),
        store: handler::Store::from_env(&config)?,
    };
    handler::serve(async |input| handle(&clients, input).await).await
}
