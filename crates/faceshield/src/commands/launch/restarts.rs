//! Whether failed ranks are started again.

use std::time::Duration;

/// The longest wait before a restart.
const LONGEST: Duration = Duration::from_secs(60);

/// Counts restarts. Those that got somewhere do not count: a run of weeks may lose a machine
/// every day, one that fails at the same place each time is not worth another try.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    allowed: u32,
    used: u32,
    /// How far the run had come when it failed last.
    progress: Option<String>,
    /// The first failure since then: later ones are often its echo.
    first: Option<String>,
}

/// What to do after a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start all ranks again, so much later.
    Again(Duration),
    /// Fail with this message.
    GiveUp(String),
}

impl Restarts {
    pub(super) fn new(allowed: u32) -> Self {
        Self { allowed, ..Self::default() }
    }

    /// Judges a failure; `progress` is how far this attempt has come, if it has at all.
    pub(super) fn after(&mut self, failure: String, progress: Option<String>) -> Verdict {
        if progress.is_some() && progress != self.progress {
            (self.used, self.first, self.progress) = (0, None, progress);
        }
        let first = self.first.get_or_insert(failure);
        if self.used < self.allowed {
            self.used += 1;
            let seconds = 1_u64.checked_shl(self.used - 1).unwrap_or(u64::MAX);
            return Verdict::Again(Duration::from_secs(seconds).min(LONGEST));
        }
        Verdict::GiveUp(match self.used {
            0 => first.clone(),
            used => format!("{first}; {used} restarts after it came no further"),
        })
    }

    /// `2 of 3`.
    pub(super) fn count(&self) -> String {
        format!("{} of {}", self.used, self.allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_restarts_without_progress_count_and_the_first_failure_is_told() {
        let mut restarts = Restarts::new(2);
        let mut after = |failure: &str, progress: Option<&str>| {
            restarts.after(failure.into(), progress.map(str::to_owned))
        };
        let again = |seconds| Verdict::Again(Duration::from_secs(seconds));
        assert_eq!(after("a", Some("step 20")), again(1));
        assert_eq!(after("b", None), again(2));
        // A later checkpoint: counting starts anew.
        assert_eq!(after("c", Some("step 40")), again(1));
        // The same one again is no progress.
        assert_eq!(after("d", Some("step 40")), again(2));
        assert_eq!(
            after("e", None),
            Verdict::GiveUp("c; 2 restarts after it came no further".into())
        );
        assert_eq!(Restarts::new(0).after("f".into(), None), Verdict::GiveUp("f".into()));
        let mut many = Restarts::new(100);
        let last = (0..100).map(|_| many.after("g".into(), None)).last();
        assert_eq!(last, Some(again(60)));
    }
}
