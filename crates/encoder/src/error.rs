use std::path::PathBuf;

/// What can go wrong with an encoder or its statistics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option has a value the model does not exist for.
    #[error("{0}")]
    Config(String),
    /// A file holds something else than expected.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and how to mend it.
        what: String,
    },
    /// Reading, writing or matching named tensors failed.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// Another rank could not be reached.
    #[error(transparent)]
    Ranks(#[from] c10d::Error),
    /// libtorch could not compute what was asked.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
    /// There was nothing to measure.
    #[error("no image could be read, so there are no statistics: check the data folder")]
    NoImages,
}
