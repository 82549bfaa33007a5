//! The launchers of a run's machines, which end an attempt together.
//!
//! Each says in the store how its ranks have ended; machine 0's decides what comes next, and
//! the others do as it says.

use std::time::{Duration, Instant};

use super::outcome::{Decision, Outcome};
use super::restarts::{Restarts, Verdict};
use super::settings::Settings;
use super::signals::Requests;

/// How often the store is asked.
const POLL: Duration = Duration::from_millis(200);
/// How long machine 0 waits for the others' word once its own ranks have ended, beyond the
/// grace that they give theirs; and the others for its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a launcher does next.
pub(super) enum Next {
    /// Start this attempt.
    Start(u32),
    /// End like this.
    End(Outcome),
}

/// This launcher among those of the other machines.
pub(super) struct Machines<'a> {
    settings: &'a Settings,
    grace: Duration,
}

impl<'a> Machines<'a> {
    pub(super) fn new(settings: &'a Settings, grace: Duration) -> Self {
        Self { settings, grace }
    }

    /// The attempt to begin with: one that is under way, for a machine that comes back.
    pub(super) fn first_attempt(&self) -> anyhow::Result<u32> {
        let attempt = match self.alone() || self.decides() {
            true => None,
            false => self.settings.store.get(ATTEMPT)?,
        };
        Ok(attempt.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    fn alone(&self) -> bool {
        self.settings.machines == 1
    }

    fn decides(&self) -> bool {
        self.settings.machine == 0
    }

    /// Tells the others that an attempt begins here.
    pub(super) fn begin(&self, attempt: u32) -> anyhow::Result<()> {
        if self.alone() {
            return Ok(());
        }
        Ok(self
            .settings
            .store
            .set(&key(attempt, &format!("began/{}", self.settings.machine)), "")?)
    }

    /// Tells the others that an attempt has failed here, or that it is to stop.
    pub(super) fn announce(&self, attempt: u32, outcome: &Outcome) -> anyhow::Result<()> {
        if self.alone() || matches!(outcome, Outcome::Done) {
            return Ok(());
        }
        Ok(self.settings.store.set_once(&key(attempt, "broken"), &outcome.write())?)
    }

    /// Whether an attempt has failed on another machine, and how.
    pub(super) fn broken(&self, attempt: u32) -> anyhow::Result<Option<Outcome>> {
        if self.alone() {
            return Ok(None);
        }
        let text = self.settings.store.get(&key(attempt, "broken"))?;
        Ok(text.as_deref().and_then(Outcome::read))
    }

    /// After this machine's ranks have ended: what all machines do next.
    pub(super) fn conclude(
        &self,
        attempt: u32,
        mine: Outcome,
        restarts: &mut Restarts,
        requests: &mut Requests,
    ) -> anyhow::Result<Next> {
        let mut outcome = mine;
        if !self.alone() {
            self.announce(attempt, &outcome)?;
            let own = key(attempt, &format!("ended/{}", self.settings.machine));
            self.settings.store.set(&own, &outcome.write())?;
            if !self.decides() {
                return self.follow(attempt, outcome, requests);
            }
            self.wait_for_others(attempt)?;
            outcome = self.broken(attempt)?.unwrap_or(outcome);
        }
        let next = self.decide(attempt, outcome, restarts, requests);
        if !self.alone() {
            let decision = match &next {
                Next::Start(attempt) => Decision::Start(*attempt),
                Next::End(outcome) => Decision::End(outcome.clone()),
            };
            self.settings.store.set(&key(attempt, "verdict"), &decision.write())?;
            if let Next::End(_) = next {
                self.wait_for_readers(attempt);
            }
        }
        Ok(next)
    }

    fn decide(
        &self,
        attempt: u32,
        outcome: Outcome,
        restarts: &mut Restarts,
        requests: &mut Requests,
    ) -> Next {
        let message = match outcome {
            Outcome::Failed(message) if requests.asked().is_none() => message,
            other => return Next::End(other),
        };
        // A store that does not answer knows of no progress.
        let progress = self.settings.roll(attempt).and_then(|roll| roll.progress()).ok().flatten();
        match restarts.after(message.clone(), progress) {
            Verdict::GiveUp(message) => Next::End(Outcome::Failed(message)),
            Verdict::Again(delay) => {
                tracing::error!("{message}");
                tracing::warn!(
                    "restart {} without progress in {} s, from the last good checkpoint",
                    restarts.count(),
                    delay.as_secs()
                );
                let deadline = Instant::now() + delay;
                while Instant::now() < deadline {
                    std::thread::sleep(POLL);
                    if let Some(why) = requests.stop() {
                        return Next::End(Outcome::Stopped(why));
                    }
                }
                let next = attempt + 1;
                if !self.alone()
                    && let Err(error) = self.settings.store.set(ATTEMPT, &next.to_string())
                {
                    tracing::warn!("{error}");
                }
                Next::Start(next)
            }
        }
    }

    /// Does as machine 0 says.
    fn follow(&self, attempt: u32, mine: Outcome, requests: &mut Requests) -> anyhow::Result<Next> {
        let mut deadline = Instant::now() + self.grace + PATIENCE;
        loop {
            let verdict = match self.settings.store.get(&key(attempt, "verdict")) {
                Ok(verdict) => verdict,
                // Machine 0 is done as well, and did not wait.
                Err(_) if matches!(mine, Outcome::Done) => return Ok(Next::End(mine)),
                Err(error) => {
                    tracing::warn!("{error}: the launcher of machine 0 has ended");
                    return Ok(Next::End(mine));
                }
            };
            match verdict.as_deref().and_then(Decision::read) {
                Some(Decision::Start(number)) => return Ok(Next::Start(number)),
                Some(Decision::End(outcome)) => {
                    let done = key(attempt, &format!("read/{}", self.settings.machine));
                    // It only spares machine 0 some waiting.
                    let _ = self.settings.store.set(&done, "");
                    return Ok(Next::End(outcome));
                }
                None => {}
            }
            if let Some(why) = requests.stop() {
                return Ok(Next::End(Outcome::Stopped(why)));
            }
            // Ranks of other machines may train on for as long as they like, unless ours failed.
            if matches!(mine, Outcome::Done) {
                deadline = Instant::now() + PATIENCE;
            }
            if Instant::now() > deadline {
                tracing::warn!("the launcher of machine 0 has not said what comes next");
                return Ok(Next::End(mine));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Machine 0: until the ranks of every machine that has begun have ended, or that takes too
    /// long.
    fn wait_for_others(&self, attempt: u32) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.grace + PATIENCE;
        for machine in 1..self.settings.machines {
            let began = key(attempt, &format!("began/{machine}"));
            if self.settings.store.get(&began)?.is_none() {
                tracing::warn!("machine {machine} has not come");
                continue;
            }
            let key = key(attempt, &format!("ended/{machine}"));
            while self.settings.store.get(&key)?.is_none() {
                if Instant::now() > deadline {
                    tracing::warn!("machine {machine} does not say how its ranks have ended");
                    break;
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// Machine 0 keeps the store until the others know how it ended.
    fn wait_for_readers(&self, attempt: u32) {
        let deadline = Instant::now() + 10 * POLL;
        for machine in 1..self.settings.machines {
            let key = key(attempt, &format!("read/{machine}"));
            while !matches!(self.settings.store.get(&key), Ok(Some(_)) | Err(_))
                && Instant::now() < deadline
            {
                std::thread::sleep(POLL);
            }
        }
    }
}

/// Holds the number of the attempt that is under way.
const ATTEMPT: &str = "launch/attempt";

fn key(attempt: u32, what: &str) -> String {
    format!("launch/{attempt}/{what}")
}
