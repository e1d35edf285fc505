//! The Lambda function of the step `protect`.

use protect::{Clients, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        autoscaling: aws_sdk_autoscaling::Client::new(&config),
        elb: aws_sdk_elasticloadbalancing::Client::new(&config),
        elbv2: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        store: handler::Store::from_env(&config)?,
    };
    handler::serve(async |input| handle(&clients, input).await).await
}
