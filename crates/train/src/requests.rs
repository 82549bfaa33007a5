//! What a run is asked for while it works. The ranks agree on it at step boundaries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What somebody outside wants of a run: a stop, a checkpoint, an end in time. The flags may be
/// set from anywhere, a signal handler included, and on one rank only; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    stop: Arc<AtomicBool>,
    save: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Requests {
    /// Nothing is asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and to have stopped and saved by `deadline`.
    #[must_use]
    pub fn until(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// Asks for a stop with a checkpoint.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Asks for a checkpoint; the run goes on.
    pub fn save(&self) {
        self.save.store(true, Ordering::SeqCst);
    }

    /// The flag of [`Requests::stop`], as signal handlers want it.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// The flag of [`Requests::save`].
    pub fn save_flag(&self) -> Arc<AtomicBool> {
        self.save.clone()
    }

    /// Whether a stop has been asked for on this rank.
    pub fn stop_asked(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether a checkpoint has been asked for on this rank since this was last called.
    pub(crate) fn take_save(&self) -> bool {
        self.save.swap(false, Ordering::SeqCst)
    }

    /// When the run must have stopped and saved.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// Why a run ended before its last step, in a state from which it can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// [`Requests::stop`] was called on some rank.
    Asked,
    /// Another step and a save would not have been done by [`Requests::deadline`].
    OutOfTime,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "by a signal",
            Self::OutOfTime => "as its time is over",
        })
    }
}
