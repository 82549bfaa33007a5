//! Everything that can end a run, each as one line.

use crate::BoxError;
use std::path::{Path, PathBuf};

/// Why a configuration could not be resolved or a run could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key that no component knows.
    #[error("{place}: unknown key `{key}`{}", hint(.nearest))]
    UnknownKey {
        /// File and line, `--set`, or the flag.
        place: String,
        /// The key as written.
        key: String,
        /// Known keys that look like it, best first.
        nearest: Vec<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("{place}: {problem}")]
    Option {
        /// File and line, `--set`, the flag, or `configuration`.
        place: String,
        /// The key and what it should be.
        problem: String,
    },
    /// A preset that does not exist.
    #[error("no preset `{name}` in {folder}: choose one of {known}", folder = .folder.display())]
    UnknownPreset {
        /// The name as typed.
        name: String,
        /// The folder of presets.
        folder: PathBuf,
        /// Names found there.
        known: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {source}", path = .path.display())]
    File {
        /// What was tried: `read`, `write`, …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A folder that a run writes into and that cannot be written.
    #[error(
        "cannot use {folder}: {source}; make it a folder that can be written, or choose another {flag}",
        folder = .folder.display()
    )]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// The option that names it.
        flag: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A folder that another run works in.
    #[error(
        "{folder} is in use by {holder}: wait for that run or end it, or choose another {flag}",
        folder = .folder.display()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// Process and host.
        holder: String,
        /// The option that names the folder.
        flag: &'static str,
    },
    /// A checkpoint that cannot be used.
    #[error("checkpoint {path}: {problem}", path = .path.display())]
    Checkpoint {
        /// Its folder.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Too many steps in a row without an update.
    #[error(
        "stopped at step {step}: {count} steps in a row had a non-finite loss or gradient in {groups}; \
         lower `lr` or raise `max_bad_steps` and run it again: it goes on from {saved}, before the \
         steps in which nothing was updated"
    )]
    NonFinite {
        /// Step of the last of them.
        step: u64,
        /// How many.
        count: u64,
        /// Groups that were skipped in the last one.
        groups: String,
        /// The newest checkpoint.
        saved: String,
    },
    /// A stage failed.
    #[error("stage {stage}, step {step}: {source}")]
    Stage {
        /// Its name.
        stage: &'static str,
        /// At which step.
        step: u64,
        /// Its own error.
        source: BoxError,
    },
    /// The data failed.
    #[error("data, epoch {epoch}, batch {batch}: {problem}")]
    Data {
        /// Epoch, from 0.
        epoch: u64,
        /// Batch, from 0.
        batch: u64,
        /// What is wrong.
        problem: String,
    },
    /// Another rank could not do its part.
    #[error("rank {rank} could not {action}; its own log says why")]
    OtherRank {
        /// The first such rank.
        rank: usize,
        /// What all ranks were doing.
        action: &'static str,
    },
    /// Too little room for checkpoints.
    #[error(
        "{folder} has {free} MB free, two checkpoints need {needed} MB: free some room or choose \
         another --checkpoint-dir",
        folder = .folder.display()
    )]
    NoRoom {
        /// Where they would go.
        folder: PathBuf,
        /// MB that two need.
        needed: u64,
        /// MB that there are.
        free: u64,
    },
    /// The newest checkpoint of a run that is otherwise done could not be written.
    #[error("the run went on to step {step}, but its checkpoint was not saved: {problem}; {left}")]
    Unsaved {
        /// Where the run ended.
        step: u64,
        /// Why it was not saved.
        problem: String,
        /// Which checkpoint there is.
        left: String,
    },
    /// The thread that writes checkpoints ended in a panic.
    #[error("the thread that writes checkpoints failed: please report it with the log before")]
    Saver,
    /// A stage's groups or a call of it are wrong.
    #[error("group `{group}`: {problem}")]
    Group {
        /// The group's name.
        group: String,
        /// What is wrong.
        problem: String,
    },
    /// Communication between ranks failed.
    #[error(transparent)]
    World(#[from] c10d::Error),
    /// Reading or writing tensors failed.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_line(.0))]
    Tensor(#[from] tch::TchError),
}

impl Error {
    /// For `map_err`: reading or writing `path` failed.
    pub(crate) fn file(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::File { action, path, source }
    }

    /// A checkpoint that cannot be used.
    pub(crate) fn checkpoint(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// An option that cannot be used.
    pub(crate) fn option(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Option { place: place.into(), problem: problem.into() }
    }
}

fn hint(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [one] => format!("; did you mean `{one}`?"),
        many => format!(
            "; did you mean one of {}?",
            many.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// libtorch's messages end in a C++ stack trace; the first line says what happened.
fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}
