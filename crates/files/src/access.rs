//! Who can read what is made.

use rustix::fs::Mode;

/// Permissions of new files and folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only the user who runs this process, whatever the umask allows beyond.
    Private,
    /// Whom the umask leaves; nobody else may write.
    Umask,
}

impl Access {
    pub(crate) fn file(self) -> Mode {
        match self {
            Self::Private => Mode::from_raw_mode(0o600),
            Self::Umask => Mode::from_raw_mode(0o644),
        }
    }

    pub(crate) fn folder(self) -> Mode {
        match self {
            Self::Private => Mode::from_raw_mode(0o700),
            Self::Umask => Mode::from_raw_mode(0o755),
        }
    }
}
