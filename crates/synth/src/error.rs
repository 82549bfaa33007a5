use std::path::{Path, PathBuf};

/// Why synthetic faces could not be made or read. Each a single line that says how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number that cannot be.
    #[error("{name} = {value}: use {allowed}")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// What was given.
        value: u64,
        /// What may be given.
        allowed: &'static str,
    },
    /// The folder belongs to something else.
    #[error(
        "{} holds something else ({found}): give an empty folder, or one that the same command \
         has begun to fill", path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// One of its files.
        found: String,
    },
    /// The folder holds faces of other settings.
    #[error(
        "{} holds synthetic faces of other settings ({found}): give these again to go on, or \
         another folder", path.display()
    )]
    OtherSettings {
        /// The folder.
        path: PathBuf,
        /// The settings found.
        found: String,
    },
    /// The disk refused.
    #[error("cannot write or read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line of `labels.jsonl` is not what this crate writes.
    #[error("{}, line {line}: {reason}", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A picture could not be encoded.
    #[error("cannot encode {}: {reason}", path.display())]
    Encode {
        /// The picture's file.
        path: PathBuf,
        /// The encoder's reason.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { path: path.into(), source }
    }
}
