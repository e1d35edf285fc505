//! Tells people.

use handler::failed;

use crate::message::Message;
use crate::{Clients, Error};

/// Publishes a message; gives its id.
pub(crate) async fn publish(clients: &Clients, message: &Message) -> Result<String, Error> {
    let publish = clients
        .sns
        .publish()
        .topic_arn(&clients.settings.topic)
        .subject(incident::text::subject(&message.subject))
        .message(message.structured())
        .message_structure("json");
    let answer = publish.send().await.map_err(failed("sns:Publish"))?;
    Ok(answer.message_id.unwrap_or_default())
}
