//! The Lambda function of the step `release`.

use release::{Clients, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        autoscaling: aws_sdk_autoscaling::Client::new(&config),
        elb: aws_sdk_elasticloadbalancing::Client::new(&config),
        elbv2: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        kms: aws_sdk_kms::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        store: handler::Store::from_env(&config)?,
        signing_key: handler::env::required("SIGNING_KEY_ARN")?,
    };
    handler::serve(async |input| Box::pin(handle(&clients, input)).await).await
}
