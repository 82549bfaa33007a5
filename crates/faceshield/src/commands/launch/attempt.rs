//! One attempt: the ranks from their start to the end of all of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use c10d::{Report, Roll};
use rustix::process::Signal;

use super::machines::Machines;
use super::outcome::Outcome;
use super::ranks::{POLL, Ranks};
use super::signals::{Request, Requests};

/// How often the store is asked what the ranks say.
const LOOK: Duration = Duration::from_secs(1);

/// Ranks at work.
pub(super) struct Attempt<'a> {
    pub(super) number: u32,
    pub(super) ranks: Ranks,
    /// What the ranks say of themselves and of each other.
    pub(super) roll: Roll,
    pub(super) machines: &'a Machines<'a>,
    /// Time for ranks to end once another has failed.
    pub(super) grace: Duration,
    pub(super) silence: Silence,
}

impl Attempt<'_> {
    /// Passes signals on and waits for all ranks to end; after a failure stops the others.
    ///
    /// # Errors
    ///
    /// The launcher of machine 0, which keeps the store, does not answer.
    pub(super) fn supervise(mut self, requests: &mut Requests) -> anyhow::Result<Outcome> {
        let mut found: Option<Outcome> = None;
        let mut kill_at: Option<Instant> = None;
        let mut look_at = Instant::now() + LOOK;
        let mut killed = false;
        while !self.ranks.all_ended() {
            for request in requests.new_ones() {
                match request {
                    Request::Pass(signal) => self.ranks.signal_all(signal),
                    Request::Kill => {
                        killed = true;
                        self.ranks.signal_all(Signal::KILL);
                    }
                }
            }
            if found.is_none() && !killed {
                found = self.failure()?;
                if found.is_none() && Instant::now() >= look_at {
                    found = self.look()?;
                    look_at = Instant::now() + LOOK;
                }
                if let Some(outcome) = &found {
                    self.machines.announce(self.number, outcome)?;
                    if !self.ranks.all_ended() {
                        tracing::warn!("stopping the other ranks");
                        self.ranks.signal_all(Signal::TERM);
                        kill_at = Some(Instant::now() + self.grace);
                    }
                }
            }
            // They stop together, except that one that was just starting goes on waiting for
            // another that a signal has ended before it could listen.
            if kill_at.is_none() && self.ranks.iter().any(|rank| self.ranks.stopped(rank)) {
                kill_at = Some(Instant::now() + self.grace);
            }
            if kill_at.is_some_and(|time| Instant::now() >= time) {
                let seconds = self.grace.as_secs();
                tracing::warn!("ranks did not end within {seconds} s: killing them");
                self.ranks.signal_all(Signal::KILL);
                kill_at = None;
            }
            std::thread::sleep(POLL);
        }
        self.ranks.finish_logs();
        if killed {
            return Ok(Outcome::Stopped(
                "ended at once by a second SIGINT: the same command goes on from the last \
                 checkpoint"
                    .to_owned(),
            ));
        }
        let failed = found.map_or_else(|| self.failure(), |found| Ok(Some(found)))?;
        Ok(failed.unwrap_or_else(|| match self.ranks.iter().any(|rank| self.ranks.stopped(rank)) {
            true => Outcome::Stopped(requests.asked().unwrap_or_else(|| {
                "stopped before the end, see above: run the same command to go on".to_owned()
            })),
            false => Outcome::Done,
        }))
    }

    /// Whether a rank of this machine has failed, and what all that is known of it says.
    fn failure(&mut self) -> anyhow::Result<Option<Outcome>> {
        let Some(first) = self.ranks.first_failure() else { return Ok(None) };
        let known = match first.ended_by() {
            Some(signal) => {
                let report = of_signal(&self.roll, first.rank as usize, signal);
                // Spares the others from finding out. They may all have ended, with the store.
                let _ = self.roll.miss(&report);
                Some(report)
            }
            None => self.roll.missed()?.or(self.roll.failed()?),
        };
        // Whose peer has failed on another machine fails because of it.
        let culprit = match &known {
            Some(report) => self.ranks.get(report.rank),
            None => Some(first),
        };
        let what = known.as_ref().map(|report| report.what.as_str());
        Ok(Some(match (culprit, known.as_ref()) {
            (Some(rank), _) if rank.misused() => Outcome::Misused(rank.describe(what)),
            (Some(rank), _) => Outcome::Failed(rank.describe(what)),
            (None, Some(Report { rank, what })) => {
                Outcome::Failed(format!("rank {rank}, on another machine, {what}"))
            }
            (None, None) => Outcome::Failed("a rank failed".to_owned()),
        }))
    }

    /// Whether a rank of this machine is missed by others or has fallen silent, or another
    /// machine has failed.
    fn look(&mut self) -> anyhow::Result<Option<Outcome>> {
        let missed = match self.roll.missed()? {
            Some(report) => Some(report),
            None => self.silence.find(&self.ranks, &self.roll)?,
        };
        if let Some(report) = missed
            && let Some(rank) = self.ranks.get(report.rank)
            && rank.status.is_none()
        {
            // It would not hear anything else.
            rank.signal(Signal::KILL);
            return Ok(Some(Outcome::Failed(rank.describe(Some(&report.what)))));
        }
        self.machines.broken(self.number)
    }
}

fn of_signal(roll: &Roll, rank: usize, signal: &str) -> Report {
    let at = roll.pulse(rank).ok().flatten().map(|pulse| format!(", {}", pulse.at));
    let memory =
        if signal == "SIGKILL" { " (the system does that when memory is short)" } else { "" };
    Report { rank, what: format!("was ended by {signal}{memory}{}", at.unwrap_or_default()) }
}

/// Finds ranks that give no sign of life, also where no other rank waits for them.
pub(super) struct Silence {
    /// Looks without a sign after which a rank is given up.
    limit: u64,
    /// Per rank the last sign and the looks since.
    seen: BTreeMap<u32, (u64, u64)>,
}

impl Silence {
    /// Time is counted in looks, so that a launcher that was stopped itself blames nobody.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { limit: timeout.as_secs().max(5), seen: BTreeMap::new() }
    }

    fn find(&mut self, ranks: &Ranks, roll: &Roll) -> anyhow::Result<Option<Report>> {
        for rank in ranks.iter().filter(|rank| rank.status.is_none()) {
            let Some(pulse) = roll.pulse(rank.rank as usize)?.filter(|pulse| !pulse.left) else {
                continue;
            };
            let (beat, looks) = self.seen.entry(rank.rank).or_insert((pulse.beat, 0));
            (*beat, *looks) = (pulse.beat, if *beat == pulse.beat { *looks + 1 } else { 0 });
            if *looks >= self.limit {
                let what = format!(
                    "has given no sign of life for {} s, last heard of {}",
                    self.limit, pulse.at
                );
                return Ok(Some(Report { rank: rank.rank as usize, what }));
            }
        }
        Ok(None)
    }
}
