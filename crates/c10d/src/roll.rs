//! Who is there, and who is to blame when somebody is not.

use std::sync::Arc;
use std::time::Instant;

use crate::escape::escape;
use crate::pulse::{self, INTERVAL, Pulse};
use crate::{Position, Result, Store};

/// The first rank that said that it had failed, and its words.
const FAILED: &str = "failed";
/// The rank that others have missed, and what is known of it.
const MISSED: &str = "missed";
/// How far the run has come, in its own words.
const PROGRESS: &str = "progress";

/// A rank, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its number.
    pub rank: usize,
    /// What became of it, in one line that does not name it.
    pub what: String,
}

impl Report {
    fn write(&self) -> String {
        format!("{} {}", self.rank, self.what)
    }

    /// A report in another process's words, fit to print.
    pub(crate) fn read(text: &str) -> Option<Report> {
        let (rank, what) = text.split_once(' ')?;
        Some(Report { rank: rank.parse().ok()?, what: escape(what) })
    }
}

/// The ranks of one attempt of a run, as the store knows them. Any process that reaches the
/// store can look, a launcher for one.
#[derive(Debug)]
pub struct Roll {
    store: Arc<Store>,
    size: usize,
}

impl Roll {
    /// Of the `size` ranks that meet in `store` for attempt `attempt` of the run called `run`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub fn of(store: &Store, run: &str, attempt: &str, size: usize) -> Result<Roll> {
        Ok(Roll { store: Arc::new(store.below(&prefix(run, attempt, 0), attempt)?), size })
    }

    pub(crate) fn new(store: Arc<Store>, size: usize) -> Roll {
        Roll { store, size }
    }

    /// A rank's last sign of life; none from one that has not joined.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn pulse(&self, rank: usize) -> Result<Option<Pulse>> {
        Ok(self.store.get(&pulse::key(rank))?.as_deref().and_then(Pulse::read))
    }

    /// The first rank that said that it had failed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn failed(&self) -> Result<Option<Report>> {
        Ok(self.store.get(FAILED)?.as_deref().and_then(Report::read))
    }

    /// The rank that another one found missing.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn missed(&self) -> Result<Option<Report>> {
        Ok(self.store.get(MISSED)?.as_deref().and_then(Report::read))
    }

    /// Tells the ranks which of them is missing, unless one has found out before.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn miss(&self, report: &Report) -> Result<()> {
        self.store.set_once(MISSED, &report.write())
    }

    /// What [`crate::World::note_progress`] was told last.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn progress(&self) -> Result<Option<String>> {
        self.store.get(PROGRESS)
    }

    pub(crate) fn note_progress(&self, progress: &str) -> Result<()> {
        self.store.set(PROGRESS, progress)
    }

    /// Says that a rank has failed, unless another one has said so of itself before.
    pub(crate) fn fail(&self, report: &Report) -> Result<()> {
        self.store.set_once(FAILED, &report.write())
    }

    /// Why rank `me`, at `at`, was left alone by the others: the rank that is to blame. Takes
    /// some seconds, to tell those that live from those that do not.
    pub(crate) fn blame(&self, me: usize, at: Position) -> Result<Option<Report>> {
        if let Some(found) = self.known(me)? {
            return Ok(Some(found));
        }
        let before = self.pulses()?;
        std::thread::sleep(INTERVAL.mul_f64(2.5));
        // One that has failed may have been on its way to say so.
        if let Some(found) = self.known(me)? {
            return Ok(Some(found));
        }
        let found = judge(me, at, &before, &self.pulses()?);
        if let Some(report) = &found {
            self.miss(report)?;
        }
        Ok(found)
    }

    /// Waits, for a few seconds, until all ranks but `me` and `missing` have left.
    pub(crate) fn outlast(&self, me: usize, missing: Option<usize>) {
        let deadline = Instant::now() + INTERVAL * 5;
        let stays = |rank: usize| {
            let pulse = self.pulse(rank).ok().flatten();
            Some(rank) != missing && rank != me && pulse.is_some_and(|pulse| !pulse.left)
        };
        while (0..self.size).any(stays) && Instant::now() < deadline {
            std::thread::sleep(INTERVAL / 10);
        }
    }

    /// What the ranks have said themselves.
    fn known(&self, me: usize) -> Result<Option<Report>> {
        let of_another = |report: &Report| report.rank != me;
        let failed = self
            .failed()?
            .filter(of_another)
            .map(|Report { rank, what }| Report { rank, what: format!("failed first: {what}") });
        Ok(self.missed()?.filter(of_another).or(failed))
    }

    fn pulses(&self) -> Result<Vec<Option<Pulse>>> {
        (0..self.size).map(|rank| self.pulse(rank)).collect()
    }
}

/// Below which the keys of one attempt lie; `count` is the process's group, from 0.
pub(crate) fn prefix(run: &str, attempt: &str, count: u64) -> String {
    format!("c10d/{run}/{attempt}/{count}")
}

/// The rank that is to blame, going by two looks at all pulses, `INTERVAL`s apart: one that has
/// left, else one that has fallen silent, else the one furthest behind.
fn judge(
    me: usize,
    at: Position,
    before: &[Option<Pulse>],
    after: &[Option<Pulse>],
) -> Option<Report> {
    let others = || {
        let pairs = before.iter().zip(after).enumerate().filter(|(rank, _)| *rank != me);
        pairs.filter_map(|(rank, (before, after))| Some((rank, (*before)?, (*after)?)))
    };
    if let Some((rank, before, _)) = others().find(|(_, before, _)| before.left) {
        return Some(Report { rank, what: format!("has ended, {}", before.at) });
    }
    if let Some((rank, _, last)) = others().find(|(_, before, after)| before.beat == after.beat) {
        let what = format!(
            "gives no sign of life, last heard of {}: its process or its machine has stopped",
            last.at
        );
        return Some(Report { rank, what });
    }
    let (rank, _, last) = others().min_by_key(|(_, _, after)| after.at)?;
    (last.at < at).then(|| Report {
        rank,
        what: format!("is alive, but stuck {} while the others are {at}", last.at),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Doing;

    fn pulse(beat: u64, step: u64, doing: Doing) -> Option<Pulse> {
        Some(Pulse { beat, at: Position { step, doing }, left: false })
    }

    #[test]
    fn who_left_or_fell_silent_or_lags_is_to_blame() {
        use Doing::{Loading, Training};
        let me = Position { step: 7, doing: Training };
        let fine = [pulse(4, 7, Training), pulse(6, 7, Training)];
        let judged = |other: [Option<Pulse>; 2]| {
            // Rank 0 asks, rank 1 is fine, rank 2 is the one in question.
            let [before, after] = [0, 1].map(|look| [fine[look], fine[look], other[look]]);
            judge(0, me, &before, &after)
        };
        assert_eq!(judged([fine[0], fine[1]]), None);
        let left = |at| Some(Pulse { left: true, ..at });
        let found = judged([left(fine[0].unwrap()), left(fine[0].unwrap())]).unwrap();
        assert_eq!((found.rank, found.what.as_str()), (2, "has ended, in step 7"));
        // One that leaves between the looks has given up as this one does.
        assert_eq!(judged([fine[0], left(fine[1].unwrap())]), None);
        let found = judged([fine[0], fine[0]]).unwrap();
        assert!(found.rank == 2 && found.what.contains("no sign of life"), "{found:?}");
        let found = judged([pulse(1, 7, Loading), pulse(3, 7, Loading)]).unwrap();
        assert!(found.what.contains("stuck loading its batch for step 7"), "{found:?}");
        assert_eq!(Report::read(&found.write()), Some(found));
    }
}
