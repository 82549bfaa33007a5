//! What can go wrong, each told in one line.

use files::Escape;
use std::io;
#[cfg(feature = "tensors")]
use std::path::Path;
use std::path::PathBuf;

/// What is wrong with the content of a weights file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// The file ends too early.
    #[error("the file is cut short ({0}); fetch or copy it again")]
    CutShort(String),
    /// The content contradicts itself or claims impossible sizes.
    #[error("the file is damaged: {0}; fetch or copy it again")]
    Corrupt(String),
    /// The pickle names a class or function that is not on the allow-list.
    /// Nothing of it was executed.
    #[error(
        "the file names the class {0}, which is not allowed in a weights file (nothing was \
         executed); save the model's state_dict() with plain tensors, numbers and text instead"
    )]
    Forbidden(String),
    /// A well-formed file with something this reader does not take.
    #[error("{0}")]
    Unsupported(String),
    /// Neither safetensors nor one of the `.pth` formats.
    #[error("this is neither a safetensors nor a .pth file: {0}")]
    Unknown(String),
}

impl Fault {
    pub(crate) fn corrupt(reason: impl Into<String>) -> Fault {
        Fault::Corrupt(reason.into())
    }

    /// An I/O failure met while reading `what`.
    pub(crate) fn io(error: io::Error, what: &str) -> Fault {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Fault::CutShort(format!("it ends inside {what}"))
        } else {
            Fault::Io(error)
        }
    }
}

/// An error of this crate. Its text is one line that says what, where and how to
/// mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened.
    #[error("{}: cannot be opened: {source}", path.escaped())]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The file's content was refused.
    #[error("{}: {fault}", path.escaped())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The file could not be written; what was there before is untouched.
    #[error("{}: cannot be written: {source}; check the folder and the space left", path.escaped())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A tensor that the chosen file format cannot hold.
    #[error("{}: cannot hold the tensor {name}: {reason}", path.escaped())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Why.
        reason: String,
    },
    /// The weights do not belong to the model they were loaded into. Nothing was
    /// changed.
    #[error("{what}: the weights do not fit: {differences}")]
    Mismatch {
        /// What was loaded, as the caller put it.
        what: String,
        /// Missing and unexpected names, shapes and types that differ.
        differences: String,
    },
    /// libtorch refused an operation.
    #[error("{what}: libtorch: {message}")]
    Libtorch {
        /// What was being done.
        what: String,
        /// The first line of libtorch's message.
        message: String,
    },
}

#[cfg(feature = "tensors")]
impl Error {
    pub(crate) fn file(path: &Path, fault: Fault) -> Error {
        Error::File { path: path.to_path_buf(), fault }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Error {
        Error::Write { path: path.to_path_buf(), source }
    }

    pub(crate) fn libtorch(what: impl Into<String>, error: tch::TchError) -> Error {
        // libtorch appends a C++ backtrace of many lines.
        let text = error.to_string();
        let message = text.lines().next().unwrap_or("unknown failure").to_string();
        Error::Libtorch { what: what.into(), message }
    }
}

/// A name from a file, made fit for a one-line message: no control characters, and
/// not longer than a line.
pub(crate) fn printable(name: &str) -> String {
    const LONGEST: usize = 120;
    let mut text: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}
