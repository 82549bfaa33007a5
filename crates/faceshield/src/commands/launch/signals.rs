//! What users and schedulers ask of a launcher by signal.

use anyhow::Context;
use rustix::process::Signal;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// What is to be done about a signal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Pass this one on to the ranks.
    Pass(Signal),
    /// End the ranks at once.
    Kill,
}

/// Signals received, and whether one of them asked for a stop.
pub(super) struct Requests {
    signals: Signals,
    stop: Option<&'static str>,
}

impl Requests {
    /// Listens from now on.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let signals = Signals::new([SIGINT, SIGTERM, SIGUSR1]).context("cannot receive signals")?;
        Ok(Self { signals, stop: None })
    }

    /// What has been asked since the last call.
    pub(super) fn new_ones(&mut self) -> Vec<Request> {
        let arrived: Vec<i32> = self.signals.pending().collect();
        arrived.into_iter().map(|number| self.take(number)).collect()
    }

    fn take(&mut self, number: i32) -> Request {
        match (number, self.stop) {
            (SIGUSR1, _) => Request::Pass(Signal::USR1),
            // Schedulers repeat SIGTERM; only a person at a terminal is in a hurry.
            (SIGINT, Some(_)) => Request::Kill,
            (SIGINT, None) => {
                self.stop = Some("SIGINT");
                Request::Pass(Signal::INT)
            }
            _ => {
                self.stop.get_or_insert("SIGTERM");
                Request::Pass(Signal::TERM)
            }
        }
    }

    /// The signal that asked for a stop, if one has.
    pub(super) fn stop(&mut self) -> Option<String> {
        self.new_ones();
        self.asked()
    }

    /// As [`Requests::stop`], among those that [`Requests::new_ones`] has returned.
    pub(super) fn asked(&self) -> Option<String> {
        self.stop.map(|name| format!("stopped by {name}: run the same command to go on"))
    }
}
