//! What the target printed on its serial console, and what its screen showed: its own word, which whoever owns it chose.

use handler::{AwsError, failed};
use incident::text::bounded;

use super::Found;
use super::user_data::decoded;
use crate::Run;

/// What EC2 says where an instance cannot have it: another hypervisor, bare metal, or not running.
const NONE: [&str; 2] = ["UnsupportedOperation", "IncorrectInstanceState"];

pub(super) async fn output(run: &Run<'_>) -> Result<Found, AwsError> {
    // The newest only comes from Nitro; of others EC2 has what it fetched after the last boot.
    let text = match get(run, true).await {
        Err(error) if NONE.iter().any(|code| error.is(code)) => get(run, false).await?,
        other => other?,
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Found::Nothing("EC2 has none: it printed nothing, or EC2 has not fetched it yet".to_owned()));
    };
    Ok(Found::Plain(decoded(&text)))
}

async fn get(run: &Run<'_>, latest: bool) -> Result<Option<String>, AwsError> {
    let get = run.clients.ec2.get_console_output().instance_id(run.plan.target.instance_id.as_str()).latest(latest);
    Ok(get.send().await.map_err(failed("ec2:GetConsoleOutput"))?.output)
}

pub(super) async fn screenshot(run: &Run<'_>) -> Result<Found, AwsError> {
    // Not woken: that would send the target a key.
    let get = run.clients.ec2.get_console_screenshot().instance_id(run.plan.target.instance_id.as_str()).wake_up(false);
    match get.send().await.map_err(failed("ec2:GetConsoleScreenshot")) {
        Ok(answer) => Ok(match answer.image_data.filter(|image| !image.is_empty()) {
            Some(image) => Found::Plain(decoded(&image)),
            None => Found::Nothing("EC2 gave no picture".to_owned()),
        }),
        Err(error) if NONE.iter().any(|code| error.is(code)) => {
            Ok(Found::Nothing(format!("EC2 has none of it: {}", bounded(&error.message, 200))))
        }
        Err(error) => Err(error),
    }
}
