//! The images of a run that turned out bad, counted, listed, and no more than allowed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use files::{Escape, Folder};

use crate::error::UNNAMED;
use crate::{BadFile, Error, Index};

/// Bad images that an error names.
const EXAMPLES: usize = 3;

/// The files of an index that cannot be used: those left out when it was made, and the images
/// that vanished, changed or turned out unreadable since.
///
/// An image in here stays in here, also if its file comes back: what a run has once done
/// without it does without to its end. Every new one is warned of once.
#[derive(Debug)]
pub struct BadImages {
    index: Arc<Index>,
    list: Option<PathBuf>,
    /// Whether log lines and errors name them.
    named: bool,
    found: Mutex<BTreeMap<usize, String>>,
}

impl BadImages {
    /// What is bad of `index` so far. With `list`, each file is also written to the end of that
    /// text file as soon as it is found: path, tabulator, reason. Without a bad file, none is
    /// made. Only its owner can read it: names of files may name people.
    pub fn new(index: Arc<Index>, list: Option<PathBuf>) -> BadImages {
        let bad = BadImages { index, list, named: true, found: Mutex::default() };
        bad.write(bad.index.bad().iter().map(|file| (file.path.as_str(), file.reason.as_str())));
        bad
    }

    /// The same, counted but not named in log lines and errors; the list alone names them.
    #[must_use]
    pub fn unnamed(mut self) -> BadImages {
        self.named = false;
        self
    }

    /// An error of an image, for the log.
    pub(crate) fn told(&self, error: Error) -> Error {
        if self.named { error } else { error.unnamed() }
    }

    /// The index whose images these are.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Where they are listed.
    pub fn list(&self) -> Option<&Path> {
        self.list.as_deref()
    }

    /// Files found bad, when indexed or since.
    pub fn count(&self) -> usize {
        self.index.bad().len() + self.lock().len()
    }

    /// Files there were when indexed, good and bad.
    pub fn of(&self) -> usize {
        self.index.bad().len() + self.index.images().len()
    }

    /// The bad files, sorted by path.
    pub fn files(&self) -> Vec<BadFile> {
        let mut all = self.index.bad().to_vec();
        all.extend(self.lock().iter().map(|(&image, reason)| BadFile {
            path: self.index.images()[image].path.clone(),
            reason: reason.clone(),
        }));
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// Why image number `image` is bad, if it is known to be.
    pub(crate) fn reason(&self, image: usize) -> Option<String> {
        self.lock().get(&image).cloned()
    }

    /// Notes that image number `image` cannot be used, and says so the first time.
    pub(crate) fn add(&self, image: usize, reason: &str) {
        if self.lock().insert(image, reason.to_owned()).is_some() {
            return;
        }
        let path = &self.index.images()[image].path;
        let root = self.index.root().escaped();
        match self.named {
            true => {
                tracing::warn!(
                    "cannot use image {root}/{path}: {reason}; the run goes on without it"
                );
            }
            false => tracing::warn!(
                "cannot use an image ({} of {} are bad so far); the run goes on without it",
                self.count(),
                self.of()
            ),
        }
        self.write([(path.as_str(), reason)]);
    }

    /// # Errors
    /// [`Error::TooManyBad`] when more are bad than `share` of all files allows.
    pub(crate) fn check(&self, share: f64) -> Result<(), Error> {
        let (count, of, allowed) = (self.count(), self.of(), allowed(share, self.of()));
        if count <= allowed {
            return Ok(());
        }
        let first = self.files().into_iter().take(EXAMPLES);
        let first: Vec<_> = first.map(|bad| format!("{} ({})", bad.path, bad.reason)).collect();
        let more = if count > EXAMPLES { ", …" } else { "" };
        let first = if self.named { first.join(", ") + more } else { UNNAMED.to_owned() };
        let listed = self.list.as_ref();
        let listed = listed.map(|list| format!("; all are listed in {}", list.escaped()));
        Err(Error::TooManyBad {
            root: self.index.root().into(),
            bad: count,
            of,
            share,
            allowed,
            examples: first + &listed.unwrap_or_default(),
        })
    }

    /// [`Error::NothingLeft`], with the first image found bad.
    pub(crate) fn nothing_left(&self) -> Error {
        let found = self.lock();
        let example = found.iter().next();
        let example = example
            .map(|(&image, reason)| format!("{} ({reason})", self.index.images()[image].path));
        self.told(Error::NothingLeft {
            root: self.index.root().into(),
            bad: found.len(),
            example: example.unwrap_or_default(),
        })
    }

    /// Adds lines to the list. A list that cannot be written ends no run: the log has it all.
    fn write<'a>(&self, files: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let Some(list) = &self.list else { return };
        let mut lines = String::new();
        for (path, reason) in files {
            let path = self.index.root().join(path);
            lines += &format!("{}\t{}\n", path.escaped(), files::escape(reason));
        }
        if lines.is_empty() {
            return;
        }
        let append = || {
            let folder = Folder::create(list.parent().unwrap_or(Path::new("")))?;
            let mut file = folder.append(list.file_name().unwrap_or_default())?;
            // In one piece, so that those of several threads do not mix.
            file.write_all(lines.as_bytes())
        };
        if let Err(error) = append() {
            tracing::warn!("cannot write {}: {error}; it lacks a bad image", list.escaped());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        // A map of finished facts is whole even if a thread died holding it.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of `files` may be bad: `share` of them, and one at least unless that is 0.
fn allowed(share: f64, files: usize) -> usize {
    if share <= 0.0 {
        return 0;
    }
    // 0.29 · 100 is a little less than 29.
    ((share * files as f64 + 1e-9).floor() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn one_bad_image_is_allowed_unless_none_is() {
        let cases = [(0.0, 1000, 0), (0.01, 6, 1), (0.01, 199, 1), (0.01, 200, 2)];
        for (share, files, expected) in cases {
            assert_eq!(allowed(share, files), expected, "{share} of {files}");
        }
        assert_eq!((allowed(0.29, 100), allowed(0.07, 100), allowed(1.0, 7)), (29, 7, 7));
    }
}
