//! What can be wrong with numbers that something is to be measured on.

/// Numbers that nothing can be measured on.
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
    /// Fewer of something than it takes.
    #[error("{found} {what} are too few: it takes {needed} or more")]
    AtLeast {
        /// What there are too few of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A list whose length does not fit the rest.
    #[error("{found} {what} do not fit: there must be {needed}")]
    Length {
        /// What the list holds.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        needed: usize,
    },
    /// A number that is infinite or not a number.
    #[error("{what} {place} is or holds a number that is not finite: leave it out")]
    NotFinite {
        /// What it belongs to.
        what: &'static str,
        /// Its place in the list, from 0.
        place: usize,
    },
    /// A vector without a direction has no cosine.
    #[error("embedding {0} has length zero, so it has no direction: leave its photo out")]
    NoDirection(usize),
    /// A setting outside its range.
    #[error("{what} is {value}; it must be {range}")]
    Range {
        /// The setting.
        what: &'static str,
        /// Its value, as text.
        value: String,
        /// Where it must lie.
        range: &'static str,
    },
    /// A statistic that most resamples have no value for.
    #[error(
        "{undefined} of {resamples} resamples of {clusters} people have no finite value: an \
         interval needs more people"
    )]
    Undefined {
        /// Resamples without a value.
        undefined: usize,
        /// All resamples.
        resamples: usize,
        /// People to draw from.
        clusters: usize,
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

/// Refuses a list of the wrong length.
pub(crate) fn fits(what: &'static str, found: usize, needed: usize) -> Result<(), Error> {
    if found == needed { Ok(()) } else { Err(Error::Length { what, found, needed }) }
}

/// Refuses a list that is too short.
pub(crate) fn at_least(what: &'static str, found: usize, needed: usize) -> Result<(), Error> {
    if found >= needed { Ok(()) } else { Err(Error::AtLeast { what, found, needed }) }
}

/// Refuses numbers that are infinite or not numbers.
pub(crate) fn finite(what: &'static str, numbers: &[f64]) -> Result<(), Error> {
    match numbers.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(place) => Err(Error::NotFinite { what, place }),
    }
}
