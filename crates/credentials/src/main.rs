//! The Lambda function of the step `credentials`.

use credentials::{Clients, Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let clients = Clients {
        iam: aws_sdk_iam::Client::new(&config),
        store: handler::Store::from_env(&config)?,
        settings: Settings::from_env()?,
    };
    handler::serve(async |input| handle(&clients, input).await).await
}
