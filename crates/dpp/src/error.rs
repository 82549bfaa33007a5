/// What can be wrong with a perturbation's arguments.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The noise scale of [`Angular`](crate::Angular) must be a positive number.
    #[error("epsilon = {0}: use a number above 0")]
    Epsilon(f64),
    /// A privacy budget is no number, negative, or so large that it promises nothing.
    #[error("{what} = {value}: use a number from 0 to {largest:e}")]
    Budget {
        /// Which budget.
        what: &'static str,
        /// What was given.
        value: f64,
        /// The largest that is accepted.
        largest: f64,
    },
    /// The identity is no direction.
    #[error("an identity of length {0} has no direction to perturb")]
    NoDirection(f64),
    /// On a circle and below, the mechanisms' densities are others.
    #[error("identities of {0} dimensions: the mechanisms need 3 or more")]
    Dims(usize),
    /// An identity, a prototype or a basis vector has another number of dimensions.
    #[error("{what} has {found} dimensions where the mechanism has {expected}")]
    Length {
        /// Which vector.
        what: &'static str,
        /// The mechanism's dimensions.
        expected: usize,
        /// The vector's.
        found: usize,
    },
    /// A codebook of fewer than two identities hides nothing.
    #[error("{0} prototype identities: a codebook needs 2 or more")]
    FewPrototypes(usize),
    /// The `codebook` mechanism was asked for without its public identities.
    #[error("the mechanism codebook needs prototype identities: give some, or use cap")]
    NoPrototypes,
    /// A prototype or a basis vector that is zero, not finite or no new direction.
    #[error("{what} {index} is no direction of its own: leave it out")]
    Degenerate {
        /// Which kind of vector.
        what: &'static str,
        /// Its index, from 0.
        index: usize,
    },
    /// A projection distorts angles, so a guarantee that depends on them is lost.
    #[error(
        "{0} in a subspace: its guarantee depends on the distance of identities, which the \
         projection changes; give it a pure budget"
    )]
    NotPure(String),
    /// No such mechanism.
    #[error("no mechanism {0:?}: use codebook, cap, purkayastha, vmf, independent or angular")]
    UnknownMechanism(String),
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers ({0}): nothing was drawn; try again")]
    NoRandomness(String),
}
