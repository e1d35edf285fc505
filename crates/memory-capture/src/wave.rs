//! Writes waves: what the collector does next, and with which URLs.

use futures_util::future::{join, try_join_all};
use handler::AwsError;
use incident::capture::{FILES, FileSlot, IMAGE, Settings, Wave, WaveMark, wave_key};
use incident::case;

use crate::preflight::{Collector, file};
use crate::sign::{Right, Session, valid_seconds};
use crate::work::Uploads;
use crate::{Case, Error, parts};

/// How many uploads go on at the same time: more cost the target memory, and few links are faster.
const PUTS: u8 = 2;
/// How often the collector tries each part with one URL.
const TRIES: u8 = 5;
/// How often the collector looks for the next wave, in seconds.
const POLL_SECONDS: u32 = 10;
/// How many waves are stepped over to withdraw one: those that an earlier attempt wrote.
const MOST_AHEAD: u32 = 4;

/// Writes the first wave, or takes the one that is there; gives it and a URL to get it with.
pub(crate) async fn first(case: &Case<'_>, uploads: &Uploads, collector: &Collector) -> Result<(WaveMark, String), Error> {
    let url = async { Session::begin(case, Right::Get, case.wave_key(1)).await?.get().await };
    let (mark, url) = join(first_wave(case, uploads, collector), url).await;
    Ok((mark?, url?))
}

async fn first_wave(case: &Case<'_>, uploads: &Uploads, collector: &Collector) -> Result<WaveMark, Error> {
    if let Some(mark) = there(case, 1).await? {
        return Ok(mark);
    }
    let binary = async { Session::begin(case, Right::Get, collector.key.clone()).await?.get().await };
    let slots = try_join_all(FILES.iter().map(|(name, limit)| slot(case, uploads, name, *limit)));
    let body = body(case, uploads, 1, parts::first_wave(case.plan.target.memory_mib));
    let ((binary, slots), body) = join(join(binary, slots), body).await;
    let (mut wave, mark) = body?;
    wave.settings = Some(Settings {
        part_bytes: parts::part_bytes(case.plan.target.memory_mib),
        puts: PUTS,
        tries: TRIES,
        deadline_seconds: u64::try_from(case.plan.deadlines.memory.duration_since(case.now()).as_secs()).unwrap_or(0),
        files: slots?,
    });
    write(case, mark, wave.with_collector(&binary?)).await
}

/// Writes the wave after `last`, with URLs for the parts from the first to the last of `range`.
pub(crate) async fn next(case: &Case<'_>, uploads: &Uploads, last: &WaveMark, range: (u32, u32)) -> Result<WaveMark, Error> {
    let (wave, mark) = body(case, uploads, last.number + 1, range).await?;
    write(case, mark, serde_json::to_vec(&wave).unwrap_or_default()).await
}

/// Tells the collector to stop, in the wave after the `last` one that was written.
pub(crate) async fn withdraw(case: &Case<'_>, last: u32, why: &str) -> Result<(), Error> {
    for number in last + 1..=last + MOST_AHEAD {
        let wave = Wave { withdrawn: Some(why.to_owned()), ..empty(case, number) };
        let store = &case.clients.store;
        if store.put_if(&case.wave_key(number), serde_json::to_vec(&wave).unwrap_or_default(), None).await? {
            return Ok(());
        }
        let there = store.get(&case.wave_key(number)).await?;
        if there.is_some_and(|there| Wave::read(&there.bytes).is_ok_and(|wave| wave.withdrawn.is_some())) {
            return Ok(());
        }
    }
    Ok(())
}

async fn body(case: &Case<'_>, uploads: &Uploads, number: u32, range: (u32, u32)) -> Result<(Wave, WaveMark), AwsError> {
    let (first_part, last_part) = range;
    let image = Session::begin(case, Right::PutParts, case.key(IMAGE));
    let following = Session::begin(case, Right::Get, case.wave_key(number + 1));
    let (image, following) = join(image, following).await;
    let (image, following) = (image?, following?);
    let mut urls = Vec::new();
    for part in first_part..=last_part {
        urls.push(image.part(uploads.id(IMAGE), part).await?);
    }
    let until = image.until.min(following.until);
    let wave = Wave {
        first_part,
        parts: urls,
        next: following.get().await?,
        valid_seconds: valid_seconds(until, case.now()),
        ..empty(case, number)
    };
    Ok((wave, WaveMark { number, first_part, last_part, until }))
}

fn empty(case: &Case<'_>, number: u32) -> Wave {
    Wave {
        schema: Wave::SCHEMA.to_owned(),
        case_id: case.plan.case_id.clone(),
        number,
        withdrawn: None,
        first_part: 1,
        parts: Vec::new(),
        next: String::new(),
        poll_seconds: POLL_SECONDS,
        valid_seconds: 0,
        settings: None,
    }
}

async fn slot(case: &Case<'_>, uploads: &Uploads, name: &str, limit: u64) -> Result<FileSlot, AwsError> {
    let session = Session::begin(case, Right::PutParts, case.key(&file(name))).await?;
    Ok(FileSlot { name: name.to_owned(), url: session.part(uploads.id(&file(name)), 1).await?, limit })
}

/// The first writer of a wave wins: an earlier attempt's is as good, and the collector may have read it.
async fn write(case: &Case<'_>, mark: WaveMark, bytes: Vec<u8>) -> Result<WaveMark, Error> {
    if case.clients.store.put_if(&case.wave_key(mark.number), bytes, None).await? {
        return Ok(mark);
    }
    Ok(there(case, mark.number).await?.unwrap_or(mark))
}

/// What is to be remembered of a wave that is there. It was written by an attempt at this very look, so its URLs hold from
/// this look on.
pub(crate) async fn there(case: &Case<'_>, number: u32) -> Result<Option<WaveMark>, Error> {
    let Some(there) = case.clients.store.get(&case.wave_key(number)).await? else { return Ok(None) };
    let wave = Wave::read(&there.bytes).map_err(|error| handler::StoreError::Malformed {
        key: there.key.clone(),
        path: String::new(),
        reason: incident::text::bounded(&error.to_string(), 300),
    })?;
    let count = u32::try_from(wave.parts.len()).unwrap_or(0);
    let until = case.now().saturating_add(jiff::SignedDuration::from_secs(wave.valid_seconds.into())).unwrap_or(case.now());
    let last_part = (wave.first_part + count).saturating_sub(1);
    Ok(Some(WaveMark { number, first_part: wave.first_part, last_part, until }))
}

impl Case<'_> {
    /// The full key of `name` in the case.
    pub(crate) fn key(&self, name: &str) -> String {
        case::key(&self.plan.case_id, name)
    }

    fn wave_key(&self, number: u32) -> String {
        wave_key(&self.plan.case_id, number)
    }
}
