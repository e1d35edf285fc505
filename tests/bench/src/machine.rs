//! What the machine was busy with meanwhile: times say little where others work on it too.

use std::fs;
use std::time::Instant;

/// The kernel counts CPU time in hundredths of a second.
const TICK: f64 = 0.01;

/// What something took.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Spent {
    /// From its beginning to its end.
    pub(crate) seconds: f64,
    /// CPU time of all that belongs to the benchmark, its server too.
    pub(crate) cpu: f64,
    /// CPU time of everything else on the machine.
    pub(crate) others: f64,
}

/// Measures what `work` takes.
pub(crate) fn spent<T>(work: impl FnOnce() -> Result<T, String>) -> Result<(T, Spent), String> {
    let (ours, busy) = (ours()?, busy()?);
    let began = Instant::now();
    let result = work()?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = self::ours()? - ours;
    Ok((result, Spent { seconds, cpu, others: (self::busy()? - busy - cpu).max(0.0) }))
}

/// The CPU time of this process and of those that it has run.
fn ours() -> Result<f64, String> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(|error| error.to_string())?;
    // The name before it may have spaces and brackets of its own.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    // Fields 14 to 17 of all: in user mode and in the kernel, and the same of those that have ended.
    ticks(after.split_whitespace().skip(11).take(4))
}

/// The time for which the machine's cores were not idle.
fn busy() -> Result<f64, String> {
    let stat = fs::read_to_string("/proc/stat").map_err(|error| error.to_string())?;
    let mut fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // user nice system idle iowait irq softirq
    let worked = ticks(fields.by_ref().take(3))?;
    Ok(worked + ticks(fields.skip(2).take(2))?)
}

fn ticks<'a>(fields: impl Iterator<Item = &'a str>) -> Result<f64, String> {
    let counts: Result<Vec<f64>, _> = fields.map(str::parse).collect();
    let counts = counts.map_err(|error| format!("the kernel says of its CPU time what is no number: {error}"))?;
    Ok(counts.into_iter().sum::<f64>() * TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worked_is_counted_once_and_as_ours() {
        let ((), spent) = spent(|| {
            let began = Instant::now();
            while began.elapsed().as_secs_f64() < 0.3 {}
            Ok(())
        })
        .unwrap();
        assert!(spent.seconds >= 0.3 && spent.cpu > 0.0 && spent.cpu <= spent.seconds + 2.0 * TICK, "{spent:?}");
        assert!(busy().unwrap() >= ours().unwrap() - 2.0 * TICK);
    }
}
