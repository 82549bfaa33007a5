//! Writing a decoded cache: each image to its place as soon as it is decoded.

use std::os::unix::fs::FileExt;
use std::path::Path;

use files::Folder;
use serde::Serialize;

use super::{CHECKSUMS, IMAGES, READABLE, image_bytes, metadata};
use crate::index::{BadFile, Progress, bad_file, for_each};
use crate::{Error, Faces, Index};

/// What a decoded cache holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheReport {
    /// Images of the index, the unreadable ones too.
    pub images: usize,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Images that could not be decoded, in the index's order.
    pub unreadable: Vec<BadFile>,
}

/// Writes all images of `faces` to `out`, on all cores, each thread holding one image. The
/// file is written beside `out`, synced and renamed: `out` is whole or as it was.
///
/// # Errors
/// [`Error::Write`] when the disk refuses; [`Error::System`]. An unreadable image is none.
pub(crate) fn write(
    faces: &Faces,
    out: &Path,
    progress: Option<Progress<'_>>,
) -> Result<CacheReport, Error> {
    let failed = |source| Error::Write { path: out.into(), source };
    let name = out.file_name().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    let (index, size) = (faces.index(), faces.size());
    let count = index.images().len();
    let header = header(index, size);
    let images_at = header.len() as u64;
    let readable_at = images_at + count as u64 * image_bytes(size);
    let checksums_at = readable_at + count as u64;
    let bytes = checksums_at + 4 * count as u64;
    let folder = out.parent().unwrap_or(Path::new(""));
    // Faces: only the owner may read it.
    let replacement = Folder::create(folder).and_then(|folder| folder.replace(name));
    let mut replacement = replacement.map_err(failed)?;
    let file = &*replacement.file();
    file.write_all_at(&header, 0).map_err(failed)?;
    // Zeros where nothing will be written: the images that cannot be decoded.
    file.set_len(bytes).map_err(failed)?;

    let numbers: Vec<usize> = (0..count).collect();
    let store = |&image: &usize| -> Result<Option<Error>, Error> {
        let pixels = match faces.fetch(image) {
            Ok(pixels) => pixels,
            Err(error @ Error::Image { .. }) => return Ok(Some(error)),
            Err(error) => return Err(error),
        };
        let place = images_at + image as u64 * image_bytes(size);
        file.write_all_at(pixels.bytes(), place).map_err(failed)?;
        let crc32 = crc32fast::hash(pixels.bytes()).to_le_bytes();
        file.write_all_at(&crc32, checksums_at + 4 * image as u64).map_err(failed)?;
        Ok(None)
    };
    let faults: Vec<Option<Error>> = for_each::<_, _, Result<_, _>>(&numbers, progress, store)?;
    let readable: Vec<u8> = faults.iter().map(|fault| u8::from(fault.is_none())).collect();
    file.write_all_at(&readable, readable_at).map_err(failed)?;
    replacement.commit().map_err(failed)?;

    let path = |image: usize| index.images()[image].path.clone();
    let faults = faults.into_iter().enumerate();
    let unreadable =
        faults.filter_map(|(image, fault)| Some(bad_file(path(image), fault?))).collect();
    Ok(CacheReport { images: count, bytes, unreadable })
}

/// Everything before the pixels: the header's length, then the header.
fn header(index: &Index, size: u32) -> Vec<u8> {
    let count = index.images().len() as u64;
    let pixels = count * image_bytes(size);
    let mut json = serde_json::json!({
        "__metadata__": metadata(index, size),
        IMAGES: {"dtype": "U8", "shape": [count, 3, size, size], "data_offsets": [0, pixels]},
        READABLE: {"dtype": "U8", "shape": [count], "data_offsets": [pixels, pixels + count]},
        CHECKSUMS: {
            "dtype": "U8", "shape": [count, 4],
            "data_offsets": [pixels + count, pixels + 5 * count],
        },
    })
    .to_string()
    .into_bytes();
    // The format allows spaces at the end; its own writer aligns to 8 bytes with them.
    json.resize(json.len().next_multiple_of(8), b' ');
    [&(json.len() as u64).to_le_bytes()[..], &json].concat()
}
