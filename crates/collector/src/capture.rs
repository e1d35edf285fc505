//! The whole run: the small files, then the image, then the result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use incident::CaseId;
use incident::capture::{Collected, FileSlot, RESULT, Settings, Wave};

use crate::board::{Board, Halt};
use crate::sizes::{self, Need};
use crate::source::{self, Memory};
use crate::stream::{self, Pool};
use crate::upload::Sender;
use crate::{Options, cli, feed, files, result, upload, watch};

/// How long after its end what still goes on is waited for: a read that hangs in the kernel, the last hashes.
const GRACE: Duration = Duration::from_secs(5);

/// Captures as `plan` says, and gives the result, however it ended. `trouble` is what went wrong before.
pub fn run(plan: Wave, options: &Options, trouble: Option<String>) -> Collected {
    let case = plan.case_id.clone();
    let Some(settings) = plan.settings.clone() else {
        let board = Board::new(Duration::ZERO);
        board.stop("the plan does not say how to collect");
        return board.look(|state| result::of(state, &case, 0.0));
    };
    let board = Arc::new(Board::new(Duration::from_secs(settings.deadline_seconds)));
    if let Some(trouble) = trouble {
        board.note(&trouble);
    }
    match (feed::follows(&plan, &case, 0), &plan.withdrawn) {
        (Err(error), _) => board.stop(&format!("the plan is of no use: {error}")),
        (Ok(()), Some(reason)) => board.withdraw(reason),
        (Ok(()), None) => {
            board.change(|state| state.urls.take_over(plan, Instant::now()));
            attempt(&board, &case, &settings, options);
        }
    }
    // There are no more parts to hash than there are buffers.
    board.settle(Some(Instant::now() + GRACE), |state| state.pool.all_hashed().then_some(()));
    let (collected, withdrawn) = board.change(|state| {
        state.over = true;
        let seconds = board.began().elapsed().as_secs_f64();
        (result::of(state, &case, seconds), state.stop.as_ref().is_some_and(|stop| stop.withdrawn))
    });
    if !withdrawn && let Some(slot) = settings.files.iter().find(|slot| slot.name == RESULT) {
        last_word(&collected, slot, &settings, options);
    }
    collected
}

/// Does the work in a thread of its own, which is left behind where it hangs.
fn attempt(board: &Arc<Board>, case: &CaseId, settings: &Settings, options: &Options) {
    {
        let times = options.times.clone();
        board.spawn("watch", move |board| watch::keep(board, &times));
        let (case, options) = (case.clone(), options.clone());
        board.spawn("feed", move |board| feed::poll(board, &case, &options));
    }
    let (done, ended) = mpsc::channel();
    {
        let (board, case, settings, options) = (Arc::clone(board), case.clone(), settings.clone(), options.clone());
        thread::spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| conduct(&board, &case, &settings, &options)));
            // Whoever waited may have given up.
            let _ = done.send(result.unwrap_or_else(|_| Err("the collector broke: this is a fault of ours".to_owned())));
        });
    }
    let left = board.deadline().saturating_duration_since(Instant::now()) + GRACE;
    match ended.recv_timeout(left) {
        Ok(Ok(())) => board.change(|state| state.whole = true),
        // A run that is stopped keeps its own reason.
        Ok(Err(reason)) => board.stop(&reason),
        Err(_) => board.stop("the collector hangs in a read of the kernel"),
    }
}

/// The work itself; the error is why it ended early.
fn conduct(board: &Arc<Board>, case: &CaseId, settings: &Settings, options: &Options) -> Result<(), String> {
    let lockdown = files::lockdown(&options.root);
    let available = files::available(&options.root);
    files::take(board, options, case, &settings.files, settings.tries, available);

    let memory = Memory::survey(options.file.as_deref()).map_err(|reason| locked(&reason, lockdown.as_deref()))?;
    board.change(|state| state.system_ram = memory.bytes());
    let need = Need {
        wanted: settings.part_bytes,
        puts: settings.puts,
        image: sizes::image(&memory.ranges),
        // The files may have needed some of what there was.
        available: files::available(&options.root),
    };
    if need.available.is_none() {
        board.note("the target does not say how much memory it has available, so the smallest buffers are used");
    }
    let chosen = sizes::choose(need).map_err(|short| short.to_string())?;
    let size = usize::try_from(chosen.part).map_err(|_| "a part is larger than this machine can address".to_owned())?;
    board.change(|state| state.pool = Pool::new(size, chosen.puts + 1));
    board.spawn("hash", stream::hash);
    for _ in 0..chosen.puts {
        let (options, tries) = (options.clone(), settings.tries);
        board.spawn("upload", move |board| upload::work(board, &options, tries));
    }
    let read = source::read(board, &memory, lockdown.as_deref());
    // What was read before an error is sent all the same: an image of a part of memory is better than none.
    let all_taken = board.wait(None, |state| (state.ledger.counted().parts == state.pool.shipped()).then_some(()));
    read?;
    all_taken.map_err(|halt| match halt {
        Halt::Stopped | Halt::Late => "the capture is stopped".to_owned(),
    })
}

fn locked(reason: &str, lockdown: Option<&str>) -> String {
    format!(
        "memory cannot be found: {reason}{}",
        lockdown.map(|state| format!("; the kernel's lockdown is `{state}`")).unwrap_or_default()
    )
}

/// Sends the result. The run may have been stopped, so that this has a board of its own.
fn last_word(collected: &Collected, slot: &FileSlot, settings: &Settings, options: &Options) {
    let board = Arc::new(Board::new(options.times.last_word));
    let times = options.times.clone();
    board.spawn("watch", move |board| watch::keep(board, &times));
    let (line, url, tries) = (cli::line(collected), slot.url.clone(), settings.tries);
    let (done, ended) = mpsc::channel();
    let own = options.clone();
    board.spawn("result", move |board| {
        // Whoever waited may have given up.
        let _ = done.send(Sender::new(board, &own, tries).send(RESULT, &url, line.as_bytes()));
    });
    if !matches!(ended.recv_timeout(options.times.last_word + GRACE), Ok(Ok(()))) {
        let said = board.look(|state| state.errors.list().pop()).unwrap_or_default();
        cli::complain(&format!("the result could not be sent, read it from the output: {said}"));
    }
    board.change(|state| state.over = true);
}
