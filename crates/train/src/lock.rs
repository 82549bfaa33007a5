//! One run per folder: a lock that dies with its holder.

use crate::Error;
use files::Folder;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};

/// The file in the folder that is locked. It stays: removing it would let two runs lock two
/// files of that name.
const NAME: &str = ".lock";
/// So long a run waits for one that is just ending, as after a restart.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// Bytes that are read of what the holder has written.
const LONGEST: u64 = 1024;

/// Keeps other runs out of a folder while it lives. The kernel frees it however the process
/// ends, so that nothing is left to clean up.
///
/// It is an advisory lock of `flock(2)`. On NFS, Linux passes it on to the server as a lock of
/// the whole file, so that it holds between machines (unless mounted with `local_lock` or
/// `nolock`), and the server frees a dead machine's lock when its lease has run out, about a
/// minute and a half. A file system without locks is warned of, and used all the same.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Closing it frees the lock.
    _file: File,
}

impl Lock {
    /// Locks `folder`, making it if there is none; waits a few seconds for a run that is ending.
    ///
    /// # Arguments
    /// * `flag` - the option that names the folder, for errors.
    ///
    /// # Errors
    /// Another run holds it; the folder cannot be made or written into, or what is locked in it
    /// is a link or another user's.
    pub(crate) fn take(folder: &Folder, flag: &'static str) -> Result<Self, Error> {
        Self::take_within(folder, flag, PATIENCE)
    }

    fn take_within(folder: &Folder, flag: &'static str, patience: Duration) -> Result<Self, Error> {
        let path = folder.path();
        let unusable = |source| Error::Unusable { folder: path.into(), flag, source };
        folder.clone().created().map_err(unusable)?;
        let opened = folder.update(NAME).map_err(|source| match source.kind() {
            std::io::ErrorKind::InvalidInput => Error::file("lock", path.join(NAME))(source),
            _ => unusable(source),
        });
        let mut file = opened?;
        let deadline = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                // SMB servers refuse a lock that is held with EACCES.
                Err(Errno::WOULDBLOCK | Errno::ACCESS) if Instant::now() < deadline => {
                    std::thread::sleep(POLL);
                }
                Err(Errno::WOULDBLOCK | Errno::ACCESS) => {
                    let mut holder = String::new();
                    // Without it the error is less telling, no more.
                    let _ = (&mut file).take(LONGEST).read_to_string(&mut holder);
                    let holder = holder.lines().next().unwrap_or("another process");
                    let holder = files::escape(holder).to_string();
                    return Err(Error::Locked { folder: path.into(), holder, flag });
                }
                Err(error) => {
                    tracing::warn!(
                        "{} has no locks ({error}): nothing keeps a second run out of it",
                        path.display()
                    );
                    return Ok(Self { _file: file });
                }
            }
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let holder = format!("process {} on {host}\n", std::process::id());
        // A disk that is full already is found out by those who must write to it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()));
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_second_is_told_who_is_there_and_comes_in_when_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::at(folder.path().join("new"));
        let take = |patience| Lock::take_within(&folder, "--run-dir", patience);
        let first = take(Duration::ZERO).unwrap();
        let message = take(Duration::ZERO).unwrap_err().to_string();
        let holder = format!("in use by process {} on ", std::process::id());
        assert!(message.contains(&holder) && message.contains("--run-dir"), "{message}");
        assert!(message.starts_with(folder.path().to_str().unwrap()), "{message}");
        let waiting = std::thread::scope(|scope| {
            let second = scope.spawn(|| take(Duration::from_secs(60)));
            drop(first);
            second.join().unwrap()
        });
        drop(waiting.unwrap());
        take(Duration::ZERO).unwrap();
    }

    #[test]
    fn a_folder_that_is_none_is_named_with_its_option() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let message = Lock::take(&Folder::at(&path), "--checkpoint-dir").unwrap_err().to_string();
        assert!(message.starts_with("cannot use "), "{message}");
        assert!(message.contains("another --checkpoint-dir"), "{message}");
    }
}
