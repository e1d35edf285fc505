//! Connection tracking: what the cut could not make untracked is forgotten as soon as EC2 allows.
//!
//! A flow that was tracked before, and one that EC2 always tracks [facts 1, 3], lives on until it is idle: up to five days for
//! TCP. At the shortest setting an idle one lives a minute [facts 4]. The calls come after the cut, since they share its
//! bucket of requests, and what they fail at costs nothing of the containment.

use aws_sdk_ec2::config::Builder;
use aws_sdk_ec2::types::ConnectionTrackingSpecificationRequest;
use futures_util::future;
use handler::{AwsError, failed};
use incident::plan::Tracking;
use incident::record::Change;
use serde_json::json;

use crate::act::Run;
use crate::contain::is_contained;
use crate::decide::{Nic, World};
use crate::pace;
use crate::records::{Attempt, MODIFY, change};
use crate::verdict::status;
use crate::world::look;

/// Shortens the tracking of every interface that is cut, and gives the world as it was read back then.
///
/// An interface whose old setting could not be written down keeps it.
pub(crate) async fn shorten(run: &mut Run<'_>, world: Result<World, AwsError>) -> Result<World, AwsError> {
    let world = world?;
    let long: Vec<&Nic> = too_long(run, &world).collect();
    let changes: Vec<Change> = long.iter().map(|nic| intended(nic, world.tracking(nic))).collect();
    if changes.is_empty() {
        return Ok(world);
    }
    let number = match run.recorder.intent(changes).await {
        Ok(number) => number,
        Err(error) => {
            tracing::warn!(%error, "connection tracking was left as it is");
            return Ok(world);
        }
    };
    let setting = long.iter().map(|nic| set(run, nic, world.tracking(nic)));
    let attempts = future::join_all(setting).await;
    run.done.push((number, attempts.into_iter().map(|attempt| attempt.change).collect()));
    // A world that could be read a moment ago is worth more than none, and no interface is called shortened by it.
    Ok(look(&run.clients.ec2, run.plan).await.unwrap_or(world))
}

/// The interfaces that are cut and whose idle connections are tracked for longer than they must be.
pub(crate) fn too_long<'a>(run: &Run<'_>, world: &'a World) -> impl Iterator<Item = &'a Nic> {
    let path = run.open_path();
    let cut = move |nic: &&Nic| nic.is_ours() && is_contained(status(nic, world, path).0);
    world.nics.iter().filter(cut).filter(|nic| world.tracking(nic) != Some(Tracking::SHORTEST))
}

fn intended(nic: &Nic, now: Option<Tracking>) -> Change {
    change(MODIFY, &nic.id, json!({ "tracking": now }), json!({ "tracking": Tracking::SHORTEST }))
}

async fn set(run: &Run<'_>, nic: &Nic, now: Option<Tracking>) -> Attempt {
    let shortest = ConnectionTrackingSpecificationRequest::builder()
        .set_tcp_established_timeout(Tracking::SHORTEST.tcp_established)
        .set_udp_stream_timeout(Tracking::SHORTEST.udp_stream)
        .set_udp_timeout(Tracking::SHORTEST.udp)
        .build();
    let call = run.clients.ec2.modify_network_interface_attribute().network_interface_id(nic.id.as_str());
    // While others may still be open, one call, that takes no token from them twice; lock-down has more time.
    let pace = if run.contain { pace::modest() } else { Builder::new() };
    let call = call.connection_tracking_specification(shortest).customize().config_override(pace);
    let result = call.send().await.map_err(failed(MODIFY));
    Attempt::new(intended(nic, now), result, &["InvalidNetworkInterfaceID.NotFound"])
}
