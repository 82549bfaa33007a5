//! How an attempt ended and what comes next, as launchers tell each other.

use c10d::escape;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every rank has done its work.
    Done,
    /// The ranks stopped before that, on request; the same command goes on.
    Stopped(String),
    /// A rank failed.
    Failed(String),
    /// A rank refused what it was told to do.
    Misused(String),
}

impl Outcome {
    /// As text, for the other machines.
    pub(super) fn write(&self) -> String {
        match self {
            Self::Done => "done ".to_owned(),
            Self::Stopped(text) => format!("stopped {text}"),
            Self::Failed(text) => format!("failed {text}"),
            Self::Misused(text) => format!("misused {text}"),
        }
    }

    /// Another machine's, its text fit to print.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (kind, text) = text.split_once(' ')?;
        let text = escape(text);
        match kind {
            "done" => Some(Self::Done),
            "stopped" => Some(Self::Stopped(text)),
            "failed" => Some(Self::Failed(text)),
            "misused" => Some(Self::Misused(text)),
            _ => None,
        }
    }
}

/// What machine 0 has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// All start this attempt.
    Start(u32),
    /// All end like this.
    End(Outcome),
}

impl Decision {
    /// As text, for the other machines.
    pub(super) fn write(&self) -> String {
        match self {
            Self::Start(attempt) => format!("start {attempt}"),
            Self::End(outcome) => format!("end {}", outcome.write()),
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("start", number) => number.parse().ok().map(Self::Start),
            ("end", outcome) => Outcome::read(outcome).map(Self::End),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn outcomes_and_decisions_travel_as_text() {
        let text = |make: fn(String) -> Outcome| make("rank 1 failed: why".to_owned());
        for outcome in
            [Outcome::Done, text(Outcome::Stopped), text(Outcome::Failed), text(Outcome::Misused)]
        {
            assert_eq!(Outcome::read(&outcome.write()).unwrap(), outcome);
            let decision = Decision::End(outcome);
            assert_eq!(Decision::read(&decision.write()).unwrap(), decision);
        }
        assert_eq!(Outcome::read("what"), None);
        assert_eq!(Decision::read("start 3"), Some(Decision::Start(3)));
        for text in ["", "start", "start -1", "start x", "end", "end what", "go 1"] {
            assert_eq!(Decision::read(text), None);
        }
        let outcome = Outcome::read("failed a\nerror: b").unwrap();
        assert_eq!(outcome, Outcome::Failed("a\\nerror: b".to_owned()));
    }
}
