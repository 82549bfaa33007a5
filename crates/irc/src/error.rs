/// What can go wrong in stage II.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option has a value that makes no sense.
    #[error("{0}")]
    Config(String),
    /// libtorch or another rank failed.
    #[error(transparent)]
    Torch(#[from] c10d::Error),
    /// The batch could not be brought to the device.
    #[error(transparent)]
    Faces(#[from] faces::Error),
    /// The encoder or its statistics failed.
    #[error(transparent)]
    Encoder(#[from] encoder::Error),
    /// The separation layers failed.
    #[error(transparent)]
    Separation(#[from] fse::Error),
    /// The perturbation failed.
    #[error(transparent)]
    Perturbation(#[from] dpp::Error),
    /// Reading or matching named tensors failed.
    #[error(transparent)]
    Weights(#[from] weights::Error),
}
