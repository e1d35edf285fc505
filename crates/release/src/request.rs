//! What a person asks for. Pure.

use incident::release::ReleaseRequest;
use incident::text::bounded;
use serde_json::Value;

use crate::Error;

/// The longest reason that counts, in characters.
const REASON: usize = 400;

/// The request, or which of its fields is wrong.
pub(crate) fn parse(request: &Value) -> Result<ReleaseRequest, Error> {
    if !request.is_object() {
        return Err(wrong("caseId", "the execution must be started with an object that names the case"));
    }
    let read: Result<ReleaseRequest, _> = serde_path_to_error::deserialize(request);
    let request = read.map_err(|error| wrong(&error.path().to_string(), &error.inner().to_string()))?;
    let reason = bounded(request.reason.trim(), REASON);
    if reason.is_empty() && !request.dry_run {
        return Err(wrong("reason", "say why the target is released"));
    }
    Ok(ReleaseRequest { reason, ..request })
}

fn wrong(field: &str, reason: &str) -> Error {
    Error::Request { field: bounded(field, 80), reason: bounded(reason, 300) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CASE: &str = "i-0123456789abcdef0-0123456789ab";

    #[test]
    fn what_is_wrong_in_a_request_is_named() {
        let cases = [
            (json!({"reason": "x"}), "caseId"),
            (json!({"caseId": CASE}), "reason"),
            (json!({"caseId": CASE, "reason": "  "}), "reason"),
            (json!({"caseId": "../open", "reason": "x"}), "caseId"),
            (json!({"caseId": CASE, "reason": 7}), "reason"),
            (json!({"caseId": CASE, "reason": "x", "dryRun": "yes"}), "dryRun"),
            (json!({"caseId": CASE, "reason": "x", "force": true}), "force"),
            (json!("i-0123456789abcdef0"), "caseId"),
            (json!(null), "caseId"),
        ];
        for (request, field) in cases {
            let error = parse(&request).unwrap_err().to_string();
            assert!(error.contains(&format!("`{field}`")), "{request}: {error}");
        }
    }

    #[test]
    fn a_reason_is_bounded_and_a_dry_run_needs_none() {
        let long = parse(&json!({"caseId": CASE, "reason": "x".repeat(5_000)})).unwrap();
        assert_eq!(long.reason.chars().count(), REASON);
        assert_eq!(parse(&json!({"caseId": CASE, "reason": "a\u{1b}[2Jb"})).unwrap().reason, "a [2Jb");
        assert!(parse(&json!({"caseId": CASE, "reason": "", "dryRun": true})).unwrap().dry_run);
    }
}
