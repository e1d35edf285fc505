//! The function that seals, closes, and has the last word. See the library.

use handler::{Fatal, Store, env};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fatal> {
    let config = handler::aws_config().await;
    let clients = seal::Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        kms: aws_sdk_kms::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        lambda: aws_sdk_lambda::Client::new(&config),
        store: Store::from_env(&config)?,
        settings: seal::Settings {
            signing_key: env::required("SIGNING_KEY_ARN")?,
            close_door: env::optional("CLOSE_DOOR_FUNCTION_ARN"),
            notify: env::optional("NOTIFY_FUNCTION_ARN"),
            evidence_days: env::optional("EVIDENCE_DAYS").and_then(|days| days.parse().ok()).unwrap_or(365),
            most_hashed: incident::manifest::MOST_HASHED,
        },
    };
    // Boxed: the futures of four SDK clients in one are too deep for the compiler's layout queries.
    handler::serve(async |input| Box::pin(seal::handle(&clients, input)).await).await
}
