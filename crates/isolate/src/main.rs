//! The Lambda function of the step `isolate`.

use aws_sdk_ec2::config::Builder;
use isolate::{Clients, Pace, handle, patient};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let ec2 = aws_sdk_ec2::Client::from_conf(patient(Builder::from(&config)).build());
    let clients = Clients { ec2, pace: Pace::of_many(), store: handler::Store::from_env(&config)? };
    handler::serve(async |input| handle(&clients, input).await).await
}
