//! A log file on a disk that may fail for a while.

use crate::Error;
use files::Folder;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;

/// Bytes that wait for the disk at most: some 100 000 lines of metrics.
const MOST: usize = 64 << 20;

/// Adds records to the end of a file. Once open, a failure to write is told of and no error:
/// records wait and are tried again, up to a limit, beyond which the oldest are lost and counted.
///
/// The file is opened anew for each write, so that a folder that vanishes and comes back (a
/// share that is mounted again) is found again, and one that does not is not written past.
/// A link in its place is not followed ([`Folder`]).
#[derive(Debug)]
pub(crate) struct Appender {
    folder: Folder,
    name: String,
    /// What a file begins with.
    header: Vec<u8>,
    /// Up to where it holds whole records.
    length: u64,
    waiting: VecDeque<Vec<u8>>,
    most: usize,
    lost: u64,
    trouble: Trouble,
}

impl Appender {
    /// Opens the file `name` in `folder`, or makes it, beginning with `header`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn open(folder: &Folder, name: &str, header: Vec<u8>) -> Result<Self, Error> {
        let length = folder.append(name).and_then(|file| Ok(file.metadata()?.len()));
        let length = length.map_err(Error::file("write", folder.path().join(name)))?;
        let (folder, name) = (folder.clone(), name.to_owned());
        let (waiting, trouble) = Default::default();
        let mut new = Self { folder, name, header, length, waiting, most: MOST, lost: 0, trouble };
        new.write().map_err(Error::file("write", new.path()))?;
        Ok(new)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Takes in a record for the next flush.
    pub(crate) fn push(&mut self, record: Vec<u8>) {
        self.waiting.push_back(record);
    }

    /// Hands what is waiting to the system, for readers to see.
    pub(crate) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.write() {
            Ok(()) => {
                if self.trouble.is_over() {
                    let (path, number) = (self.path(), self.waiting.len());
                    let path = path.display();
                    tracing::info!("{path} can be written again: {number} records were waiting");
                }
                self.waiting.clear();
            }
            Err(error) => {
                let path = self.path();
                let path = path.display();
                self.trouble.tell(
                    &error,
                    &format!("cannot write {path}: {error}"),
                    "kept in memory",
                );
                let mut bytes: usize = self.waiting.iter().map(Vec::len).sum();
                while bytes > self.most
                    && let Some(oldest) = self.waiting.pop_front()
                {
                    bytes -= oldest.len();
                    self.lost += 1;
                }
            }
        }
    }

    /// Makes what has been flushed survive a power cut.
    pub(crate) fn sync(&mut self) {
        let synced = self.folder.open(&self.name).and_then(|file| file.sync_data());
        if let Err(error) = synced {
            let path = self.path();
            let path = path.display();
            self.trouble.tell(&error, &format!("cannot sync {path}: {error}"), "tried again");
        }
    }

    /// Records that did not reach the file, after a last try.
    pub(crate) fn finish(&mut self) -> u64 {
        self.flush();
        self.lost + self.waiting.len() as u64
    }

    /// All that is waiting, or nothing: a record is whole or not there.
    fn write(&mut self) -> io::Result<()> {
        let mut file = self.folder.append(&self.name)?;
        let found = file.metadata()?.len();
        let start = found.min(self.length);
        if found > start {
            // What a write that failed has left.
            file.set_len(start)?;
        }
        let header: &[u8] = if start == 0 { &self.header } else { &[] };
        let records = self.waiting.iter().map(Vec::as_slice);
        let bytes = std::iter::once(header).chain(records).collect::<Vec<_>>().concat();
        if let Err(error) = file.write_all(&bytes) {
            // If this fails as well, the next write begins with it.
            let _ = file.set_len(start);
            return Err(error);
        }
        self.length = start + bytes.len() as u64;
        Ok(())
    }
}

/// Tells of a failing disk once per cause, not once per try.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    cause: Option<String>,
}

impl Trouble {
    /// `what` has failed because of `error`; what it was about is `then`.
    pub(crate) fn tell(&mut self, error: &io::Error, what: &str, then: &str) {
        let cause = error.to_string();
        if self.cause.as_ref() != Some(&cause) {
            tracing::error!("{what}; it is {then}, and the run goes on");
            self.cause = Some(cause);
        }
    }

    /// It works; whether it did not before.
    pub(crate) fn is_over(&mut self) -> bool {
        self.cause.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let (run, away) = (folder.path().join("run"), folder.path().join("away"));
        let made = Folder::create(&run).unwrap();
        let mut log = Appender::open(&made, "log", b"head ".to_vec()).unwrap();
        log.most = 6;
        log.push(b"a ".to_vec());
        log.flush();
        fs::rename(&run, &away).unwrap();
        for record in ["b ", "c ", "d ", "e "] {
            log.push(record.into());
            log.flush();
        }
        assert!(!run.exists());
        fs::rename(&away, &run).unwrap();
        assert_eq!(log.finish(), 1);
        assert_eq!(fs::read_to_string(run.join("log")).unwrap(), "head a c d e ");
    }

    #[test]
    fn what_a_failed_write_has_left_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Appender::open(&Folder::at(folder.path()), "log", Vec::new()).unwrap();
        log.push(b"one\n".to_vec());
        log.flush();
        fs::write(&path, "one\ntw").unwrap();
        log.push(b"two\n".to_vec());
        assert_eq!(log.finish(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        // Somebody has taken it away.
        fs::remove_file(&path).unwrap();
        log.push(b"three\n".to_vec());
        assert_eq!(log.finish(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }
}
