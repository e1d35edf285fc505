//! The Lambda function of the step `permission`.

use handler::env;
use permission::{Clients, Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), handler::Fatal> {
    let config = handler::aws_config().await;
    let clients = Clients {
        sts: aws_sdk_sts::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        sns: aws_sdk_sns::Client::new(&config),
        store: handler::Store::from_env(&config)?,
        settings: Settings {
            topic: env::required("TOPIC_ARN")?,
            sts_host: env::required("STS_HOST")?,
            own_role_prefix: env::required("OWN_ROLE_PREFIX")?,
        },
    };
    handler::serve(async |input| Box::pin(handle(&clients, input)).await).await
}
