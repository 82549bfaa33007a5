//! Files that the user names: links are followed, FIFOs and devices are refused.

use std::fs::File;
use std::io::Result;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use crate::check::{self, Owner};

/// Opens a file for reading.
///
/// # Errors
/// It is not there or cannot be opened; it is no regular file (a FIFO would be waited for, a
/// device read without end).
pub fn open(path: &Path) -> Result<File> {
    // Before it is opened: opening a device can do something already.
    check::regular(&rustix::fs::stat(path)?, Owner::Any)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    // It may be another one by now.
    check::regular(&rustix::fs::fstat(&file)?, Owner::Any)?;
    Ok(File::from(file))
}

/// The content of a file of at most `limit` bytes.
///
/// # Errors
/// As [`open`]; it is longer, or reading failed.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    check::content(&open(path)?, limit)
}

/// As [`read`], as text.
///
/// # Errors
/// As [`read`]; it is not UTF-8.
pub fn read_to_string(path: &Path, limit: u64) -> Result<String> {
    check::text(read(path, limit)?)
}

/// The content of a file that is open already, from where it is read next.
///
/// # Errors
/// It is longer than `limit` bytes or no UTF-8, or reading failed.
pub fn text_of(file: &File, limit: u64) -> Result<String> {
    check::text(check::content(file, limit)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        symlink(at("file"), at("link")).unwrap();
        assert_eq!(read_to_string(&at("link"), 4).unwrap(), "text");
        assert!(read(&at("file"), 3).unwrap_err().to_string().contains("at most 3 are read"));

        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, at("fifo"), kind, Mode::RUSR, 0).unwrap();
        assert!(read(&at("fifo"), 9).unwrap_err().to_string().contains("named pipe"));
        for device in ["/dev/zero", "/dev/full"] {
            let message = read(Path::new(device), 9).unwrap_err().to_string();
            assert!(message.contains("a device"), "{message}");
        }
        assert!(read(folder.path(), 9).unwrap_err().to_string().contains("a folder"));
        assert_eq!(open(&at("none")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
}
