//! The images of an index at one size, wherever their pixels come from.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::decoded::{self, CacheReport, Decoded};
use crate::picture::{MAX_SIDE, read_image};
use crate::{Error, Index, Planes, Progress};

/// The images of an index at one size: decoded from their files, or read from a decoded
/// cache. Both give the same pixels, bit for bit.
#[derive(Debug)]
pub struct Faces {
    index: Arc<Index>,
    size: u32,
    decoded: Option<Decoded>,
    /// One place per image, where what was decoded stays.
    kept: Option<Box<[OnceLock<Planes>]>>,
}

impl Faces {
    /// The images of `index` at `size` × `size` pixels, out of the decoded cache `cache` if
    /// one is given.
    ///
    /// # Errors
    /// A size outside 1…[`MAX_SIDE`]; [`Error::DecodedCache`] for a cache that is not whole or
    /// was made for other images, another size, by another decoder or version.
    pub fn new(index: Arc<Index>, size: u32, cache: Option<&Path>) -> Result<Faces, Error> {
        if size == 0 || size > MAX_SIDE {
            return Err(Error::Option {
                key: "image_size",
                value: size.to_string(),
                expected: format!("from 1 to {MAX_SIDE} pixels"),
            });
        }
        let decoded = cache.map(|path| Decoded::open(path, &index, size)).transpose()?;
        Ok(Faces { index, size, decoded, kept: None })
    }

    /// The same, keeping in memory what it has read, if all images together need no more than
    /// `limit` bytes: a small set is decoded once and not once an epoch. A decoded cache is in
    /// memory already.
    pub fn keeping(mut self, limit: usize) -> Faces {
        let images = self.index.images().len();
        let bytes = (3 * self.size as usize * self.size as usize).saturating_mul(images);
        let keep = self.decoded.is_none() && bytes <= limit;
        self.kept = keep.then(|| (0..images).map(|_| OnceLock::new()).collect());
        self
    }

    /// Whose images these are.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Side of the images in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Image number `image` of the index, `size` × `size` pixels.
    ///
    /// # Errors
    /// [`Error::Image`] when this image cannot be decoded, or could not when the cache was
    /// made, or has no such number; [`Error::DecodedCache`] when the cache cannot be read.
    pub fn read(&self, image: usize) -> Result<Planes, Error> {
        let Some(path) = self.index.path(image) else {
            let reason = format!("there is no image number {image}");
            return Err(Error::Image { path: self.index.root().into(), reason });
        };
        match &self.decoded {
            Some(decoded) => decoded.read(image, &path),
            None => self.decode(image, &path),
        }
    }

    fn decode(&self, image: usize, path: &Path) -> Result<Planes, Error> {
        let place = self.kept.as_deref().and_then(|kept| kept.get(image));
        if let Some(planes) = place.and_then(OnceLock::get) {
            return Ok(planes.clone());
        }
        let planes = Planes::from_image(&read_image(path, self.size)?);
        if let Some(place) = place {
            // Another thread may have been first; it has the same pixels.
            let _ = place.set(planes.clone());
        }
        Ok(planes)
    }

    /// Writes all images, decoded, to the file `out`, on all cores: a cache for
    /// [`Faces::new`]. Written beside, synced and renamed; each thread holds one image.
    ///
    /// # Errors
    /// [`Error::Write`] when the disk refuses. Unreadable images are reported, no error.
    pub fn write_cache(
        &self,
        out: &Path,
        progress: Option<Progress<'_>>,
    ) -> Result<CacheReport, Error> {
        decoded::write(self, out, progress)
    }
}
