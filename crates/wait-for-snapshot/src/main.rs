//! The Lambda function of the step `wait-for-snapshot`.

use wait_for_snapshot::handle;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let ec2 = aws_sdk_ec2::Client::new(&handler::aws_config().await);
    handler::serve(async |input| handle(&ec2, input).await).await
}
