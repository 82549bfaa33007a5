//! The images of an index at one size, wherever their pixels come from.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::decoded::{self, CacheReport, Decoded};
use crate::picture::{MAX_SIDE, read_indexed};
use crate::{BadImages, Error, Index, Planes, Progress};

/// The images of an index at one size: decoded from their files, or read from a decoded
/// cache. Both give the same pixels, bit for bit.
///
/// What comes out is what was indexed: an image whose file has vanished, changed or become
/// unreadable since is [`BadImages`]', and stays there.
#[derive(Debug)]
pub struct Faces {
    bad: Arc<BadImages>,
    /// Share of the files that may be bad.
    bad_share: f64,
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
        let bad = Arc::new(BadImages::new(index, None));
        Ok(Faces { bad, bad_share: 1.0, size, decoded, kept: None })
    }

    /// The same, with the bad images that are known already (the index must be the one given
    /// to [`Faces::new`]) and of which no more than `share` of all files are borne, 0 to 1.
    /// One is always borne, unless `share` is 0.
    ///
    /// # Errors
    /// A share out of range; [`Error::TooManyBad`].
    pub fn bearing(mut self, bad: Arc<BadImages>, share: f64) -> Result<Faces, Error> {
        if !(0.0..=1.0).contains(&share) {
            let (value, expected) = (share.to_string(), "a share from 0 to 1".into());
            return Err(Error::Option { key: "max_bad_images", value, expected });
        }
        bad.check(share)?;
        (self.bad, self.bad_share) = (bad, share);
        Ok(self)
    }

    /// The same, keeping in memory what it has read, if all images together need no more than
    /// `limit` bytes: a small set is decoded once and not once an epoch. A decoded cache is in
    /// memory already.
    pub fn keeping(mut self, limit: usize) -> Faces {
        let images = self.index().images().len();
        let bytes = (3 * self.size as usize * self.size as usize).saturating_mul(images);
        let keep = self.decoded.is_none() && bytes <= limit;
        self.kept = keep.then(|| (0..images).map(|_| OnceLock::new()).collect());
        self
    }

    /// Whose images these are.
    pub fn index(&self) -> &Arc<Index> {
        self.bad.index()
    }

    /// The images that cannot be used.
    pub fn bad(&self) -> &BadImages {
        &self.bad
    }

    /// Side of the images in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Image number `image` of the index, `size` × `size` pixels.
    ///
    /// # Errors
    /// [`Error::Image`] when this image cannot be used, now or earlier, or has no such number;
    /// [`Error::TooManyBad`] when that makes more than are borne; [`Error::DecodedCache`] when
    /// the cache cannot be read; [`Error::System`].
    pub fn read(&self, image: usize) -> Result<Planes, Error> {
        // First, so that a vanished folder does not fail file by file.
        self.bad.check(self.bad_share)?;
        let fetched = match (self.bad.reason(image), self.index().path(image)) {
            (Some(reason), Some(path)) => Err(Error::Image { path, reason }),
            _ => self.fetch(image),
        };
        if let Err(Error::Image { reason, .. }) = &fetched
            && image < self.index().images().len()
        {
            self.bad.add(image, reason);
            self.bad.check(self.bad_share)?;
        }
        fetched.map_err(|error| self.bad.told(error))
    }

    /// [`Faces::read`] without a thought of other bad images.
    pub(crate) fn fetch(&self, image: usize) -> Result<Planes, Error> {
        let Some(path) = self.index().path(image) else {
            let reason = format!("there is no image number {image}");
            return Err(Error::Image { path: self.index().root().into(), reason });
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
        let planes =
            Planes::from_image(&read_indexed(path, &self.index().images()[image], self.size)?);
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
