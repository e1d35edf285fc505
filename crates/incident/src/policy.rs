//! The policy: one JSON document that says what Cordon may do without a person.

use serde::{Deserialize, Serialize};

use crate::plan::LockMode;
use crate::text::bounded;

/// What may be done without a person. A field that is absent has its default; an unknown one is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// `cordon.policy.v1`.
    pub schema: String,
    /// Findings of detectors below this severity (0 to 10) are ignored.
    pub minimum_severity: f64,
    /// The types of findings that act.
    pub types: Types,
    /// Targets that are preserved but not cut without a person.
    pub protected_tags: Vec<ProtectedTag>,
    /// When too much is being contained.
    pub brake: Brake,
    /// How the network is cut.
    pub containment: Containment,
    /// The most instances of one finding that are handled without a person (1 to 50).
    pub fan_out: u16,
    /// What happens to the target at the end.
    pub disposition: Disposition,
    /// How people are asked whether a target may be terminated.
    pub permission: Permission,
    /// The snapshots' lock and deadline.
    pub snapshots: Snapshots,
    /// The copies of the snapshots.
    pub copies: Copies,
    /// The capture of memory.
    pub memory: Memory,
    /// The denial of the target's credentials.
    pub credentials: Credentials,
    /// The case file's lock.
    pub evidence: Evidence,
    /// Which imported Security Hub findings act.
    pub security_hub: SecurityHubPolicy,
    /// Drills.
    pub drills: Drills,
}

/// What happens to a target at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Disposition {
    /// It stays, contained.
    Quarantine,
    /// People are asked whether it may be terminated; silence means quarantine.
    Ask,
    /// It is terminated without a question, if nothing at all is missing from its evidence.
    Terminate,
}

/// How people are asked whether a target may be terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Permission {
    /// How many people must approve (1 to 5). A role is one person, whoever takes it on.
    pub persons: u8,
    /// For how many hours (1 to 72) they are asked.
    pub wait_hours: u16,
}

/// Types by glob (`*` and `?`). What is denied is denied, whatever is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Types {
    /// At least one must match.
    pub allow: Vec<String>,
    /// None may match.
    pub deny: Vec<String>,
}

/// A tag that protects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProtectedTag {
    /// The key.
    pub key: String,
    /// The value; absent means any.
    #[serde(default)]
    pub value: Option<String>,
}

/// When too much is being contained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Brake {
    /// The most targets contained without a person in an hour (1 to 1000).
    pub targets_per_hour: u16,
    /// The largest share of an Auto Scaling group, above 0 and at most 1.
    pub group_share: f64,
}

/// How the network is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Containment {
    /// For how many seconds (0 to 30) the target stays in the conversion group, open to everybody, before it is cut. AWS says of
    /// an untracked flow that it ends at once with its rule [facts 1], so that none are needed.
    pub convert_pause_seconds: u8,
}

/// The snapshots' lock and deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Snapshots {
    /// How the lock is enforced.
    pub lock_mode: LockMode,
    /// For how many days (1 to 36,500) [facts 69].
    pub lock_days: u16,
    /// After how many hours (1 to 72) a snapshot counts as not completed.
    pub deadline_hours: u16,
}

/// The copies of the snapshots, under Cordon's own key, for the forensic accounts that the stack names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Copies {
    /// The accounts (12 digits each, at most 10) that the copies are shared with. None: nothing is copied.
    pub share_with: Vec<String>,
    /// How many hours (1 to 72) after the snapshots' deadline a copy counts as not completed.
    pub deadline_hours: u16,
}

/// The capture of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Memory {
    /// Whether memory is captured at all.
    pub capture: bool,
    /// After how many minutes (5 to 720) it is given up, and the path for it closed.
    pub deadline_minutes: u16,
}

/// The denial of the target's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Credentials {
    /// Whether the role sessions of the target, and of nobody else, are denied.
    pub deny: bool,
}

/// The case file's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Evidence {
    /// How the lock is enforced.
    pub lock_mode: LockMode,
    /// For how many days (1 to 36,500).
    pub days: u16,
}

/// Which imported Security Hub findings act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SecurityHubPolicy {
    /// Product names.
    pub products: Vec<String>,
}

/// Drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drills {
    /// Whether a drill acts on a target tagged for drills.
    pub enabled: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            minimum_severity: 7.0,
            types: Types::default(),
            protected_tags: Vec::new(),
            brake: Brake::default(),
            containment: Containment::default(),
            fan_out: 10,
            disposition: Disposition::Ask,
            permission: Permission::default(),
            snapshots: Snapshots::default(),
            copies: Copies::default(),
            memory: Memory::default(),
            credentials: Credentials::default(),
            evidence: Evidence::default(),
            security_hub: SecurityHubPolicy::default(),
            drills: Drills::default(),
        }
    }
}

impl Default for Types {
    fn default() -> Self {
        Self { allow: vec!["*".to_owned()], deny: Vec::new() }
    }
}

impl Default for Brake {
    fn default() -> Self {
        Self { targets_per_hour: 10, group_share: 0.5 }
    }
}

impl Default for Permission {
    fn default() -> Self {
        Self { persons: 1, wait_hours: 24 }
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { lock_mode: LockMode::Governance, lock_days: 365, deadline_hours: 24 }
    }
}

impl Default for Copies {
    fn default() -> Self {
        Self { share_with: Vec::new(), deadline_hours: 24 }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { capture: true, deadline_minutes: 240 }
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self { deny: true }
    }
}

impl Default for Evidence {
    fn default() -> Self {
        Self { lock_mode: LockMode::Governance, days: 365 }
    }
}

impl Default for SecurityHubPolicy {
    fn default() -> Self {
        Self { products: vec!["GuardDuty".to_owned()] }
    }
}

/// The parts that must be JSON objects.
const SECTIONS: [&str; 12] = [
    "",
    "/types",
    "/brake",
    "/containment",
    "/permission",
    "/snapshots",
    "/copies",
    "/memory",
    "/credentials",
    "/evidence",
    "/securityHub",
    "/drills",
];

/// Why a policy is refused, with the field's path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy's field `{path}` {reason}")]
pub struct PolicyError {
    /// Where.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

impl Policy {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.policy.v1";

    /// Parses and checks a document.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let error = |path: &str, e: &serde_json::Error| PolicyError {
            path: bounded(path, 200),
            reason: format!("cannot be read: {}", bounded(&e.to_string(), 300)),
        };
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| error(".", &e))?;
        // serde would take a list for a structure, field by field.
        for section in SECTIONS {
            if value.pointer(section).is_some_and(|value| !value.is_object()) {
                let path = if section.is_empty() { "." } else { section.trim_start_matches('/') };
                return Err(PolicyError { path: path.to_owned(), reason: "must be a JSON object".to_owned() });
            }
        }
        let policy: Self = serde_path_to_error::deserialize(&value).map_err(|e| error(&e.path().to_string(), e.inner()))?;
        policy.check()?;
        Ok(policy)
    }

    /// The values' ranges.
    fn check(&self) -> Result<(), PolicyError> {
        let range = |ok: bool, path: &str, reason: &str| {
            if ok { Ok(()) } else { Err(PolicyError { path: path.to_owned(), reason: reason.to_owned() }) }
        };
        range(self.schema == Self::SCHEMA, "schema", "must be `cordon.policy.v1`")?;
        range((0.0..=10.0).contains(&self.minimum_severity), "minimumSeverity", "must be from 0 to 10")?;
        range((1..=1000).contains(&self.brake.targets_per_hour), "brake.targetsPerHour", "must be from 1 to 1000")?;
        let share = self.brake.group_share;
        range(share > 0.0 && share <= 1.0, "brake.groupShare", "must be above 0 and at most 1")?;
        let pause = self.containment.convert_pause_seconds;
        range(pause <= 30, "containment.convertPauseSeconds", "must be from 0 to 30")?;
        range((1..=50).contains(&self.fan_out), "fanOut", "must be from 1 to 50")?;
        range((1..=5).contains(&self.permission.persons), "permission.persons", "must be from 1 to 5")?;
        range((1..=72).contains(&self.permission.wait_hours), "permission.waitHours", "must be from 1 to 72")?;
        range((1..=36_500).contains(&self.snapshots.lock_days), "snapshots.lockDays", "must be from 1 to 36500")?;
        range((1..=72).contains(&self.snapshots.deadline_hours), "snapshots.deadlineHours", "must be from 1 to 72")?;
        range((1..=72).contains(&self.copies.deadline_hours), "copies.deadlineHours", "must be from 1 to 72")?;
        range(self.copies.share_with.len() <= 10, "copies.shareWith", "must name at most 10 accounts")?;
        for (at, account) in self.copies.share_with.iter().enumerate() {
            let path = format!("copies.shareWith[{at}]");
            let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            range(digits, &path, "must be an account's 12 digits, as a string")?;
            let again = self.copies.share_with.iter().take(at).any(|other| other == account);
            range(!again, &path, "names an account again")?;
        }
        range((5..=720).contains(&self.memory.deadline_minutes), "memory.deadlineMinutes", "must be from 5 to 720")?;
        range((1..=36_500).contains(&self.evidence.days), "evidence.days", "must be from 1 to 36500")?;
        let tags: Vec<String> = self.protected_tags.iter().map(|tag| tag.key.clone()).collect();
        let long = self.protected_tags.iter().position(|tag| tag.value.as_ref().is_some_and(|value| value.chars().count() > 256));
        range(long.is_none(), &format!("protectedTags[{}].value", long.unwrap_or_default()), "must have at most 256 characters")?;
        let lists = [
            ("types.allow", &self.types.allow),
            ("types.deny", &self.types.deny),
            ("securityHub.products", &self.security_hub.products),
            ("protectedTags", &tags),
        ];
        for (path, list) in lists {
            range(list.len() <= 100, path, "must have at most 100 entries")?;
            for (n, entry) in list.iter().enumerate() {
                range((1..=128).contains(&entry.chars().count()), &format!("{path}[{n}]"), "must have 1 to 128 characters")?;
            }
        }
        Ok(())
    }

    /// What holds where there is no policy that can be read: contain, preserve, quarantine. The plan's `PolicySource`
    /// carries `problem`, so that people are told.
    pub fn fallback(problem: &str) -> (Self, crate::plan::PolicySource) {
        let policy = Self { disposition: Disposition::Quarantine, ..Self::default() };
        (policy, crate::plan::PolicySource::Fallback { problem: bounded(problem, 400) })
    }

    /// Whether a finding of this type may act.
    pub fn allows(&self, kind: &str) -> bool {
        let any = |globs: &[String]| globs.iter().any(|glob| glob_matches(glob, kind));
        any(&self.types.allow) && !any(&self.types.deny)
    }
}

/// Whether all of `text` matches `glob`, where `*` is any text and `?` any one character.
///
/// Backtracks to the last star only, so that no pattern takes more than |glob| x |text| steps.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t, mut star) = (0, 0, None);
    while let Some(c) = text.get(t) {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(p) if *p == '?' || p == c => {
                g += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    g = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    glob.iter().skip(g).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_document_that_is_deployed_is_the_default() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/policy.default.json")).unwrap();
        assert_eq!(Policy::parse(&text), Ok(Policy::default()));
        assert_eq!(Policy::parse("{}"), Ok(Policy::default()), "every field has a default");
    }

    #[test]
    fn wrong_fields_are_refused_with_their_path() {
        let cases = [
            (r#"{"extra":1}"#, "extra"),
            (r#"{"brake":{"targetPerHour":1}}"#, "brake.targetPerHour"),
            (r#"{"minimumSeverity":11}"#, "minimumSeverity"),
            (r#"{"minimumSeverity":"high"}"#, "minimumSeverity"),
            (r#"{"brake":{"groupShare":0}}"#, "brake.groupShare"),
            (r#"{"containment":{"convertPauseSeconds":31}}"#, "containment.convertPauseSeconds"),
            (r#"{"containment":{"convertPauseSeconds":-1}}"#, "containment.convertPauseSeconds"),
            (r#"{"containment":[5]}"#, "containment"),
            (r#"{"snapshots":{"lockDays":0}}"#, "snapshots.lockDays"),
            (r#"{"snapshots":{"deadlineHours":73}}"#, "snapshots.deadlineHours"),
            (r#"{"copies":{"deadlineHours":0}}"#, "copies.deadlineHours"),
            (r#"{"copies":{"shareWith":["1111"]}}"#, "copies.shareWith[0]"),
            (r#"{"copies":{"shareWith":[111122223333]}}"#, "copies.shareWith[0]"),
            (r#"{"copies":{"shareWith":["all"]}}"#, "copies.shareWith[0]"),
            (r#"{"copies":{"shareWith":["444455556666","444455556666"]}}"#, "copies.shareWith[1]"),
            (r#"{"copies":["444455556666"]}"#, "copies"),
            (r#"{"evidence":{"days":36501}}"#, "evidence.days"),
            (r#"{"memory":{"deadlineMinutes":4}}"#, "memory.deadlineMinutes"),
            (r#"{"memory":{"capture":"yes"}}"#, "memory.capture"),
            (r#"{"memory":[true,240]}"#, "memory"),
            (r#"{"credentials":{"deny":0}}"#, "credentials.deny"),
            (r#"{"types":{"deny":[""]}}"#, "types.deny[0]"),
            (r#"{"disposition":"destroy"}"#, "disposition"),
            (r#"{"permission":{"persons":0}}"#, "permission.persons"),
            (r#"{"permission":{"persons":6}}"#, "permission.persons"),
            (r#"{"permission":{"waitHours":73}}"#, "permission.waitHours"),
            (r#"{"permission":[1,24]}"#, "permission"),
            (r#"{"schema":"v2"}"#, "schema"),
            (r#"{"brake":[]}"#, "brake"),
        ];
        for (text, path) in cases {
            let error = Policy::parse(text).unwrap_err();
            assert!(error.to_string().contains(path), "{text}: {error}");
        }
        for text in ["", "[]", "not json", "{} {}"] {
            assert!(Policy::parse(text).is_err(), "`{text}` must be refused");
        }
    }

    #[test]
    fn globs_match_whole_types() {
        let cases = [
            ("*", "", true),
            ("Recon:EC2/*", "Recon:EC2/Portscan", true),
            ("*BruteForce*", "UnauthorizedAccess:EC2/SSHBruteForce", true),
            ("Recon", "Recon:EC2/Portscan", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxbxab", true),
        ];
        for (glob, text, expected) in cases {
            assert_eq!(glob_matches(glob, text), expected, "{glob} on {text}");
        }
        assert!(!glob_matches(&"*a".repeat(64), &"a".repeat(30).replace('a', "b")), "many stars end soon");
    }

    proptest! {
        #[test]
        fn a_text_matches_itself_and_any_cut_of_it_with_a_star(text in "[a-z:/.]{0,40}", cut in 0usize..40) {
            prop_assert!(glob_matches(&text, &text));
            let head: String = text.chars().take(cut).collect();
            let pattern = format!("{head}*");
            prop_assert!(glob_matches(&pattern, &text));
        }

        #[test]
        fn no_policy_text_panics(text in ".{0,200}") {
            let _ = Policy::parse(&text);
        }
    }
}
