//! The decoded cache: every image of an index, decoded and resized, in one file.
//!
//! # Format
//! safetensors, so that Python opens it as well:
//!
//! - `images`: U8 `[N, 3, S, S]`, in the index's order, channels R, G, B;
//! - `crc32`: U8 `[N, 4]`, the CRC-32 of each image's pixels, least significant byte first; not in
//!   files of earlier programs. It tells of damage, not of who made the file;
//! - `readable`: U8 `[N]`, 0 where the file could not be decoded (its pixels are 0 then);
//! - metadata: version of this format, S, [`Index::key`], and [`DECODER`].
//!
//! # Why no memory map
//! Images are read where they lie, by `pread`. The pages come from the system's page cache as
//! with a map, shared between the ranks of a machine and given up when memory is short, and
//! one copy into the image's buffer would be made either way. But a file that was cut short
//! or whose disk went away is an error here, and the death of the process (SIGBUS) with a map.

mod read;
mod write;

pub(crate) use read::Decoded;
pub use write::CacheReport;
pub(crate) use write::write;

use std::collections::BTreeMap;

use crate::Index;
use crate::picture::DECODER;

/// Raised whenever the meaning of the file changes.
const VERSION: &str = "1";
/// The metadata's names.
const FORMAT: &str = "faceshield_decoded_cache";
const SIZE: &str = "size";
const KEY: &str = "index_key";
const DECODED_BY: &str = "decoder";
/// The tensors' names.
const IMAGES: &str = "images";
const READABLE: &str = "readable";
const CHECKSUMS: &str = "crc32";

/// What the metadata of a cache of `index` at `size` pixels says.
fn metadata(index: &Index, size: u32) -> BTreeMap<&'static str, String> {
    [
        (FORMAT, VERSION.to_owned()),
        (SIZE, size.to_string()),
        (KEY, index.key().to_owned()),
        (DECODED_BY, DECODER.to_owned()),
    ]
    .into()
}

/// Bytes of one image.
fn image_bytes(size: u32) -> u64 {
    3 * u64::from(size) * u64::from(size)
}
