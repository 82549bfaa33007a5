//! A folder of synthetic faces: made, and gone on with after an interruption.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::labels::{self, Label};
use crate::{Error, Renderer};

/// Where the settings are written down, in the data set's folder.
const FILE: &str = "synth.json";

/// Rises with every change of the pictures that a seed gives.
const VERSION: u32 = 3;

/// The largest number of people in a population: names sort by number.
const POPULATION: u32 = 100_000;

/// Told how many pictures of how many are done, from several threads.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Which pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many people.
    pub people: u32,
    /// How many pictures of each.
    pub per_person: u32,
    /// Side of the pictures in pixels.
    pub size: u32,
    /// The population.
    pub seed: u64,
    /// The first person's number in the population: people first_person … first_person + people − 1.
    pub first_person: u32,
}

/// The settings with the renderer's version: what must be the same to go on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    renderer: u32,
    #[serde(flatten)]
    settings: Settings,
}

/// What [`write()`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The data set's folder.
    pub out: PathBuf,
    /// How many people are in it.
    pub people: u32,
    /// How many pictures are in it.
    pub images: usize,
    /// How many of these were there already.
    pub kept: usize,
    /// How long it took.
    pub seconds: f64,
    /// Pictures drawn and written in a second.
    pub images_per_second: f64,
}

impl Settings {
    /// # Errors
    /// Names the setting that cannot be.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |name, value, allowed| Err(Error::Setting { name, value, allowed });
        match *self {
            Settings { people: 0, .. } => wrong("people", 0, "1 or more"),
            Settings { per_person: 0, .. } => wrong("per-person", 0, "1 or more"),
            Settings { size, .. } if !(16..=2048).contains(&size) => {
                wrong("size", size.into(), "16 to 2048 pixels")
            }
            Settings { people, first_person, .. } => {
                let end = u64::from(people) + u64::from(first_person);
                if end > u64::from(POPULATION) {
                    return wrong("first-person + people", end, "100000 or less: a population");
                }
                Ok(())
            }
        }
    }

    /// The labels of all pictures, in order of person and photo.
    pub fn labels(&self) -> impl IndexedParallelIterator<Item = Label> + use<> {
        let Settings { people, per_person, size, seed, first_person } = *self;
        let count = people as usize * per_person as usize;
        (0..count).into_par_iter().map(move |i| {
            let (person, photo) = (i / per_person as usize, i % per_person as usize);
            Label::of(seed, first_person + person as u32, photo as u32, size)
        })
    }
}

/// Draws the pictures into the folder `out`, as `person_NNNNN/NNN.png`, with `labels.jsonl` and
/// `synth.json` (the settings).
///
/// A folder that the same settings have begun to fill is gone on with: complete pictures stay as
/// they are, and the result is what an uninterrupted call leaves. Every file appears complete or
/// not at all; `labels.jsonl` comes last.
///
/// # Errors
/// Settings that cannot be, a folder that holds something else, a full disk.
pub fn write(
    out: &Path,
    settings: &Settings,
    progress: Option<Progress<'_>>,
) -> Result<Report, Error> {
    settings.check()?;
    let start = Instant::now();
    claim(out, settings)?;
    for person in settings.first_person..settings.first_person + settings.people {
        let folder = out.join(format!("person_{person:05}"));
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        // A link would lead what is drawn to another place.
        if fs::symlink_metadata(&folder).map_err(Error::io(&folder))?.is_symlink() {
            let found = format!("the link person_{person:05}");
            return Err(Error::Occupied { path: out.into(), found });
        }
    }
    let total = settings.people as usize * settings.per_person as usize;
    let (done, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let draw = |renderer: &mut Renderer, label: Label| -> Result<String, Error> {
        let path = out.join(&label.path);
        if is_complete(&path, settings.size) {
            kept.fetch_add(1, Ordering::Relaxed);
        } else {
            let picture = renderer.render(&label.identity, &label.scene);
            place(&path, &encode(&path, &picture)?, false)?;
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(progress) = progress
            && (done % 16 == 0 || done == total)
        {
            progress(done, total);
        }
        serde_json::to_string(&label)
            .map_err(|error| Error::Encode { path, reason: error.to_string() })
    };
    let lines = settings
        .labels()
        .with_min_len(8)
        .map_init(|| Renderer::new(settings.size), draw)
        .collect::<Result<Vec<_>, _>>()?;
    let mut text = lines.join("\n");
    text.push('\n');
    place(&out.join(labels::FILE), text.as_bytes(), true)?;
    let (kept, seconds) = (kept.into_inner(), start.elapsed().as_secs_f64());
    Ok(Report {
        out: out.into(),
        people: settings.people,
        images: total,
        kept,
        seconds,
        images_per_second: (total - kept) as f64 / seconds,
    })
}

/// Makes sure that `out` is a folder for these settings, and writes them down in it.
fn claim(out: &Path, settings: &Settings) -> Result<(), Error> {
    let stamp = Stamp { renderer: VERSION, settings: *settings };
    fs::create_dir_all(out).map_err(Error::io(out))?;
    let file = out.join(FILE);
    match files::input::read_to_string(&file, LONGEST) {
        Ok(text) => {
            let same = serde_json::from_str::<Stamp>(&text).is_ok_and(|found| found == stamp);
            let found = || text.chars().filter(|c| !c.is_control()).take(200).collect();
            if same {
                Ok(())
            } else {
                Err(Error::OtherSettings { path: out.into(), found: found() })
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if let Some(entry) = fs::read_dir(out).map_err(Error::io(out))?.next() {
                let entry = entry.map_err(Error::io(out))?;
                let found = entry.file_name().to_string_lossy().into_owned();
                // What an interruption just here leaves.
                if found != part(Path::new(FILE)).to_string_lossy() {
                    return Err(Error::Occupied { path: out.into(), found });
                }
            }
            let text = serde_json::to_string(&stamp)
                .map_err(|error| Error::Encode { path: file.clone(), reason: error.to_string() })?;
            place(&file, text.as_bytes(), true)
        }
        Err(error) => Err(Error::io(&file)(error)),
    }
}

/// The picture as the bytes of a PNG file.
///
/// # Errors
/// What the encoder says; `path` only names the picture.
pub fn encode(path: &Path, picture: &RgbImage) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(picture.as_raw().len());
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Up)
        .write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|error| Error::Encode { path: path.into(), reason: error.to_string() })?;
    Ok(bytes)
}

/// Bytes of the settings' file that are read.
const LONGEST: u64 = 64 << 10;

/// The name under which a file grows. It begins with a dot: data sets leave such files out.
fn part(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

/// Writes a file so that under its name it is complete or not there; `safely` also through a
/// failure of power (pictures are checked instead when they are found again).
fn place(path: &Path, bytes: &[u8], safely: bool) -> Result<(), Error> {
    let part = part(path);
    // What an interruption left is removed and not opened: it may be a link by now.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(&part)(error));
        }
        _ => {}
    }
    let mut file = fs::File::create_new(&part).map_err(Error::io(&part))?;
    file.write_all(bytes).map_err(Error::io(&part))?;
    if safely {
        file.sync_all().map_err(Error::io(&part))?;
    }
    fs::rename(&part, path).map_err(Error::io(path))
}

/// Whether a PNG file of that size is there from its first to its last byte.
fn is_complete(path: &Path, size: u32) -> bool {
    const START: [u8; 16] = *b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";
    const END: [u8; 12] = *b"\0\0\0\0IEND\xaeB\x60\x82";
    let look = || -> std::io::Result<bool> {
        let mut file = files::input::open(path)?;
        let (mut start, mut end) = ([0; 24], [0; 12]);
        file.read_exact(&mut start)?;
        file.seek(SeekFrom::End(-12))?;
        file.read_exact(&mut end)?;
        let side = size.to_be_bytes();
        Ok(start[..16] == START && start[16..20] == side && start[20..] == side && end == END)
    };
    look().unwrap_or(false)
}
