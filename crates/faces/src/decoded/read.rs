//! Reading a decoded cache.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use files::Escape;
use weights::{Contents, Dtype, Format};

use super::{CHECKSUMS, DECODED_BY, FORMAT, IMAGES, KEY, READABLE, SIZE, image_bytes, metadata};
use crate::file::Stamp;
use crate::{Error, Index, Planes};

/// An open decoded cache that fits an index and a size.
#[derive(Debug)]
pub(crate) struct Decoded {
    file: File,
    path: PathBuf,
    root: PathBuf,
    size: u32,
    /// The file's, when it was opened.
    stamp: Stamp,
    /// Where the first image begins, in bytes.
    images_at: u64,
    /// One byte per image, not 0 where it could be decoded.
    readable: Vec<u8>,
    /// Four bytes per image: the CRC-32 of its pixels; none in a file from before there were some.
    checksums: Option<Vec<u8>>,
}

impl Decoded {
    /// Opens the cache `path`, made from `index` at `size` × `size` pixels.
    ///
    /// # Errors
    /// [`Error::DecodedCache`] for a file that is not there, is not whole, or was made for
    /// other images, another size, by another decoder or version.
    pub(crate) fn open(path: &Path, index: &Index, size: u32) -> Result<Decoded, Error> {
        let (path, root) = (path.to_path_buf(), index.root().to_path_buf());
        let (root_of, path_of) = (root.clone(), path.clone());
        let open = || -> Result<Decoded, String> {
            let file =
                files::input::open(&path).map_err(|error| format!("cannot be opened: {error}"))?;
            let contents = Contents::parse(&file).map_err(|fault| fault.to_string())?;
            check_metadata(&contents, index, size)?;
            let count = index.images().len() as u64;
            let side = u64::from(size);
            let images_at = place(&contents, IMAGES, &[count, 3, side, side])?;
            let readable_at = place(&contents, READABLE, &[count])?;
            let mut readable = vec![0; index.images().len()];
            file.read_exact_at(&mut readable, readable_at).map_err(|error| error.to_string())?;
            let mut checksums = None;
            if contents.tensors.contains_key(CHECKSUMS) {
                let at = place(&contents, CHECKSUMS, &[count, 4])?;
                let mut bytes = vec![0; 4 * index.images().len()];
                file.read_exact_at(&mut bytes, at).map_err(|error| error.to_string())?;
                checksums = Some(bytes);
            }
            let stamp = Stamp::of(&file.metadata().map_err(|error| error.to_string())?);
            Ok(Decoded { file, path, root, size, stamp, images_at, readable, checksums })
        };
        open().map_err(|reason| Error::DecodedCache { path: path_of, root: root_of, size, reason })
    }

    /// Image number `image` of the index; `name` is its file, for the error.
    ///
    /// # Errors
    /// [`Error::Image`] for one that could not be decoded when the cache was made;
    /// [`Error::DecodedCache`] when the cache itself cannot be read any more, or has been
    /// written to since it was opened.
    pub(crate) fn read(&self, image: usize, name: &Path) -> Result<Planes, Error> {
        if self.readable.get(image).is_none_or(|&readable| readable == 0) {
            let reason = format!("it could not be when {} was made", self.path.escaped());
            return Err(Error::Image { path: name.into(), reason });
        }
        let mut pixels = Planes::black(self.size);
        let place = self.images_at + image as u64 * image_bytes(self.size);
        let broken = |reason| Error::DecodedCache {
            path: self.path.clone(),
            root: self.root.clone(),
            size: self.size,
            reason,
        };
        let unread = |error| broken(format!("image {image} cannot be read from it: {error}"));
        self.file.read_exact_at(pixels.bytes_mut(), place).map_err(unread)?;
        // Afterwards: what was read is then known to be what was there when it was opened.
        if Stamp::of(&self.file.metadata().map_err(unread)?) != self.stamp {
            return Err(broken("it has been written to since it was opened".into()));
        }
        if let Some(checksums) = &self.checksums {
            let crc32 = crc32fast::hash(pixels.bytes()).to_le_bytes();
            if checksums.get(4 * image..).is_none_or(|rest| !rest.starts_with(&crc32)) {
                return Err(broken(format!("the checksum of image {image} in it differs")));
            }
        }
        Ok(pixels)
    }
}

/// Whether the cache is one of `index` at `size` pixels, and if not, why.
fn check_metadata(contents: &Contents, index: &Index, size: u32) -> Result<(), String> {
    let found = |name: &str| contents.metadata.get(name).map_or("none", String::as_str);
    if contents.format != Format::Safetensors || found(FORMAT) == "none" {
        return Err("it is no decoded cache".into());
    }
    let expected = metadata(index, size);
    let differs = |name: &&str| found(name) != expected[*name];
    let Some(name) = [FORMAT, SIZE, DECODED_BY, KEY].into_iter().find(differs) else {
        return Ok(());
    };
    let (is, wanted) = (found(name).escape_debug(), &expected[name]);
    Err(match name {
        FORMAT => format!("it has format version {is}, this program reads {wanted}"),
        SIZE => format!("it holds images of {is} pixels, {wanted} are wanted"),
        DECODED_BY => format!("it was decoded by {is}, this program decodes by {wanted}"),
        _ => "it was made from another folder, or images there have changed since".into(),
    })
}

/// Where the bytes of a tensor begin.
fn place(contents: &Contents, name: &str, shape: &[u64]) -> Result<u64, String> {
    let tensor = contents.tensors.get(name).filter(|t| t.dtype == Dtype::Uint8 && t.shape == shape);
    let tensor = tensor.ok_or_else(|| format!("it has no U8 tensor {name} of shape {shape:?}"))?;
    Ok(contents.storages[tensor.storage].start)
}
