//! The index on disk: one JSON file per data set root, replaced whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::one_line;
use crate::{Index, hex};

/// Raised whenever the meaning of the file changes; other versions are rebuilt.
const VERSION: u32 = 2;

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

/// The index in `file`, if it is whole and was made for this root and content.
pub(crate) fn load(file: &Path, root: &Path, key: &str) -> Option<Index> {
    let bytes = std::fs::read(file).ok()?;
    let index = match parse(&bytes) {
        Ok(index) => index?,
        Err(error) => {
            tracing::warn!("index cache {} is damaged ({error}): rebuilding", file.display());
            return None;
        }
    };
    (index.root == root && index.key == key).then_some(index)
}

/// The index in a cache file's bytes; none if they are another version's.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Index>, String> {
    let text = |error: serde_json::Error| one_line(&error.to_string());
    let Version { version } = serde_json::from_slice(bytes).map_err(text)?;
    if version != VERSION {
        return Ok(None);
    }
    let index = serde_json::from_slice::<Cached<Index>>(bytes).map_err(text)?.index;
    if !index.is_consistent() {
        return Err("its parts do not fit each other".into());
    }
    Ok(Some(index))
}

/// Writes `index` beside `file`, syncs and renames. A read-only disk costs the next run
/// some seconds, so a failure is only told.
pub(crate) fn store(file: &Path, index: &Index) {
    if let Err(error) = write(file, index) {
        tracing::warn!("cannot write index cache {}: {error}; going on without", file.display());
    }
}

fn write(file: &Path, index: &Index) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let bytes = serde_json::to_vec(&Cached { version: VERSION, index })?;
    let mut whole = atomic_write_file::AtomicWriteFile::open(file)?;
    whole.write_all(&bytes)?;
    whole.commit()
}
