//! Whether a capture can be begun, and if not, what a person can do. Pure.
//!
//! Every reason here is an ordinary outcome: an incident goes on without memory.

use incident::capture;
use incident::plan::{Architecture, Plan};
use incident::text::bounded;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{Deployment, decide, document};

/// What every reason ends with where only a person can still get the memory.
const BY_HAND: &str = "take the memory by hand before the instance is stopped";

/// The collector that fits the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its key in the evidence bucket.
    pub key: String,
}

/// The document, pinned: this version with this content and no other [facts 61].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pinned {
    /// Its version.
    pub version: String,
    /// The SHA-256 of its content, as Systems Manager says.
    pub hash: String,
}

/// The agent as Systems Manager describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agent {
    /// `Online`, `ConnectionLost` or `Inactive`.
    pub ping: String,
    /// `Linux`, `Windows` or `MacOS`.
    pub platform: String,
}

impl Agent {
    /// Whether it answers.
    pub fn online(&self) -> bool {
        self.ping == "Online"
    }
}

/// What stands against a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// It may pass: look again.
    Passing(String),
    /// It will not.
    Lasting(String),
}

/// The collector for the planned target, or why there is none.
pub fn collector(plan: &Plan, deployment: &Deployment) -> Result<Collector, String> {
    if plan.target.windows {
        return Err(format!("there is no collector for Windows: {BY_HAND}"));
    }
    let Some(architecture) = plan.target.architecture else {
        return Err(format!("there is no collector for the target's processor: {BY_HAND}"));
    };
    let (sha256, parameter) = match architecture {
        Architecture::X86_64 => (&deployment.collector_x86, "CollectorSha256X86"),
        Architecture::Arm64 => (&deployment.collector_arm64, "CollectorSha256Arm64"),
    };
    if sha256.is_empty() {
        let name = architecture.name();
        return Err(format!("no collector was deployed for {name}: set {parameter} for the next time, and {BY_HAND}"));
    }
    let key = format!("tools/{sha256}/collector-{}", architecture.name());
    Ok(Collector { sha256: sha256.clone(), key })
}

/// What stands against it on the agent's side, after it has been waited for so long.
pub fn agent(agent: Option<&Agent>, waited: SignedDuration) -> Option<Obstacle> {
    let reason = match agent {
        Some(agent) if agent.online() && agent.platform == "Linux" => return None,
        Some(agent) if agent.online() => {
            let platform = bounded(&agent.platform, 40);
            return Some(Obstacle::Lasting(format!(
                "the agent says that it runs on `{platform}`, and the collector is for Linux"
            )));
        }
        Some(agent) => format!(
            "the Systems Manager agent is silent ({}): see that it runs and reaches its endpoints, or {BY_HAND}",
            bounded(&agent.ping, 40)
        ),
        None => format!(
            "Systems Manager does not know the instance: it needs the agent and a role that may use Systems Manager; {BY_HAND}"
        ),
    };
    Some(if waited < decide::AGENT_PATIENCE { Obstacle::Passing(reason) } else { Obstacle::Lasting(reason) })
}

/// What is wrong with the document. One that cannot be pinned could be another by the time it runs.
pub fn document(content: &str, pinned: &Pinned, deployment: &Deployment) -> Option<Obstacle> {
    let pinnable = !pinned.version.is_empty() && !pinned.hash.is_empty();
    let unpinned = (!pinnable).then_some("Systems Manager gives no hash of it");
    let problem = document::problem(content, deployment).or(unpinned)?;
    let name = &deployment.document;
    Some(Obstacle::Lasting(format!(
        "the document `{name}` is not the one this function was built for ({problem}): deploy again, and find out who changed it"
    )))
}

/// The reason where the collector's binary is not in the bucket.
pub fn no_binary(collector: &Collector) -> Obstacle {
    Obstacle::Lasting(format!("`{}` is not in the evidence bucket: upload the collector that was built for it", collector.key))
}

/// The names of all uploads of a case: the image first.
pub fn names() -> impl Iterator<Item = String> {
    let files = capture::FILES.iter().map(|(name, _)| file(name));
    std::iter::once(capture::IMAGE.to_owned()).chain(files)
}

/// The name in the case of a file beside the image.
pub fn file(name: &str) -> String {
    format!("{}{name}", capture::FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_agent_is_waited_for_and_then_told() {
        let lost = Agent { ping: "ConnectionLost".to_owned(), platform: "Linux".to_owned() };
        let (soon, late) = (SignedDuration::from_secs(179), SignedDuration::from_secs(180));
        for agent_seen in [Some(&lost), None] {
            assert!(matches!(agent(agent_seen, soon), Some(Obstacle::Passing(_))), "{agent_seen:?}");
            assert!(matches!(agent(agent_seen, late), Some(Obstacle::Lasting(_))), "{agent_seen:?}");
        }
        let Some(Obstacle::Lasting(reason)) = agent(Some(&lost), late) else { panic!("it must last") };
        assert!(reason.starts_with("the Systems Manager agent is silent (ConnectionLost): "), "{reason}");
    }

    #[test]
    fn only_an_agent_on_linux_will_do() {
        let of = |platform: &str| Agent { ping: "Online".to_owned(), platform: platform.to_owned() };
        assert_eq!(agent(Some(&of("Linux")), SignedDuration::ZERO), None);
        for platform in ["Windows", "MacOS", "", &"\u{1b}".repeat(500)] {
            let Some(Obstacle::Lasting(reason)) = agent(Some(&of(platform)), SignedDuration::ZERO) else { panic!("{platform}") };
            assert!(reason.len() < 300 && !reason.contains('\u{1b}'), "{reason}");
        }
    }
}
