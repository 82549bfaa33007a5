//! Photos as files again, with nothing in them but pixels.
//!
//! Files are encoded from pixels alone, so EXIF (camera, time, GPS, thumbnails), XMP, IPTC,
//! comments and maker notes of the original cannot be in them. Two things are kept on request,
//! each rewritten from its numbers: the colour profile and the resolution.
//!
//! | format | how |
//! |---|---|
//! | PNG | lossless, 8 bits |
//! | JPEG | at the quality that the original's quantisation tables show; chroma at full size, whatever the original's was |
//! | WebP | lossless: there is no lossy encoder here, so results are larger than lossy originals |
//!
//! Results have 8 bits a channel, no transparency, and an animation's first picture, as
//! [`read_photo`](crate::read_photo) gives them: the EXIF orientation, which is dropped here, it
//! has applied to the pixels.

mod chunks;
mod encode;
mod profile;
mod quality;
mod source;

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use files::{Escape, Folder};
use image::RgbImage;

pub use encode::{Encoded, encode};
pub use source::Source;

/// A format in which photos are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.png`
    Png,
    /// `.jpg`, `.jpeg`
    Jpeg,
    /// `.webp`
    WebP,
}

impl Format {
    /// The format that a file's ending names, in either case.
    ///
    /// # Errors
    /// [`SaveError::Ending`].
    pub fn of_path(path: &Path) -> Result<Format, SaveError> {
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("png") => Ok(Format::Png),
            Some("jpg" | "jpeg") => Ok(Format::Jpeg),
            Some("webp") => Ok(Format::WebP),
            _ => Err(SaveError::Ending(path.into())),
        }
    }
}

/// What is kept of an original besides its pixels. By default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The colour profile's primaries and tone curves, without its texts, dates and device
    /// names. Without it, photos in a wider colour space than sRGB look paler. A profile
    /// measured for one device is that device's fingerprint even so.
    pub profile: bool,
    /// Pixels per inch or metre, where it is the same both ways.
    pub resolution: bool,
}

/// How a photo is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaveOptions {
    /// What is kept.
    pub keep: Keep,
    /// JPEG quality from 1 to 100; by default the original's, or 95 if that is no JPEG file.
    pub quality: Option<u8>,
    /// Whether a file that is there already, and is no input, may be replaced.
    pub replace: bool,
}

/// The files that must not be written to, by whatever name.
#[derive(Clone, Debug, Default)]
pub struct Inputs(HashSet<(u64, u64)>);

impl Inputs {
    /// # Errors
    /// [`SaveError::Input`] for a path where nothing is.
    pub fn of<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Inputs, SaveError> {
        let identity = |path: P| match std::fs::metadata(&path) {
            Ok(metadata) => Ok((metadata.dev(), metadata.ino())),
            Err(source) => Err(SaveError::Input { path: path.as_ref().into(), source }),
        };
        Ok(Inputs(paths.into_iter().map(identity).collect::<Result<_, _>>()?))
    }
}

/// Why a photo was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The name does not say in which format.
    #[error("cannot write {}: name it .png, .jpg, .jpeg or .webp", .0.escaped())]
    Ending(PathBuf),
    /// The place is an input's.
    #[error("{} is one of the inputs, which are never written over: choose another folder", .0.escaped())]
    OverInput(PathBuf),
    /// There is something already.
    #[error("{} exists, and it is no result that may be replaced: remove it, or choose another folder", .0.escaped())]
    Exists(PathBuf),
    /// An input cannot be told from other files.
    #[error("cannot read {}: {source}", path.escaped())]
    Input {
        /// The input.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The quality is none.
    #[error("quality = {0}: must be a whole number from 1 to 100")]
    Quality(u8),
    /// The colour profile should be kept and cannot be.
    #[error("cannot keep the colour profile: {0}: write the photo without it")]
    Profile(String),
    /// The encoder refused.
    #[error("cannot encode {width} × {height} pixels: {reason}")]
    Encode {
        /// The photo's width.
        width: u32,
        /// The photo's height.
        height: u32,
        /// The encoder's reason.
        reason: String,
    },
    /// The disk or folder refused.
    #[error("cannot write {}: {source}{}", path.escaped(), remedy(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Of an error that does not say how to mend it.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::InvalidInput => "",
        _ => ": check the folder and the space left",
    }
}

/// Writes `image` to `out`, in the format of its name; `source` says what the original was
/// like.
///
/// # Errors
/// As [`encode`] and [`write()`]; nothing is left behind.
pub fn save(
    image: &RgbImage,
    out: &Path,
    source: &Source,
    inputs: &Inputs,
    options: &SaveOptions,
) -> Result<Encoded, SaveError> {
    let format = Format::of_path(out)?;
    let folder = Folder::at(out.parent().unwrap_or(Path::new("")));
    let name = Path::new(out.file_name().unwrap_or_default());
    may_write(&folder, name, inputs, options.replace)?;
    let encoded = encode(image, format, source, options)?;
    write(&encoded, &folder, name, inputs, options.replace)?;
    Ok(encoded)
}

/// Whether a photo may be written to `name` in `folder`: no input lies there, and nothing else
/// either unless it may be replaced.
///
/// # Errors
/// [`SaveError::OverInput`], [`SaveError::Exists`]; [`SaveError::Write`] when a folder on the way
/// cannot be searched or is a link.
pub fn may_write(
    folder: &Folder,
    name: &Path,
    inputs: &Inputs,
    replace: bool,
) -> Result<(), SaveError> {
    let out = folder.path().join(name);
    // Links are followed here: one that leads to an input is another name of it.
    if std::fs::metadata(&out).is_ok_and(|there| inputs.0.contains(&(there.dev(), there.ino()))) {
        return Err(SaveError::OverInput(out));
    }
    match folder.exists(name) {
        Ok(true) if !replace => Err(SaveError::Exists(out)),
        Ok(_) => Ok(()),
        Err(source) => Err(SaveError::Write { path: out, source }),
    }
}

/// Writes an encoded photo to `name` in `folder`.
///
/// The file is written under a random name beside it, synced and renamed: at no time is there
/// a part of a photo under `name`. An input is never replaced, be `name` its name, a link to it or
/// another name of the same file, and no link below `folder` is followed. The umask decides who
/// can read it.
///
/// # Errors
/// As [`may_write`]; [`SaveError::Write`]. Nothing is left behind.
pub fn write(
    encoded: &Encoded,
    folder: &Folder,
    name: &Path,
    inputs: &Inputs,
    replace: bool,
) -> Result<(), SaveError> {
    may_write(folder, name, inputs, replace)?;
    let out = folder.path().join(name);
    let failed = |source| SaveError::Write { path: out.clone(), source };
    let mut file = folder.replace_public(name).map_err(failed)?;
    file.write_all(&encoded.bytes).map_err(failed)?;
    if replace {
        return file.commit().map_err(failed);
    }
    file.commit_new().map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => SaveError::Exists(out.clone()),
        _ => failed(error),
    })
}
