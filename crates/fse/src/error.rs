/// What can go wrong in stage I.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A batch does not fit the model.
    #[error("{0}")]
    Batch(String),
    /// An option has a value that makes no sense.
    #[error("{0}")]
    Config(String),
    /// libtorch or another rank failed.
    #[error(transparent)]
    Torch(#[from] c10d::Error),
    /// The encoder or its statistics failed.
    #[error(transparent)]
    Encoder(#[from] encoder::Error),
    /// Reading or matching named tensors failed.
    #[error(transparent)]
    Weights(#[from] weights::Error),
}
