//! The Lambda function of the step `copy-snapshot`.

use copy_snapshot::{Clients, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        store: handler::Store::from_env(&config)?,
        key: handler::env::optional("COPY_KEY_ARN"),
    };
    handler::serve(async |input| Box::pin(handle(&clients, input)).await).await
}
