//! The index on disk: one file per data set root, replaced whole or not at all.
//!
//! # What is believed
//! A line with a code, then JSON. The code is made with a key of the user's own
//! ([`files::Key::of_user`]): a file that was damaged, that another user wrote or that came with
//! a data set has another one, and the index is built anew. Whoever can write as this user can
//! read the key as well, and is not kept out. Even so, nothing is taken from the file that the
//! folder shows: its images must be those that were just listed, so that no path leads elsewhere
//! and nobody is given another name. What it adds is their sizes, and which cannot be read.

use std::path::{Path, PathBuf};

use files::{Escape, Folder, Key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::one_line;
use crate::listing::Listing;
use crate::{Index, hex};

/// Raised whenever the meaning of the JSON changes; other versions are rebuilt.
const VERSION: u32 = 2;
/// What the code is for, and what the line begins with.
const PURPOSE: &str = "faceshield-index";
/// Bytes of the file beside what the images need, and for each of them beside its path.
const BASE: u64 = 64 << 10;
const PER_IMAGE: u64 = 1 << 10;

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Cached<T> {
    version: u32,
    index: T,
}

/// The cache file of `root` in the folder `cache`.
pub(crate) fn file(cache: &Path, root: &Path) -> PathBuf {
    let digest = hex(&Sha256::digest(root.as_os_str().as_encoded_bytes()));
    cache.join(format!("index-{}.json", &digest[..16]))
}

/// The index in `file`, if this user wrote it and it was made of what `listing` shows.
pub(crate) fn load(file: &Path, listing: &Listing, key: &str) -> Option<Index> {
    match read(file, listing) {
        Ok(index) => {
            index.filter(|index| index.root == listing.root && index.key == key).filter(|index| {
                let fits = index.is_of(listing);
                if !fits {
                    tracing::warn!("index cache {} is of other images: rebuilding", file.escaped());
                }
                fits
            })
        }
        Err(why) => {
            tracing::warn!("index cache {} is not used ({why}): rebuilding", file.escaped());
            None
        }
    }
}

fn read(file: &Path, listing: &Listing) -> Result<Option<Index>, String> {
    let folder = Folder::at(file.parent().unwrap_or(Path::new("")));
    // Escaped in JSON, a byte can take six.
    let longest = |path: &str| PER_IMAGE + 6 * path.len() as u64;
    let images = listing.entries.iter().map(|entry| longest(&entry.path));
    let bad = listing.bad.iter().map(|bad| longest(&bad.path) + 6 * bad.reason.len() as u64);
    let limit = BASE + images.chain(bad).sum::<u64>();
    let bytes = match folder.read(file.file_name().unwrap_or_default(), limit) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let Some((code, json)) = split(&bytes) else { return Ok(None) };
    let key = Key::of_user().map_err(|error| format!("no key: {error}"))?;
    if !key.verifies(PURPOSE, json, code) {
        return Err("it is damaged, or was not made by this user on this machine".into());
    }
    parse(json)
}

/// The code and the JSON of a cache file; none of one from before there was a code.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    Some((line.strip_prefix(PURPOSE)?.trim(), &bytes[end + 1..]))
}

/// The index in a cache file's JSON; none if it is another version's.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(json: &[u8]) -> Result<Option<Index>, String> {
    let text = |error: serde_json::Error| one_line(&error.to_string());
    let Version { version } = serde_json::from_slice(json).map_err(text)?;
    if version != VERSION {
        return Ok(None);
    }
    let index = serde_json::from_slice::<Cached<Index>>(json).map_err(text)?.index;
    if !index.is_consistent() {
        return Err("its parts do not fit each other".into());
    }
    Ok(Some(index))
}

/// Writes `index` beside `file`, syncs and renames. A read-only disk costs the next run
/// some seconds, so a failure is only told.
pub(crate) fn store(file: &Path, index: &Index) {
    if let Err(error) = write(file, index) {
        let file = file.escaped();
        tracing::warn!("cannot write index cache {file}: {error}; going on without");
    }
}

fn write(file: &Path, index: &Index) -> std::io::Result<()> {
    let folder = Folder::create(file.parent().unwrap_or(Path::new("")))?;
    let json = serde_json::to_vec(&Cached { version: VERSION, index })?;
    let line = format!("{PURPOSE} {}\n", Key::of_user()?.sign(PURPOSE, &json));
    let name = file.file_name().unwrap_or_default();
    folder.write(name, &[line.as_bytes(), &json].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Links;

    /// A file that this user's program has signed, and that says other things than the folder: so
    /// much for what the code does not cover.
    #[test]
    fn nothing_that_the_folder_shows_is_taken_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        for name in ["a/0.png", "a/1.png", "b/0.png"] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            image::RgbImage::new(4, 4).save(root.join(name)).unwrap();
        }
        std::fs::write(root.join("b/1.png"), "no picture").unwrap();
        let index = Index::build(&root, None).unwrap();
        let listing = Listing::read(&root, Links::Follow).unwrap();
        let file = file(&dir.path().join("cache"), &listing.root);
        store(&file, &index);
        let loaded = load(&file, &listing, index.key()).unwrap();
        assert_eq!((loaded.images(), loaded.bad()), (index.images(), index.bad()));

        let json = serde_json::to_string(&index).unwrap();
        for (from, to) in [
            (r#""path":"a/0.png""#, r#""path":"../0.png""#),
            (r#""path":"a/0.png""#, r#""path":"/etc/0.png""#),
            (r#""path":"a/1.png""#, r#""path":"a/9.png""#),
            (r#""name":"b""#, r#""name":"c""#),
            (r#""path":"b/1.png""#, r#""path":"b/2.png""#),
            (r#""path":"b/1.png""#, r#""path":"a/0.png""#),
        ] {
            assert!(json.contains(from), "{json}");
            let forged: Index = serde_json::from_str(&json.replacen(from, to, 1)).unwrap();
            store(&file, &forged);
            assert_eq!(load(&file, &listing, index.key()), None, "{from} {to}");
        }
    }
}
