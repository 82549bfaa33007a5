//! What lies in a data set's folder: names, sizes and times, nothing opened yet.

use std::path::{Path, PathBuf};

use files::Escape;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::error::one_line;
use crate::file::Stamp;
use crate::index::BadFile;
use crate::links::{FoundLinks, Links};
use crate::{Error, hex};

/// File endings taken for images; upper case counts too.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// One image file as the file system shows it.
pub(crate) struct Entry {
    /// Name of the person's folder.
    pub(crate) person: String,
    /// Path relative to the root, beginning with the person's folder.
    pub(crate) path: String,
    pub(crate) stamp: Stamp,
}

/// All image files below the folders of a root.
pub(crate) struct Listing {
    /// The root without links and dots.
    pub(crate) root: PathBuf,
    /// Sorted by person, then by path, bytewise: the same on every machine.
    pub(crate) entries: Vec<Entry>,
    /// Files and folders that could not even be listed.
    pub(crate) bad: Vec<BadFile>,
    /// Symbolic links, and what was done with them.
    pub(crate) links: FoundLinks,
}

impl Listing {
    /// Lists `root`; names that begin with a dot are left out.
    pub(crate) fn read(root: &Path, links: Links) -> Result<Listing, Error> {
        if !root.exists() {
            return Err(Error::NoFolder(root.into()));
        }
        if !root.is_dir() {
            return Err(Error::NotAFolder(root.into()));
        }
        let canonical =
            root.canonicalize().map_err(|source| Error::Read { path: root.into(), source })?;
        std::fs::read_dir(&canonical)
            .map_err(|source| Error::Read { path: root.into(), source })?;
        let found = FoundLinks::new(&canonical, links);
        let (entries, bad) = (Vec::new(), Vec::new());
        let mut listing = Listing { root: canonical, entries, bad, links: found };
        let stray = listing.walk();
        if listing.entries.is_empty() {
            return Err(match stray {
                0 => Error::NoImages(root.into()),
                count => Error::ImagesInRoot { root: root.into(), count },
            });
        }
        listing.entries.sort_by(|a, b| (&a.person, &a.path).cmp(&(&b.person, &b.path)));
        listing.bad.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
    }

    /// Fills entries and bad files; returns how many images lie in the root itself.
    fn walk(&mut self) -> usize {
        let mut stray = 0;
        let visible = |entry: &walkdir::DirEntry| {
            entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
        };
        let root = self.root.clone();
        let follow = self.links.followed();
        for entry in WalkDir::new(&root).follow_links(follow).into_iter().filter_entry(visible) {
            if let Ok(entry) = &entry
                && entry.depth() > 0
                && entry.path_is_symlink()
                && (is_image(entry.path()) || entry.path().is_dir())
            {
                self.links.add(entry.path());
            }
            match entry {
                Ok(entry) if entry.file_type().is_file() && is_image(entry.path()) => {
                    if entry.depth() == 1 {
                        stray += 1;
                    } else {
                        self.add(&entry);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let path = error.path().unwrap_or(&root);
                    self.reject(path, &error.to_string());
                }
            }
        }
        stray
    }

    fn add(&mut self, entry: &walkdir::DirEntry) {
        let relative = entry.path().strip_prefix(&self.root).unwrap_or(entry.path());
        let person = relative.iter().next().and_then(|name| name.to_str());
        let (Some(person), Some(path)) = (person, relative.to_str()) else {
            return self.reject(entry.path(), "its name is not valid UTF-8: rename it");
        };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return self.reject(entry.path(), &error.to_string()),
        };
        let (person, path, stamp) = (person.to_owned(), path.to_owned(), Stamp::of(&metadata));
        self.entries.push(Entry { person, path, stamp });
    }

    fn reject(&mut self, path: &Path, reason: &str) {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        let path = path.to_str().map_or_else(|| path.escaped().to_string(), str::to_owned);
        self.bad.push(BadFile { path, reason: one_line(reason) });
    }

    /// SHA-256 over root, paths, sizes and times, in hexadecimal: changes whenever a file
    /// is added, removed, renamed or written.
    pub(crate) fn key(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(self.root.as_os_str().as_encoded_bytes());
        for entry in &self.entries {
            add(entry.path.as_bytes());
            add(&entry.stamp.bytes.to_le_bytes());
            // 16 bytes, so that decoded caches made when it was a wider number go on fitting.
            add(&u128::from(entry.stamp.modified).to_le_bytes());
        }
        for bad in &self.bad {
            add(bad.path.as_bytes());
        }
        hex(&hash.finalize())
    }
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}
