//! One line per failure: what, where, how to mend it.

use crate::ffi::Status;

/// What can go wrong. `Display` is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `RANK`, `LOCAL_RANK`, `WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT` do not describe a rank.
    #[error("{0}")]
    BadEnvironment(String),
    /// Rank 0 could not listen on `MASTER_PORT`.
    #[error("{0}")]
    AddressInUse(String),
    /// The ranks could not find each other, for another reason than time.
    #[error("{0}")]
    Rendezvous(String),
    /// A rank did not come, or a collective did not end, in the time allowed.
    #[error("{0}")]
    Timeout(String),
    /// Another rank went away while this one was talking to it.
    #[error("{0}")]
    PeerLost(String),
    /// This build or this machine cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// The arguments do not fit together; nothing was done.
    #[error("{0}")]
    InvalidArgument(String),
    /// Any other failure that libtorch reports, in its words.
    #[error("{0}")]
    Libtorch(String),
}

/// This crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error for a failed call: `doing` says what was being done, `detail` is libtorch's text.
    pub(crate) fn from_status(status: Status, doing: &str, detail: &str) -> Error {
        match status {
            Status::Timeout => Error::Timeout(format!(
                "{doing} timed out: another rank is stuck, slow or gone, see its log ({detail})"
            )),
            Status::PeerLost => Error::PeerLost(format!(
                "{doing} failed: another rank went away, see its log ({detail})"
            )),
            Status::AddressInUse => {
                Error::AddressInUse(format!("{doing} failed: the address is in use ({detail})"))
            }
            Status::Rendezvous => Error::Rendezvous(format!("{doing} failed: {detail}")),
            Status::Unsupported => Error::Unsupported(format!("{doing}: {detail}")),
            Status::Invalid => Error::InvalidArgument(detail.to_owned()),
            Status::Libtorch => Error::Libtorch(format!("{doing} failed: {detail}")),
        }
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Error {
        // libtorch appends a stack trace after the first lines of its message.
        let text = error.to_string();
        let text = text.split("\nException raised from").next().unwrap_or_default();
        Error::Libtorch(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}
