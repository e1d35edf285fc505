//! What the collector says at its end.

use incident::CaseId;
use incident::capture::Collected;

use crate::board::State;
use crate::{cli, own};

/// The longest result, in bytes: Systems Manager keeps 24,000 characters of the output, and the line is its end.
const LONGEST: usize = 16_000;

/// The result of a run that has taken `seconds`.
pub fn of(state: &State, case: &CaseId, seconds: f64) -> Collected {
    let counted = state.ledger.counted();
    // Why it ended comes first: it is what people are told.
    let errors = state.stop.iter().map(|stop| stop.reason.clone()).chain(state.errors.list()).collect();
    let collected = Collected {
        schema: Collected::SCHEMA.to_owned(),
        case_id: case.clone(),
        ok: state.stop.is_none() && state.whole,
        source: state.source.clone(),
        format: "lime".to_owned(),
        system_ram: state.system_ram,
        bytes: counted.bytes,
        parts: counted.parts,
        sha256: counted.sha256(),
        crc64nvme: counted.crc64nvme(),
        // Whole milliseconds: every reader of JSON gives them back as they are.
        seconds: (seconds * 1_000.0).round() / 1_000.0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        collector_sha256: own::sha256(),
        files: state.files.clone(),
        peak_kib: own::peak_kib(),
        errors,
    };
    shortened(collected.bounded())
}

/// Without as many errors from the middle as make it too long; the first one is why it ended.
fn shortened(mut collected: Collected) -> Collected {
    while cli::line(&collected).len() > LONGEST && collected.errors.len() > 1 {
        collected.errors.remove(collected.errors.len() / 2);
    }
    collected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Stop;

    fn case() -> CaseId {
        CaseId::parse("i-0123456789abcdef0-0123456789ab").unwrap()
    }

    #[test]
    fn a_run_that_was_stopped_is_not_ok_and_its_first_error_says_why() {
        let mut state = State { whole: true, ..State::default() };
        assert!(of(&state, &case(), 1.0).ok);
        state.errors.note("before");
        state.stop = Some(Stop { reason: "the reason".to_owned(), withdrawn: false });
        let collected = of(&state, &case(), 1.0);
        assert!(!collected.ok);
        assert_eq!(collected.errors, ["the reason", "before"]);
        assert!(!of(&State::default(), &case(), 1.0).ok, "nothing was read");
    }

    #[test]
    fn the_line_is_short_enough_for_the_output_of_a_command_whatever_went_wrong() {
        let mut state = State { source: "\"".repeat(10_000), ..State::default() };
        for number in 0..1_000 {
            state.errors.note(&format!("{number} {}", "\\\"€".repeat(500)));
        }
        state.stop = Some(Stop { reason: "the reason".to_owned(), withdrawn: false });
        let collected = of(&state, &case(), f64::NAN);
        let line = cli::line(&collected);
        assert!(line.len() <= LONGEST && !line.contains('\n'), "{} bytes", line.len());
        assert_eq!(collected.errors.first().unwrap(), "the reason");
        assert_eq!(Collected::find(line.as_bytes(), &case()), Some(collected));
    }
}
