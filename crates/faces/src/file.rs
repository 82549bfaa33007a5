//! Image files as bytes: bounded, and unchanged since they were indexed.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::one_line;

/// Longest image file that is read, in bytes.
const MAX_FILE: u64 = 512 << 20;

/// What is said of a file that is another one than when it was indexed.
pub(crate) const CHANGED: &str =
    "it has changed since it was indexed: run again to index the images anew";

/// Size and time of a file's content: another stamp is another content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    /// Nanoseconds since 1970, as the file system gives them; 0 for what it cannot say.
    pub(crate) modified: u64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|t| u64::try_from(t.as_nanos()).ok()).unwrap_or(0);
        Stamp { bytes: metadata.len(), modified }
    }
}

/// Opens an image file, and says what the file system knows of it.
///
/// # Errors
/// [`Error::Image`] for one that is not there, is no ordinary file (reading a pipe would
/// wait for ever), or is longer than [`MAX_FILE`]; [`Error::System`].
pub(crate) fn open(path: &Path) -> Result<(File, Stamp), Error> {
    let failed = |source| failed(path, source);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let bad = |reason: String| Err(Error::Image { path: path.into(), reason });
    if !metadata.is_file() {
        return bad("it is no ordinary file".into());
    }
    if metadata.len() > MAX_FILE {
        let bytes = metadata.len();
        return bad(format!("it has {bytes} bytes, and at most {} MiB are read", MAX_FILE >> 20));
    }
    Ok((File::open(path).map_err(failed)?, Stamp::of(&metadata)))
}

/// The content of an image file.
///
/// It is read whole and its stamp looked at once more before anything is decoded: whatever
/// pixels are made of it, they are those of one file, and of the one that was `indexed`.
///
/// # Errors
/// As [`open`]; [`Error::Image`] for one that changed meanwhile or has not the stamp
/// `indexed`.
pub(crate) fn read(path: &Path, indexed: Option<Stamp>) -> Result<Vec<u8>, Error> {
    let (mut file, found) = open(path)?;
    let changed = || Error::Image { path: path.into(), reason: CHANGED.into() };
    let expected = indexed.unwrap_or(found);
    if found != expected {
        return Err(changed());
    }
    let mut bytes = Vec::with_capacity(expected.bytes as usize);
    // One byte more shows that the file has grown; more of it is of no use.
    let read = file.by_ref().take(expected.bytes + 1).read_to_end(&mut bytes);
    read.map_err(|source| failed(path, source))?;
    let after = Stamp::of(&file.metadata().map_err(|source| failed(path, source))?);
    if after != expected || bytes.len() as u64 != expected.bytes {
        return Err(changed());
    }
    Ok(bytes)
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    if is_of_the_machine(&source) {
        return Error::System { path: path.into(), source };
    }
    Error::Image { path: path.into(), reason: one_line(&source.to_string()) }
}

/// Whether an error tells of this process or machine rather than of the file. Such a file may
/// be readable a moment later, so it must not count as bad: whether it did would depend on
/// what other threads were doing.
fn is_of_the_machine(error: &std::io::Error) -> bool {
    // Out of memory, too many open files in the system, in the process: the same numbers on
    // every Unix.
    const NUMBERS: [i32; 3] = [12, 23, 24];
    error.raw_os_error().is_some_and(|number| NUMBERS.contains(&number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reason(path: &Path, indexed: Option<Stamp>) -> String {
        match read(path, indexed).unwrap_err() {
            Error::Image { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn only_the_indexed_content_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        std::fs::write(&path, "first").unwrap();
        let (_, stamp) = open(&path).unwrap();
        assert_eq!(read(&path, Some(stamp)).unwrap(), b"first");

        // Another size, another time, another of both.
        for (bytes, modified) in [(6, 0), (5, 1), (4, 2)] {
            let other = Stamp { bytes, modified: stamp.modified + modified };
            assert_eq!(reason(&path, Some(other)), CHANGED);
            assert_eq!(read(&path, None).unwrap(), b"first");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(reason(&path, Some(stamp)).contains("No such file"));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(reason(&path, None), "it is no ordinary file");
    }

    /// A sparse file: it claims a terabyte and takes no room.
    #[test]
    fn long_files_are_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let reason = reason(&path, None);
        assert!(reason.contains("1099511627776 bytes") && reason.contains("512 MiB"), "{reason}");
    }

    #[test]
    fn what_the_machine_lacks_is_not_the_images_fault() {
        let error = |number| failed(Path::new("a.png"), std::io::Error::from_raw_os_error(number));
        for number in [12, 23, 24] {
            assert!(matches!(error(number), Error::System { .. }));
        }
        let message = error(24).to_string();
        assert!(message.contains("a.png") && message.contains("ulimit"), "{message}");
        // Not there, an input/output error, a stale handle of a network mount.
        for number in [2, 5, 116] {
            assert!(matches!(error(number), Error::Image { .. }));
        }
    }
}
