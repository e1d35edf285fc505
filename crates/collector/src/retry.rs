//! What an answer to an upload means, and when to try again. Pure.

use std::time::Duration;

use crate::http::Answer;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Taken,
    /// Try again with the same URL.
    Again,
    /// The URL has expired or is not for us: try with a newer one.
    NewerUrl,
    /// No URL will help: the upload itself is gone.
    Gone,
}

/// What an answer means; an error is one without an answer.
pub fn judge(answer: Result<&Answer, &str>) -> Verdict {
    let Ok(answer) = answer else { return Verdict::Again };
    match (answer.status, answer.code.as_str()) {
        (200..=299, _) => Verdict::Taken,
        // A session that has ended is a bad request to S3, and an expired signature is forbidden.
        (400, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") | (401 | 403, _) => Verdict::NewerUrl,
        (404, _) => Verdict::Gone,
        _ => Verdict::Again,
    }
}

/// How long to wait after `failures` failures in a row.
pub fn pause(failures: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_the_same_url_a_newer_one_or_none_will_help() {
        for (status, code, expected) in [
            (200, "", Verdict::Taken),
            (403, "AccessDenied", Verdict::NewerUrl),
            (403, "", Verdict::NewerUrl),
            (400, "ExpiredToken", Verdict::NewerUrl),
            (400, "RequestTimeout", Verdict::Again),
            (400, "", Verdict::Again),
            (404, "NoSuchUpload", Verdict::Gone),
            (429, "", Verdict::Again),
            (500, "InternalError", Verdict::Again),
            (503, "SlowDown", Verdict::Again),
            (307, "TemporaryRedirect", Verdict::Again),
        ] {
            let answer = Answer { status, code: code.to_owned() };
            assert_eq!(judge(Ok(&answer)), expected, "{status} {code}");
        }
        assert_eq!(judge(Err("connection reset")), Verdict::Again);
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let pauses = [1, 2, 3, 4, 5, 40, u32::MAX]
            .map(|failures| pause(failures, Duration::from_millis(500), Duration::from_secs(5)).as_millis());
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
    }
}
