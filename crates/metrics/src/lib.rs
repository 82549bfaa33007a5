//! Measures, in plain Rust: numbers in, numbers out, no tensors.
//!
//! - [`Roc`]: how well scores tell two kinds of pairs apart: AUC, EER, TAR at a FAR.
//! - [`accuracy`]: the share of pairs judged rightly by a threshold learnt on other pairs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accuracy;
mod roc;

pub use accuracy::accuracy;
pub use roc::Roc;

/// Scores that nothing can be measured on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One of the two kinds is missing.
    #[error("no {0} pairs: there must be pairs of the same and of different people")]
    Missing(&'static str),
    /// A score is not a number.
    #[error("the score of {0} of the pairs is not a number")]
    NotANumber(usize),
    /// Fewer pairs of a kind than folds.
    #[error("{pairs} {kind} pairs cannot be dealt out to {folds} folds")]
    TooFew {
        /// `genuine` or `impostor`.
        kind: &'static str,
        /// How many there are.
        pairs: usize,
        /// How many are needed.
        folds: usize,
    },
}

/// Refuses what has no order, and lists without an entry.
pub(crate) fn check(genuine: &[f32], impostor: &[f32]) -> Result<(), Error> {
    for (kind, scores) in [("genuine", genuine), ("impostor", impostor)] {
        if scores.is_empty() {
            return Err(Error::Missing(kind));
        }
    }
    match genuine.iter().chain(impostor).filter(|score| score.is_nan()).count() {
        0 => Ok(()),
        count => Err(Error::NotANumber(count)),
    }
}
