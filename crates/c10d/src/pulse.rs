//! Every rank's sign of life, and where it stands.
//!
//! A thread writes both to the store once a second, whatever the rank's own thread does: one
//! that has been stopped, or whose machine is gone, falls silent; one that is stuck goes on
//! saying where.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::{Error, Result, Store};

/// Between two signs of life.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// What a rank does before and in a step, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doing {
    /// It has not come to its first step.
    Starting,
    /// It writes a checkpoint, from which this step would follow.
    Saving,
    /// It waits for its batch.
    Loading,
    /// It computes, or exchanges gradients.
    Training,
}

/// Where a rank stands; of two ranks the one that is behind is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The step it is in, or comes to next.
    pub step: u64,
    /// What it does there.
    pub doing: Doing,
}

impl Position {
    const START: Position = Position { step: 0, doing: Doing::Starting };

    fn encode(self) -> u64 {
        self.step.saturating_mul(4) + self.doing as u64
    }

    fn decode(code: u64) -> Position {
        let doing = match code % 4 {
            0 => Doing::Starting,
            1 => Doing::Saving,
            2 => Doing::Loading,
            _ => Doing::Training,
        };
        Position { step: code / 4, doing }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.doing {
            Doing::Starting => f.write_str("before its first step"),
            Doing::Loading => write!(f, "loading its batch for step {}", self.step),
            Doing::Training => write!(f, "in step {}", self.step),
            Doing::Saving => write!(f, "saving before step {}", self.step),
        }
    }
}

/// A rank's last sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Grows by one with each.
    pub beat: u64,
    /// Where it stood.
    pub at: Position,
    /// It has ended, in whatever way its own thread could see.
    pub left: bool,
}

impl Pulse {
    pub(crate) fn write(self) -> String {
        format!("{} {} {}", self.beat, self.at.encode(), u8::from(self.left))
    }

    pub(crate) fn read(text: &str) -> Option<Pulse> {
        let numbers: Vec<u64> = text.split(' ').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        let [beat, at, left] = numbers[..] else { return None };
        Some(Pulse { beat, at: Position::decode(at), left: left != 0 })
    }
}

/// Name of a rank's pulse in the store.
pub(crate) fn key(rank: usize) -> String {
    format!("pulse/{rank}")
}

/// This rank's pulse; it stops, saying so, when this is dropped.
#[derive(Debug)]
pub(crate) struct Heart {
    at: Arc<AtomicU64>,
    /// `None` only while it is dropped.
    stop: Option<Sender<()>>,
    /// Ends with its thread.
    ended: Receiver<()>,
}

impl Heart {
    /// Starts to write rank `rank`'s pulse to `store`; the first is there on return.
    pub(crate) fn start(store: Arc<Store>, rank: usize) -> Result<Heart> {
        let at = Arc::new(AtomicU64::new(Position::START.encode()));
        let (stop, stopped) = channel::<()>();
        let (ending, ended) = channel();
        let (key, mine) = (key(rank), Arc::clone(&at));
        let write = move |beat, left| {
            let at = Position::decode(mine.load(Ordering::Relaxed));
            store.set(&key, &Pulse { beat, at, left }.write())
        };
        write(0, false)?;
        let work = move || {
            let mut beat = 1;
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // A store that is gone for a moment, or for good: whoever misses this rank finds
                // out for himself.
                let _ = write(beat, false);
                beat += 1;
            }
            let _ = write(beat, true);
            drop((write, ending));
        };
        std::thread::Builder::new()
            .name("pulse".into())
            .spawn(work)
            .map_err(|error| Error::Rendezvous(format!("cannot start a thread: {error}")))?;
        Ok(Heart { at, stop: Some(stop), ended })
    }

    pub(crate) fn set(&self, at: Position) {
        self.at.store(at.encode(), Ordering::Relaxed);
    }

    pub(crate) fn position(&self) -> Position {
        Position::decode(self.at.load(Ordering::Relaxed))
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop = None;
        // Its thread should not work on while the process ends, but the store may hang.
        let _ = self.ended.recv_timeout(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_read_as_it_was_written() {
        for (step, doing) in [(0, Doing::Starting), (7, Doing::Loading), (9, Doing::Saving)] {
            let pulse = Pulse { beat: 3, at: Position { step, doing }, left: step == 7 };
            assert_eq!(Pulse::read(&pulse.write()), Some(pulse));
        }
        for text in ["", "1 2", "1 2 x", "1 2 3 4"] {
            assert_eq!(Pulse::read(text), None);
        }
    }

    #[test]
    fn who_loads_is_behind_who_trains() {
        let at = |step, doing| Position { step, doing };
        assert!(at(3, Doing::Loading) < at(3, Doing::Training));
        assert!(at(3, Doing::Training) < at(4, Doing::Saving));
        assert!(at(4, Doing::Saving) < at(4, Doing::Loading));
    }
}
