//! Whether an image is what it is said to be. Pure.
//!
//! INVARIANT: nothing counts as captured that S3 does not confirm, and no comparison is left out: one that cannot be made
//! does not hold.

use std::fmt::Display;

use incident::capture::{Collected, SMALLEST_PART};
use incident::evidence::CaptureStatus;
use incident::text::bounded;
use serde::{Deserialize, Serialize};

/// The longest reason, in characters: it goes through the state machine and into every notice.
const REASON: usize = 600;

/// The image as S3 has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stored {
    /// Its full key.
    pub key: String,
    /// Its version.
    pub version_id: String,
    /// Its size in bytes.
    pub size: u64,
    /// How many parts it was made of, as its `ETag` says.
    pub parts: u32,
    /// S3's own CRC-64/NVME of the whole object, in Base64; absent where S3 gave none, or one of parts alone.
    pub crc64nvme: Option<String>,
}

/// One comparison, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// What is compared.
    pub what: String,
    /// What the target says.
    pub target: String,
    /// What S3 or Cordon says.
    pub ours: String,
    /// Whether the two are the same.
    pub holds: bool,
}

impl Check {
    fn new(what: &str, target: &dyn Display, ours: &dyn Display, holds: bool) -> Self {
        // Both sides may quote the target.
        let text = |side: &dyn Display| bounded(&side.to_string(), 160);
        Self { what: what.to_owned(), target: text(target), ours: text(ours), holds }
    }

    /// The two sides, in words.
    fn differs(&self) -> String {
        format!("{}: the target says `{}`, but it is `{}`", self.what, self.target, self.ours)
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// The collector's result.
    pub collected: Option<&'a Collected>,
    /// The result as it stands in the command's output, where that could be read.
    pub printed: Option<&'a Collected>,
    /// The image in S3.
    pub stored: &'a Stored,
    /// The SHA-256 of the collector that was deployed.
    pub collector_sha256: &'a str,
    /// The first part that is missing though later ones came.
    pub gap: Option<u32>,
    /// Why the image is not locked, where it is not.
    pub unlocked: Option<&'a str>,
}

/// Every comparison.
pub fn checks(claims: &Claims<'_>) -> Vec<Check> {
    let Claims { collected, printed, stored, collector_sha256, gap, unlocked } = *claims;
    let missing = gap.map_or_else(String::new, |part| format!("part {part} is missing"));
    let given = if collected.is_some() { "given" } else { "none" };
    let mut checks = vec![
        Check::new("gap", &"", &missing, gap.is_none()),
        Check::new("lock", &"", &unlocked.unwrap_or_default(), unlocked.is_none()),
        Check::new("result", &given, &"expected", collected.is_some()),
    ];
    let Some(said) = collected else { return checks };
    let whole = match said.errors.first() {
        _ if said.ok => "whole".to_owned(),
        Some(error) => format!("not whole: {error}"),
        None => "not whole".to_owned(),
    };
    let crc = stored.crc64nvme.as_deref();
    let is_sha256 = said.sha256.len() == 64 && said.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_ours = said.collector_sha256.eq_ignore_ascii_case(collector_sha256);
    checks.extend([
        Check::new("whole", &whole, &"expected to be whole", said.ok),
        Check::new("bytes", &said.bytes, &stored.size, said.bytes == stored.size),
        Check::new("parts", &said.parts, &stored.parts, said.parts == stored.parts),
        Check::new("crc64nvme", &said.crc64nvme, &crc.unwrap_or("none"), crc == Some(said.crc64nvme.as_str())),
        Check::new("format", &said.format, &"lime", said.format == "lime"),
        Check::new("sha256", &said.sha256, &"64 hexadecimal digits, which S3 cannot confirm", is_sha256),
        Check::new("collector", &said.collector_sha256, &collector_sha256, is_ours),
    ]);
    if let Some(printed) = printed {
        let same = printed == said;
        let output = if same { "the same result" } else { "another result" };
        checks.push(Check::new("output", &output, &"the result that was uploaded", same));
    }
    checks
}

/// The verdict: captured only where every comparison holds. `end` is the reason that the end itself gives.
pub fn verdict(checks: &[Check], end: Option<&str>) -> (CaptureStatus, String) {
    if !checks.is_empty() && checks.iter().all(|check| check.holds) {
        return (CaptureStatus::Captured, String::new());
    }
    let failed = checks.iter().filter(|check| !check.holds).map(|check| match check.what.as_str() {
        "gap" => check.ours.clone(),
        "lock" => format!("the image is not locked: {}", check.ours),
        "result" => "the collector gave no result".to_owned(),
        "whole" => format!("the collector says that the image is {}", check.target),
        "output" => "the command's output and the uploaded result contradict each other".to_owned(),
        _ => check.differs(),
    });
    let reasons: Vec<String> = end.map(str::to_owned).into_iter().chain(failed).collect();
    (CaptureStatus::Partial, bounded(&reasons.join("; "), REASON))
}

/// Why there is no image at all.
pub fn nothing(end: Option<&str>, others: u32, collected: Option<&Collected>, output: &str) -> String {
    let mut reasons: Vec<String> = end.map(str::to_owned).into_iter().collect();
    reasons.push(if others > 0 {
        format!("the first part is missing, so that the other {others} make no image (each of at least {SMALLEST_PART} bytes)")
    } else {
        "no part of the image came".to_owned()
    });
    match collected.and_then(|said| said.errors.first()) {
        Some(error) => reasons.push(format!("the collector says `{}`", bounded(error, 200))),
        None if !output.is_empty() => reasons.push(format!("the command says `{}`", bounded(output.trim(), 200))),
        None => {}
    }
    bounded(&reasons.join("; "), REASON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::CaseId;
    use proptest::prelude::*;

    fn stored() -> Stored {
        Stored {
            key: "cases/x/memory/image.lime".to_owned(),
            version_id: "v".to_owned(),
            size: 1000,
            parts: 2,
            crc64nvme: Some("rosUhgp5mIg=".to_owned()),
        }
    }

    fn said() -> Collected {
        Collected {
            schema: Collected::SCHEMA.to_owned(),
            case_id: CaseId::parse("i-0123456789abcdef0-0123456789ab").unwrap(),
            ok: true,
            source: "/proc/kcore".to_owned(),
            format: "lime".to_owned(),
            system_ram: 1 << 28,
            bytes: 1000,
            parts: 2,
            sha256: "ab".repeat(32),
            crc64nvme: "rosUhgp5mIg=".to_owned(),
            seconds: 1.0,
            version: "0.1.0".to_owned(),
            collector_sha256: "cd".repeat(32),
            files: Vec::new(),
            peak_kib: 1,
            errors: Vec::new(),
        }
    }

    fn judge(
        said: Option<&Collected>,
        printed: Option<&Collected>,
        stored: &Stored,
        gap: Option<u32>,
    ) -> (CaptureStatus, String) {
        let collector = "cd".repeat(32);
        let claims = Claims { collected: said, printed, stored, collector_sha256: &collector, gap, unlocked: None };
        verdict(&checks(&claims), None)
    }

    #[test]
    fn captured_is_only_what_s3_confirms() {
        let (truth, there) = (said(), stored());
        assert_eq!(judge(Some(&truth), None, &there, None), (CaptureStatus::Captured, String::new()));
        assert_eq!(judge(Some(&truth), Some(&truth), &there, None), (CaptureStatus::Captured, String::new()));
        let other = Collected { sha256: "ef".repeat(32), ..said() };
        let unproven = Stored { crc64nvme: None, ..stored() };
        for (collected, printed, stored, gap, reason) in [
            (None, None, &there, None, "gave no result"),
            (Some(Collected { ok: false, errors: vec!["no URL".to_owned()], ..said() }), None, &there, None, "not whole: no URL"),
            (Some(Collected { bytes: 999, ..said() }), None, &there, None, "bytes: the target says `999`, but it is `1000`"),
            (Some(Collected { parts: 3, ..said() }), None, &there, None, "parts: the target says `3`, but it is `2`"),
            (Some(Collected { crc64nvme: "AAAA".to_owned(), ..said() }), None, &there, None, "crc64nvme: the target says `AAAA`"),
            (Some(said()), None, &unproven, None, "crc64nvme"),
            (Some(Collected { sha256: String::new(), ..said() }), None, &there, None, "sha256"),
            (Some(Collected { format: "raw".to_owned(), ..said() }), None, &there, None, "format"),
            (Some(Collected { collector_sha256: "00".to_owned(), ..said() }), None, &there, None, "collector"),
            (Some(said()), Some(&other), &there, None, "contradict each other"),
            (Some(said()), None, &there, Some(2), "part 2 is missing"),
        ] {
            let (status, said) = judge(collected.as_ref(), printed, stored, gap);
            assert_eq!(status, CaptureStatus::Partial, "{reason}");
            assert!(said.contains(reason), "`{said}` must say `{reason}`");
        }
    }

    #[test]
    fn an_image_without_its_lock_is_not_captured_and_no_check_is_no_capture() {
        let (truth, there) = (said(), stored());
        let claims = Claims {
            collected: Some(&truth),
            printed: None,
            stored: &there,
            collector_sha256: &truth.collector_sha256,
            gap: None,
            unlocked: Some("denied"),
        };
        let (status, reason) = verdict(&checks(&claims), Some("the deadline passed"));
        assert_eq!(status, CaptureStatus::Partial);
        assert!(reason.starts_with("the deadline passed; ") && reason.contains("not locked: denied"), "{reason}");
        assert_eq!(verdict(&[], None).0, CaptureStatus::Partial);
    }

    proptest! {
        #[test]
        fn the_verdict_is_captured_only_if_all_are_equal(bytes in 998u64..1002, parts in 1u32..4, size in 998u64..1002, made in 1u32..4, ok: bool, crc in prop::option::of("[a-c]"), told in "[a-c]", gap in prop::option::of(1u32..9)) {
            let collected = Collected { ok, bytes, parts, crc64nvme: told.clone(), ..said() };
            let there = Stored { size, parts: made, crc64nvme: crc.clone(), ..stored() };
            let (status, reason) = judge(Some(&collected), None, &there, gap);
            let equal = ok && bytes == size && parts == made && crc == Some(told) && gap.is_none();
            prop_assert_eq!(status == CaptureStatus::Captured, equal);
            prop_assert_eq!(reason.is_empty(), equal);
        }

        #[test]
        fn no_reason_is_long_or_has_control_characters(text in "\\PC{0,500}|[\\x00-\\x1f]{0,300}", others in 0u32..9) {
            let hostile = Collected { ok: false, errors: vec![text.clone()], sha256: text.clone(), crc64nvme: text.clone(), ..said() };
            for reason in [judge(Some(&hostile), None, &stored(), None).1, nothing(None, others, Some(&hostile), &text), nothing(Some("x"), others, None, &text)] {
                prop_assert!(reason.chars().count() <= REASON && !reason.chars().any(char::is_control), "{reason}");
            }
        }
    }
}
