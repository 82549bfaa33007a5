//! What can go wrong with a folder of faces, each in one line that says how to mend it.

use files::Escape;
use std::path::PathBuf;

/// An error of indexing, reading or loading faces.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data set's root does not exist.
    #[error("no such folder: {}: give the folder that holds one folder per person", .0.escaped())]
    NoFolder(PathBuf),

    /// The data set's root is a file.
    #[error("not a folder: {}: give the folder that holds one folder per person", .0.escaped())]
    NotAFolder(PathBuf),

    /// The root or the cache could not be read.
    #[error("cannot read {}: {source}", path.escaped())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// No file below the root's folders has a known ending.
    #[error(
        "no images in {}: put .png, .jpg, .jpeg, .webp or .bmp files into one folder per person \
         there",
        .0.escaped()
    )]
    NoImages(PathBuf),

    /// Images lie in the root itself, so nobody knows whose they are.
    #[error(
        "{count} images lie directly in {} and none in folders below it: make one folder per \
         person and move each image into its person's folder",
        root.escaped()
    )]
    ImagesInRoot {
        /// The data set's root.
        root: PathBuf,
        /// Images found there.
        count: usize,
    },

    /// There are image files, and not one can be read.
    #[error(
        "none of the {count} images in {} can be read; the first is {first}: replace the files or \
         choose another folder",
        root.escaped()
    )]
    NoneReadable {
        /// The data set's root.
        root: PathBuf,
        /// Files tried.
        count: usize,
        /// First file and its reason.
        first: String,
    },

    /// All readable images show the same person.
    #[error(
        "only one person ({person}) has readable images in {}: pairs need at least two people, \
         one folder each",
        root.escaped()
    )]
    OnePerson {
        /// The data set's root.
        root: PathBuf,
        /// The folder's name.
        person: String,
    },

    /// People cannot be held out of training as asked.
    #[error(
        "cannot hold people out of {root}: {problem}; give more people with several images each, \
         another --validation folder, or validation_people = 0",
        root = .root.escaped()
    )]
    HeldOut {
        /// The data set's root.
        root: PathBuf,
        /// Why not.
        problem: String,
    },

    /// More images than the order of an epoch can number.
    #[error(
        "{count} images in {}: at most {max} are supported; split the data set",
        root.escaped()
    )]
    TooManyImages {
        /// The data set's root.
        root: PathBuf,
        /// Images found.
        count: usize,
        /// The limit.
        max: usize,
    },

    /// Some rank would get no image at all.
    #[error(
        "{images} images cannot be shared among {world_size} ranks: use at most {images} ranks or \
         add images"
    )]
    TooFewImages {
        /// Images in the index.
        images: usize,
        /// Ranks of the run.
        world_size: usize,
    },

    /// An option is out of its range.
    #[error("{key} = {value}: must be {expected}")]
    Option {
        /// Configuration key.
        key: &'static str,
        /// The value given.
        value: String,
        /// The values allowed.
        expected: String,
    },

    /// One image could not be read.
    #[error("cannot read image {}: {reason}", path.escaped())]
    Image {
        /// The image file.
        path: PathBuf,
        /// The decoder's or the system's reason.
        reason: String,
    },

    /// A file could not be opened for lack of something that has nothing to do with it.
    #[error(
        "cannot read {}: {source}: raise the limit of open files (`ulimit -n`), free some memory, \
         or lower `workers`",
        path.escaped()
    )]
    System {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// A decoded cache cannot be used.
    #[error(
        "decoded cache {}: {reason}: make it anew with `faceshield data cache {} --size {size} \
         --out {0}`",
        path.escaped(), root.escaped()
    )]
    DecodedCache {
        /// The cache.
        path: PathBuf,
        /// The data set's root.
        root: PathBuf,
        /// Side of the images wanted, in pixels.
        size: u32,
        /// What is wrong with it.
        reason: String,
    },

    /// A file could not be written.
    #[error("cannot write {}: {source}: check the folder and the space left", path.escaped())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// More images than allowed vanished, changed or turned out unreadable.
    #[error(
        "{bad} of {of} images in {} cannot be used, max_bad_images = {share} allows {allowed}: \
         {examples}: restore or remove them (`faceshield data check` lists unreadable ones) and \
         run again, or allow more with --max-bad-images SHARE",
        root.escaped()
    )]
    TooManyBad {
        /// The data set's root.
        root: PathBuf,
        /// Files found bad by this process, when indexed or since.
        bad: usize,
        /// Files there were when indexed.
        of: usize,
        /// The share of them that may be bad.
        share: f64,
        /// The number that this share is.
        allowed: usize,
        /// The first of them with their reasons, and where the others are listed.
        examples: String,
    },

    /// During training so many images turned out unreadable that no pair is left.
    #[error(
        "no readable pair is left in {}: {bad} images that were readable when indexed now fail, \
         for example {example}: run `faceshield data check` on that folder",
        root.escaped()
    )]
    NothingLeft {
        /// The data set's root.
        root: PathBuf,
        /// Unreadable images met so far.
        bad: usize,
        /// One of them and its reason.
        example: String,
    },

    /// The loader's thread pool could not be started or lost a thread.
    #[error("the loading threads failed: {0}")]
    Workers(String),

    /// libtorch refused to build a tensor.
    #[error("cannot build the image tensor: {0}")]
    Torch(String),
}

/// What stands for a name that is not told.
pub(crate) const UNNAMED: &str = "(a private run names no person and no image)";

impl Error {
    /// The same without names of people and of image files, for the log of a private run.
    #[must_use]
    pub fn unnamed(self) -> Error {
        let name = || UNNAMED.to_owned();
        match self {
            Error::NoneReadable { root, count, .. } => {
                Error::NoneReadable { root, count, first: name() }
            }
            Error::OnePerson { root, .. } => Error::OnePerson { root, person: name() },
            Error::Image { .. } => Error::Image { path: UNNAMED.into(), reason: "bad".into() },
            Error::System { source, .. } => Error::System { path: UNNAMED.into(), source },
            Error::NothingLeft { root, bad, .. } => {
                Error::NothingLeft { root, bad, example: name() }
            }
            other => other,
        }
    }
}

impl From<c10d::Error> for Error {
    fn from(error: c10d::Error) -> Self {
        Error::Torch(error.to_string())
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Error::Torch(one_line(&error.to_string()))
    }
}

/// Messages of other libraries squeezed into one line.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
