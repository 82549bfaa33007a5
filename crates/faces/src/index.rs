//! The index of a data set: whose images there are, in an order that every rank shares.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::file::Stamp;
use crate::links::{FoundLinks, Root};
use crate::listing::{Entry, Listing};
use crate::{Error, cache, picture};

/// Told (files done, files in all) now and then, from several threads.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// An image file that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadFile {
    /// Path relative to the data set's root.
    pub path: String,
    /// The decoder's or the system's reason, one line.
    pub reason: String,
}

/// One person: a folder of the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The folder's name.
    pub name: String,
    /// Where the person's images stand in [`Index::images`]; never empty.
    pub images: Range<usize>,
}

/// One image whose header could be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Path relative to the data set's root.
    pub path: String,
    /// Place of its person in [`Index::people`].
    pub person: usize,
    /// Width in pixels, before any EXIF rotation.
    pub width: u32,
    /// Height in pixels, before any EXIF rotation.
    pub height: u32,
    /// What tells whether the file is still the one that was indexed.
    pub(crate) stamp: Stamp,
}

/// The images of a data set, one folder per person, sorted bytewise by person and path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub(crate) root: PathBuf,
    pub(crate) key: String,
    people: Vec<Person>,
    images: Vec<Image>,
    bad: Vec<BadFile>,
    /// Of the listing, not of the cache file.
    #[serde(skip)]
    links: FoundLinks,
}

impl Index {
    /// Lists `root` and reads every image's header, on all cores.
    ///
    /// Files are images by their ending (`.png .jpg .jpeg .webp .bmp`, any case), and
    /// belong to the folder of the root that holds them, at any depth. Names that begin
    /// with a dot are left out. Files whose header cannot be read go to [`Index::bad`];
    /// [`crate::check`] finds those whose pixels cannot.
    ///
    /// # Errors
    /// No such folder, no images, none that can be read, fewer than two people.
    pub fn build<'a>(
        root: impl Into<Root<'a>>,
        progress: Option<Progress<'_>>,
    ) -> Result<Index, Error> {
        let listing = root.into().list()?;
        let key = listing.key();
        Index::from_listing(listing, key, progress)
    }

    /// The index of `root`, from its cache file in the folder `cache` if that is up to date.
    ///
    /// For a run of several ranks: rank 0 calls this with `build = true` (an absent, old
    /// or damaged cache file is made anew), all ranks meet at a barrier, then the others
    /// call it with `build = false`: they list the folder (its names, sizes and times are
    /// the key), read the file that rank 0 wrote, and write nothing. Where no fitting file
    /// is in sight (another node's disk, a read-only folder), a rank reads the headers
    /// itself; compare [`Index::digest`] over ranks to be sure that all see the same data.
    ///
    /// # Errors
    /// As [`Index::build`]. A cache that cannot be read or written is a warning.
    pub fn load_or_build<'a>(
        root: impl Into<Root<'a>>,
        cache: &Path,
        build: bool,
    ) -> Result<Index, Error> {
        let listing = root.into().list()?;
        let key = listing.key();
        let file = cache::file(cache, &listing.root);
        if let Some(mut index) = cache::load(&file, &listing, &key) {
            index.links = listing.links;
            return Ok(index);
        }
        let index = Index::from_listing(listing, key, None)?;
        if build {
            cache::store(&file, &index);
        }
        Ok(index)
    }

    /// The index in the JSON of a cache file; none in that of another version.
    ///
    /// # Errors
    /// What is wrong with it.
    #[doc(hidden)]
    pub fn from_cache(json: &[u8]) -> Result<Option<Index>, String> {
        cache::parse(json)
    }

    fn from_listing(
        listing: Listing,
        key: String,
        progress: Option<Progress<'_>>,
    ) -> Result<Index, Error> {
        let count = listing.entries.len();
        let root = listing.root;
        let read = |entry: &Entry| match picture::read_header(&root.join(&entry.path)) {
            Err(error) if !matches!(error, Error::Image { .. }) => Err(error),
            header => Ok(header),
        };
        let headers: Vec<_> = for_each::<_, _, Result<_, _>>(&listing.entries, progress, read)?;
        let links = listing.links;
        let mut index =
            Index { root, key, people: Vec::new(), images: Vec::new(), bad: listing.bad, links };
        for (entry, header) in listing.entries.into_iter().zip(headers) {
            match header {
                Ok((width, height)) => index.add(entry, width, height),
                Err(error) => index.bad.push(bad_file(entry.path, error)),
            }
        }
        index.bad.sort_by(|a, b| a.path.cmp(&b.path));
        index.validate(count)?;
        Ok(index)
    }

    fn add(&mut self, entry: Entry, width: u32, height: u32) {
        let place = self.images.len();
        match self.people.last_mut() {
            Some(person) if person.name == entry.person => person.images.end = place + 1,
            _ => self.people.push(Person { name: entry.person, images: place..place + 1 }),
        }
        let person = self.people.len() - 1;
        let (path, stamp) = (entry.path, entry.stamp);
        self.images.push(Image { path, person, width, height, stamp });
    }

    fn validate(&self, files: usize) -> Result<(), Error> {
        let root = self.root.clone();
        match self.people.as_slice() {
            [] => {
                let first = self.bad.first();
                let first = first.map(|bad| format!("{} ({})", bad.path, bad.reason));
                let first = first.unwrap_or_default();
                Err(Error::NoneReadable { root, count: files, first })
            }
            [person] => Err(Error::OnePerson { root, person: person.name.clone() }),
            _ if self.images.len() > u32::MAX as usize => {
                Err(Error::TooManyImages { root, count: self.images.len(), max: u32::MAX as usize })
            }
            _ => Ok(()),
        }
    }

    /// Whether the parts fit each other: a cache file is input like any other.
    pub(crate) fn is_consistent(&self) -> bool {
        let mut next = 0;
        let people = self.people.iter().enumerate().all(|(number, person)| {
            let range = person.images.clone();
            let fits = range.start == next && range.start < range.end;
            next = range.end;
            let images = self.images.get(range);
            fits && images.is_some_and(|images| images.iter().all(|image| image.person == number))
        });
        people && next == self.images.len() && self.validate(next).is_ok()
    }

    /// Whether the images, and those left out, are the ones that were listed, in that order: the
    /// cache file is believed in nothing that the folder shows.
    pub(crate) fn is_of(&self, listing: &Listing) -> bool {
        let mut missing: Vec<&str> = listing.bad.iter().map(|bad| bad.path.as_str()).collect();
        let mut images = self.images.iter().peekable();
        for entry in &listing.entries {
            match images.next_if(|image| image.path == entry.path) {
                Some(image) if image.stamp != entry.stamp => return false,
                Some(image) if self.people[image.person].name != entry.person => return false,
                Some(_) => {}
                None => missing.push(&entry.path),
            }
        }
        missing.sort_unstable();
        images.peek().is_none() && self.bad.iter().map(|bad| bad.path.as_str()).eq(missing)
    }

    /// The symbolic links that were found in the data set.
    pub fn links(&self) -> &FoundLinks {
        &self.links
    }

    /// The data set's folder, canonical.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The people, sorted by name; at least two.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// The images, each person's together.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Files left out because they could not be listed or their header not be read.
    pub fn bad(&self) -> &[BadFile] {
        &self.bad
    }

    /// Where image number `image` lies; `None` beyond the last.
    pub fn path(&self, image: usize) -> Option<PathBuf> {
        self.images.get(image).map(|image| self.root.join(&image.path))
    }

    /// SHA-256 (hexadecimal) of root and content listing: what the cache is keyed by.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A number that two ranks share exactly when they see the same images in the same
    /// order (relative paths, people and file sizes; neither the root nor file times count,
    /// so copies on different nodes agree).
    pub fn digest(&self) -> u64 {
        let mut hash = Sha256::new();
        for image in &self.images {
            hash.update((image.path.len() as u64).to_le_bytes());
            hash.update(image.path.as_bytes());
            hash.update((image.person as u64).to_le_bytes());
            hash.update(image.stamp.bytes.to_le_bytes());
        }
        let bytes = hash.finalize();
        bytes[..8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// How many images are not square: resizing distorts those.
    pub fn not_square(&self) -> usize {
        self.images.iter().filter(|image| image.width != image.height).count()
    }
}

pub(crate) fn bad_file(path: String, error: Error) -> BadFile {
    let reason = match error {
        Error::Image { reason, .. } => reason,
        other => other.to_string(),
    };
    BadFile { path, reason }
}

/// `work` on every item, in parallel, results in order, progress told about 200 times. What
/// is collected may be a `Result` of a vector: then the first error ends the work.
pub(crate) fn for_each<T: Sync, R: Send, C: FromParallelIterator<R>>(
    items: &[T],
    progress: Option<Progress<'_>>,
    work: impl Fn(&T) -> R + Sync,
) -> C {
    let (done, total) = (AtomicUsize::new(0), items.len());
    let every = (total / 200).max(1);
    let counted = |item: &T| {
        let result = work(item);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(progress) = progress
            && (done % every == 0 || done == total)
        {
            progress(done, total);
        }
        result
    };
    items.par_iter().map(counted).collect()
}
