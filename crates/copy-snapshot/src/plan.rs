//! Which copies are to be begun and shared, and how the copying stands. Pure.

use incident::copies::{CopyStatus, SnapshotCopy};
use incident::evidence::{LockOutcome, Missing, Preserved, SnapshotLook};
use incident::{SnapshotId, VolumeId};
use jiff::Timestamp;

/// The most copies that EC2 has under way at once in one Region of one account [facts 68].
pub const AT_ONCE: usize = 20;
/// How often a snapshot is copied before a copy in `error` is final.
const TRIES: usize = 2;

/// After what time what failed in passing is tried again, in seconds: EC2 shows by then what it has begun.
const SOON_SECONDS: u32 = 60;
/// How long to wait at most for EC2 to take more copies, in seconds.
const HELD_SECONDS: u32 = 30 * 60;

/// A snapshot to copy: one that was seen completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// The volume's size, where EC2 has said it.
    pub size_gib: Option<i32>,
}

/// A copy of this case as EC2 describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There {
    /// The copy.
    pub id: SnapshotId,
    /// What it is a copy of: as it was begun, or by its tag.
    pub of: SnapshotId,
    /// When it was begun.
    pub begun: Timestamp,
    /// EC2's state.
    pub state: String,
    /// 0 to 100.
    pub percent: u8,
    /// The ARN of its key.
    pub key: Option<String>,
    /// What EC2 says about its state, where it says something.
    pub why: String,
}

impl There {
    fn is(&self, state: &str) -> bool {
        self.state == state
    }

    /// The copy as the state machine hands it on. Its lock and whom it is shared with is what the last look knew.
    pub fn as_copy(&self, source: &Source, before: &[SnapshotCopy]) -> SnapshotCopy {
        let known = before.iter().find(|copy| copy.snapshot_id == self.id);
        SnapshotCopy {
            snapshot_id: self.id.clone(),
            of: self.of.clone(),
            volume_id: source.volume.clone(),
            begun: self.begun,
            state: self.state.clone(),
            percent: self.percent,
            key: self.key.clone(),
            lock: known.map_or_else(LockOutcome::not_yet, |copy| copy.lock.clone()),
            shared_with: known.map(|copy| copy.shared_with.clone()).unwrap_or_default(),
        }
    }
}

/// The snapshots to copy. What is not completed cannot be copied, and is missing by its own name.
pub fn sources(preserved: &Preserved) -> Vec<Source> {
    let completed = preserved.snapshots.iter().filter(|look| look.state == "completed");
    let source = |look: &SnapshotLook| Source {
        snapshot: look.snapshot_id.clone(),
        volume: look.volume_id.clone(),
        size_gib: look.size_gib,
    };
    completed.map(source).collect()
}

/// The copy of `source` that counts: a completed one, else one under way, else one that failed.
pub fn current<'a>(source: &Source, there: &'a [There]) -> Option<&'a There> {
    let of = || there.iter().filter(|copy| copy.of == source.snapshot);
    let with = |state: &str| of().find(|copy| copy.is(state));
    with("completed").or_else(|| with("pending")).or_else(|| of().next_back())
}

/// The snapshots whose copy is to be begun now: what has none, or one that failed and may be tried again, and no more than
/// EC2 takes beside those under way. And how many of them have to wait for that. What was `refused` is never begun again, so
/// that it takes nobody's turn.
pub fn to_begin(sources: &[Source], there: &[There], refused: &[Missing]) -> (Vec<Source>, usize) {
    let due = |source: &&Source| {
        if refused.iter().any(|refused| refused.item == source.snapshot.as_str()) {
            return false;
        }
        let copies = || there.iter().filter(|copy| copy.of == source.snapshot);
        let alive = copies().any(|copy| copy.is("completed") || copy.is("pending"));
        !alive && copies().count() < TRIES
    };
    let mut due: Vec<Source> = sources.iter().filter(due).cloned().collect();
    let pending = there.iter().filter(|copy| copy.is("pending")).count();
    let room = AT_ONCE.saturating_sub(pending).min(due.len());
    let held = due.split_off(room).len();
    (due, held)
}

/// Why a source has no copy that counts; `refused` are those that EC2 will not copy.
fn uncopied(source: &Source, copies: &[SnapshotCopy], there: &[There], refused: &[Missing]) -> Option<String> {
    let copy = copies.iter().find(|copy| copy.of == source.snapshot);
    match copy {
        Some(copy) if copy.is_completed() => None,
        Some(copy) if copy.is_pending() => {
            Some(format!("{} is still at {} % at the plan's deadline; it goes on, so look again", copy.snapshot_id, copy.percent))
        }
        Some(copy) => {
            let why = there.iter().find(|there| there.id == copy.snapshot_id).map(|there| there.why.as_str()).unwrap_or_default();
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            Some(format!(
                "{} is in the state `{}`{why}; its snapshot {} is there: copy it by hand",
                copy.snapshot_id, copy.state, copy.of
            ))
        }
        None => {
            let said = refused.iter().find(|refused| refused.item == source.snapshot.as_str());
            let unsaid = || format!("no copy of {} was begun; it is there: copy it by hand", source.snapshot);
            Some(said.map_or_else(unsaid, |refused| refused.reason.clone()))
        }
    }
}

/// What is missing of the copies in the end: copies, locks, shares; and who has too much. `refused` are the snapshots that EC2
/// will not copy and the copies that it will not share.
pub fn missing(
    sources: &[Source],
    copies: &[SnapshotCopy],
    there: &[There],
    share_with: &[String],
    refused: &[Missing],
) -> Vec<Missing> {
    let mut all = Vec::new();
    for source in sources {
        let why = uncopied(source, copies, there, refused);
        all.extend(why.map(|reason| Missing::new(format!("copy:{}", source.volume), reason)));
    }
    for copy in copies.iter().filter(|copy| copy.is_completed()) {
        if let LockOutcome::NotLocked { reason } = &copy.lock {
            all.push(Missing::new(format!("{LOCK}{}", copy.snapshot_id), reason));
        }
        let without: Vec<&str> = share_with.iter().filter(|id| !copy.shared_with.contains(id)).map(String::as_str).collect();
        if !without.is_empty() {
            let said = refused.iter().find(|refused| refused.item == copy.snapshot_id.as_str());
            let why = said.map(|refused| format!(": {}", refused.reason)).unwrap_or_default();
            let reason = format!("it is not shared with {}{why}", without.join(", "));
            all.push(Missing::new(format!("copy-share:{}", copy.snapshot_id), reason));
        }
    }
    all
}

/// How what is missing of a lock begins.
const LOCK: &str = "copy-lock:";

/// What is handed on: a lock's reason stands with its copy already, and outputs of states are bounded [facts 82].
pub fn handed_on(missing: Vec<Missing>) -> Vec<Missing> {
    missing.into_iter().filter(|missing| !missing.item.starts_with(LOCK)).collect()
}

/// How the copying stands: it goes on while a copy is pending or held and the deadline has not passed.
pub fn status(copies: &[SnapshotCopy], held: usize, missing: &[Missing], expired: bool) -> CopyStatus {
    let pending = copies.iter().any(SnapshotCopy::is_pending);
    match (expired, pending, held) {
        (false, true, _) => CopyStatus::Copying,
        (false, false, 1..) => CopyStatus::Held,
        _ if missing.is_empty() => CopyStatus::Copied,
        _ => CopyStatus::Incomplete,
    }
}

/// How long the next wait may go on, in seconds, where the usual one would last for `usual`; 0 where there is none. `passed` is how
/// much failed in passing.
pub fn pause(status: CopyStatus, held: usize, passed: usize, usual: u32) -> u32 {
    match (status, passed, held) {
        (CopyStatus::Copied | CopyStatus::Incomplete, ..) => 0,
        // What failed in passing is tried again soon.
        (_, 1.., _) => SOON_SECONDS.min(usual),
        // Nobody says when EC2 takes another one.
        (_, 0, 1..) => HELD_SECONDS.min(usual),
        (_, 0, 0) => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot(n: usize) -> SnapshotId {
        SnapshotId::parse(&format!("snap-{n:017x}")).unwrap()
    }

    fn source(n: usize) -> Source {
        Source { snapshot: snapshot(n), volume: VolumeId::parse(&format!("vol-{n:017x}")).unwrap(), size_gib: Some(8) }
    }

    fn there(id: usize, of: usize, state: &str) -> There {
        There {
            id: snapshot(1_000 + id),
            of: snapshot(of),
            begun: Timestamp::UNIX_EPOCH,
            state: state.to_owned(),
            percent: 40,
            key: None,
            why: "no key".to_owned(),
        }
    }

    fn copied(id: usize, of: usize, state: &str) -> SnapshotCopy {
        there(id, of, state).as_copy(&source(of), &[])
    }

    #[test]
    fn what_has_no_copy_is_begun_and_what_failed_is_tried_once_more() {
        let cases: [(&[There], &[usize]); 6] = [
            (&[], &[1, 2]),
            (&[there(1, 1, "pending")], &[2]),
            (&[there(1, 1, "completed"), there(2, 2, "completed")], &[]),
            (&[there(1, 1, "error"), there(2, 2, "pending")], &[1]),
            (&[there(1, 1, "error"), there(2, 1, "error"), there(3, 2, "pending")], &[]),
            (&[there(1, 1, "error"), there(2, 1, "pending"), there(3, 2, "gone")], &[2]),
        ];
        for (there, expected) in cases {
            let (begin, held) = to_begin(&[source(1), source(2)], there, &[]);
            assert_eq!((begin, held), (expected.iter().map(|n| source(*n)).collect(), 0), "{there:?}");
        }
    }

    #[test]
    fn what_ec2_will_not_copy_takes_nobodys_turn() {
        let sources: Vec<Source> = (0..30).map(source).collect();
        let refused: Vec<Missing> = (0..20).map(|n| Missing::new(snapshot(n).as_str(), "no")).collect();
        let (begin, held) = to_begin(&sources, &[], &refused);
        assert_eq!((begin, held), (sources[20..].to_vec(), 0));
    }

    #[test]
    fn the_copy_that_counts_is_the_best_one() {
        let all = [there(1, 1, "error"), there(2, 1, "pending"), there(3, 1, "completed"), there(4, 2, "error")];
        assert_eq!(current(&source(1), &all).map(|copy| copy.id.clone()), Some(snapshot(1_003)));
        assert_eq!(current(&source(1), &all[..2]).map(|copy| copy.id.clone()), Some(snapshot(1_002)));
        assert_eq!(current(&source(2), &all).map(|copy| copy.id.clone()), Some(snapshot(1_004)));
        assert_eq!(current(&source(3), &all), None);
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let locked = LockOutcome::Locked { mode: incident::plan::LockMode::Governance, days: 30 };
        let whole = SnapshotCopy { lock: locked, shared_with: vec!["444455556666".to_owned()], ..copied(1, 1, "completed") };
        let bare = copied(2, 2, "completed");
        let sources = [source(1), source(2), source(3), source(4), source(5)];
        let there = [there(3, 3, "error"), there(4, 4, "pending")];
        let copies = [whole, bare, copied(3, 3, "error"), copied(4, 4, "pending")];
        let refused = [Missing::new(snapshot(5).as_str(), "refused"), Missing::new(snapshot(1_002).as_str(), "not allowed")];
        let missing = missing(&sources, &copies, &there, &["444455556666".to_owned()], &refused);
        let said: Vec<String> = missing.iter().map(|missing| format!("{} {}", missing.item, missing.reason)).collect();
        let expected = [
            ("copy:vol-00000000000000003", "no key; its snapshot snap-00000000000000003 is there"),
            ("copy:vol-00000000000000004", "at 40 %"),
            ("copy:vol-00000000000000005", "refused"),
            ("copy-lock:snap-000000000000003ea", "not yet locked"),
            ("copy-share:snap-000000000000003ea", "444455556666: not allowed"),
        ];
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for ((item, reason), said) in expected.into_iter().zip(&said) {
            assert!(said.starts_with(item) && said.contains(reason), "{said}");
        }
    }

    #[test]
    fn the_copying_goes_on_as_long_as_something_may_come() {
        let missing = [Missing::new("copy:vol-1", "text")];
        // The copies, how many are held, whether something is missing, and whether the deadline has passed.
        let cases: [(&[SnapshotCopy], usize, bool, bool, CopyStatus); 7] = [
            (&[copied(1, 1, "pending")], 0, true, false, CopyStatus::Copying),
            (&[copied(1, 1, "pending")], 3, true, false, CopyStatus::Copying),
            (&[copied(1, 1, "completed")], 3, true, false, CopyStatus::Held),
            (&[copied(1, 1, "completed")], 3, true, true, CopyStatus::Incomplete),
            (&[copied(1, 1, "pending")], 0, true, true, CopyStatus::Incomplete),
            (&[copied(1, 1, "completed")], 0, false, false, CopyStatus::Copied),
            (&[], 0, false, false, CopyStatus::Copied),
        ];
        for (copies, held, wanting, expired, expected) in cases {
            let missing = missing.get(..usize::from(wanting)).unwrap_or_default();
            assert_eq!(status(copies, held, missing, expired), expected, "{copies:?} {held} {expired}");
        }
    }

    #[test]
    fn what_is_held_or_failed_in_passing_is_looked_for_sooner() {
        let cases = [
            (CopyStatus::Copied, 0, 0, 7_200, 0),
            (CopyStatus::Incomplete, 3, 1, 7_200, 0),
            (CopyStatus::Copying, 0, 0, 7_200, 7_200),
            (CopyStatus::Copying, 3, 0, 7_200, 1_800),
            (CopyStatus::Held, 3, 0, 300, 300),
            (CopyStatus::Held, 3, 1, 300, 60),
        ];
        for (status, held, passed, usual, expected) in cases {
            assert_eq!(pause(status, held, passed, usual), expected, "{status:?} {held} {passed} {usual}");
        }
    }

    proptest! {
        #[test]
        fn whatever_ends_when_every_volume_is_copied_in_waves_that_ec2_takes(volumes in 0usize..129, failing in 0usize..5) {
            let sources: Vec<Source> = (0..volumes).map(source).collect();
            let (mut all, mut rounds) = (Vec::<There>::new(), 0);
            loop {
                let (begin, held) = to_begin(&sources, &all, &[]);
                prop_assert!(begin.len() <= AT_ONCE);
                if begin.is_empty() {
                    prop_assert_eq!(held, 0);
                    break;
                }
                for source in begin {
                    let of = sources.iter().position(|other| *other == source).unwrap();
                    let state = if of < failing { "error" } else { "completed" };
                    all.push(there(all.len(), of, state));
                }
                rounds += 1;
            }
            prop_assert!(rounds <= 8, "{} rounds", rounds);
            let done = |source: &Source| current(source, &all).is_some_and(|copy| copy.is("completed"));
            prop_assert_eq!(sources.iter().filter(|source| done(source)).count(), volumes.saturating_sub(failing));
        }
    }
}
