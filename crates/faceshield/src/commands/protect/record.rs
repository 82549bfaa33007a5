//! `DIR/.protected.jsonl`: which photos are done, and which files of the folder are results.
//!
//! The folder may come from elsewhere, and the record with it. So every line carries a code under
//! the user's key, paths are relative and never leave the folder, and a file counts as a result
//! only while its content is the one that was recorded. A line that is written *before* a result
//! is put in its place says what will be there: a run that is killed in between knows it again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use files::{Folder, Key};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::report::{PhotoReport, Status};

/// Its name in the folder of results.
const NAME: &str = ".protected.jsonl";
/// Longest record that is read, in bytes: some 500,000 photos.
const MOST: u64 = 512 << 20;
/// What codes of its lines are for.
const PURPOSE: &str = "record of protected photos";

/// One line: an entry, and its code.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    code: String,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// This file is about to be written.
    Writing {
        /// Below the folder.
        #[serde(serialize_with = "crate::output::path")]
        output: PathBuf,
        /// The bytes of `output` where it is not UTF-8, which JSON cannot hold.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        output_bytes: Option<Vec<u8>>,
        /// Of its content.
        sha256: String,
    },
    /// What became of a photo.
    Done(Box<Done>),
}

/// A photo's report, and the bytes of its paths where they are not UTF-8.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    #[serde(flatten)]
    report: PhotoReport,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    input_bytes: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    output_bytes: Option<Vec<u8>>,
}

/// The record of one folder, open for more.
#[derive(Debug)]
pub(super) struct Record {
    folder: Folder,
    file: File,
    key: Key,
    done: BTreeMap<PathBuf, PhotoReport>,
    /// The content, by SHA-256, that was ever written to a file of the folder.
    written: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl Record {
    /// Opens the record of results in `folder`. Lines without a code of this `key` are left
    /// out, with a warning; so is a last line that was not finished.
    ///
    /// # Errors
    /// It cannot be read or written, is a link, no regular file, another user's or too long.
    pub(super) fn open(folder: Folder, key: Key) -> anyhow::Result<Self> {
        let failed = || format!("cannot open {}", folder.path().join(NAME).display());
        let mut file = folder.append(NAME).with_context(failed)?;
        files::folder::make_private(&file).with_context(failed)?;
        let text = files::input::text_of(&file, MOST).with_context(failed)?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").with_context(failed)?;
        }
        let (done, written) = (BTreeMap::new(), BTreeMap::new());
        let mut record = Self { folder, file, key, done, written };
        let mut unknown = 0;
        for line in text.split_inclusive('\n') {
            match record.read(line) {
                Some(entry) => record.remember(entry),
                None => unknown += usize::from(line.ends_with('\n') && line.len() > 1),
            }
        }
        if unknown > 0 {
            tracing::warn!(
                "{}: {unknown} lines were not written by this version of the program for this user \
                 on this machine: their photos are protected again, and their results not replaced",
                record.path().display()
            );
        }
        Ok(record)
    }

    /// What was done to `input`, if it was this, and its result is still there as it was written.
    pub(super) fn find(&self, input: &Path, stamp: &str) -> Option<&PhotoReport> {
        let found = self.done.get(input).filter(|report| report.stamp == stamp)?;
        let there = found.output.as_ref().is_some_and(|output| self.wrote(output));
        (there && found.status != Status::Failed).then_some(found)
    }

    /// Whether the file `output` of the folder is a result of this record, unchanged, and so may
    /// be replaced.
    pub(super) fn wrote(&self, output: &Path) -> bool {
        let Some(known) = self.written.get(output) else { return false };
        let content = self.folder.open(output).and_then(files::sha256);
        content.is_ok_and(|content| known.contains(&content))
    }

    /// Records that `content` will be put to the file `output` of the folder: only after this may
    /// it be written.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(super) fn writing(&mut self, output: &Path, content: &[u8]) -> anyhow::Result<()> {
        let sha256 = files::sha256(content)?;
        let output_bytes = bytes(output);
        self.add(Entry::Writing { output: output.to_owned(), output_bytes, sha256 })
    }

    /// Records what became of a photo.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(super) fn done(&mut self, report: &PhotoReport) -> anyhow::Result<()> {
        let input_bytes = bytes(&report.input);
        let output_bytes = report.output.as_deref().and_then(bytes);
        let report = report.clone();
        self.add(Entry::Done(Box::new(Done { report, input_bytes, output_bytes })))
    }

    /// Removes what an earlier run wrote of `input` as it was, now that this is no longer
    /// allowed; not a file that has changed since.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn withdraw(&mut self, input: &Path) -> anyhow::Result<()> {
        let earlier = self.done.get(input).filter(|done| done.status == Status::Unprotected);
        let Some(output) = earlier.and_then(|done| done.output.as_deref()) else { return Ok(()) };
        let path = self.folder.path().join(output);
        if self.wrote(output) {
            match self.folder.remove(output) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => tracing::warn!("{}: removed, it was not protected", path.display()),
            }
        } else if self.folder.exists(output).unwrap_or(true) {
            tracing::warn!(
                "{}: an earlier run wrote a photo there that was not protected, and the file has \
                 changed since: look at it, and remove it",
                path.display()
            );
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry) -> anyhow::Result<()> {
        let text = serde_json::value::to_raw_value(&entry)?;
        let code = self.key.sign(PURPOSE, text.get().as_bytes());
        let line = serde_json::to_string(&Line { code, entry: &text })? + "\n";
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("cannot write {}", self.path().display()))?;
        self.remember(entry);
        Ok(())
    }

    fn read(&self, line: &str) -> Option<Entry> {
        let line: Line<'_> = serde_json::from_str(line).ok()?;
        let text = line.entry.get();
        self.key.verifies(PURPOSE, text.as_bytes(), &line.code).then_some(())?;
        serde_json::from_str(text).ok()
    }

    fn remember(&mut self, entry: Entry) {
        match entry {
            Entry::Writing { output, output_bytes, sha256 } => {
                let output = output_bytes.map_or(output, path);
                self.written.entry(output).or_default().insert(sha256);
            }
            Entry::Done(done) => {
                let Done { mut report, input_bytes, output_bytes } = *done;
                report.input = input_bytes.map_or(report.input, path);
                report.output = output_bytes.map(path).or(report.output);
                self.done.insert(report.input.clone(), report);
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }
}

/// A path that JSON cannot hold.
fn bytes(path: &Path) -> Option<Vec<u8>> {
    path.to_str().is_none().then(|| path.as_os_str().as_bytes().to_vec())
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// The user's key, or one for this run where there is no place for a lasting one.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn key() -> anyhow::Result<Key> {
    Key::of_user().or_else(|error| {
        let place = files::key::state_folder().unwrap_or_default();
        tracing::warn!(
            "no key for the record of results ({}: {error}): a later run will not know the results \
             of this one as its own; set FACESHIELD_STATE to a folder that lasts",
            place.display()
        );
        Ok(Key::random()?)
    })
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
