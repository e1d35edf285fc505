//! The Lambda function of the step `memory-capture`.

use memory_capture::{Clients, Deployment, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let clients = Clients {
        ssm: aws_sdk_ssm::Client::new(&config),
        sts: aws_sdk_sts::Client::new(&config),
        store: handler::Store::from_env(&config)?,
        deployment: Deployment::from_env()?,
        config,
    };
    handler::serve(async |input| Box::pin(handle(&clients, input)).await).await
}
