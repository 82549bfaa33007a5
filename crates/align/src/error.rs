//! What can go wrong with finding and cutting faces, each in one line.

/// An error of detection or alignment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The detector's weights are not here and could not be fetched.
    #[error("cannot get the face detector's weights: {0}")]
    Fetch(#[from] faces::packages::Error),

    /// A weight file cannot be read or is another network's.
    #[error(transparent)]
    Weights(#[from] weights::Error),

    /// An option is out of its range.
    #[error("{key} = {value}: must be {expected}")]
    Option {
        /// The option.
        key: &'static str,
        /// The value given.
        value: f64,
        /// The values allowed.
        expected: &'static str,
    },

    /// The landmarks of a face lie in one point.
    #[error("a face cannot be aligned: its landmarks lie in one point; leave it out")]
    Landmarks,

    /// libtorch failed, mostly for lack of memory.
    #[error("face detection failed in libtorch: {0}")]
    Torch(String),

    /// A photo could not be resized.
    #[error("face detection failed to resize the photo: {0}")]
    Resize(String),
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        // Its first line; the rest is a trace of C++ frames.
        let text = error.to_string();
        Error::Torch(text.lines().next().unwrap_or_default().trim().to_owned())
    }
}
