//! The Lambda function of the step `notify`.

use notify::{Clients, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let clients = Clients {
        sns: aws_sdk_sns::Client::new(&config),
        store: handler::Store::from_env(&config)?,
        topic: handler::env::required("TOPIC_ARN")?,
    };
    handler::serve(async |input| handle(&clients, input).await).await
}
