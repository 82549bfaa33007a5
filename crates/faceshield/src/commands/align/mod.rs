//! `faceshield align`: faces out of photos.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use align::{Cut, Detector, DetectorConfig, Face};
use anyhow::Context;
use files::{Escape, Folder};
use serde::Serialize;

use crate::commands::data::bar;
use crate::commands::photos::{self, LinkArgs, Names};
use crate::failure::{misuse, one_line};
use crate::output;

/// Find and cut faces out of photos
///
/// Each face becomes an upright square DIR/PHOTO_N.png, N counting a photo's faces from left
/// to right; folders are mirrored, photos of the same name become PHOTO, PHOTO_2 and so on. A photo without a face
/// is no error; one that cannot be read is, and the others are done all the same.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  faceshield align holiday/ portrait.jpg --out faces --json")]
pub(crate) struct Args {
    /// Photos, folders of photos, or quoted patterns
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Where the faces go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Side of a crop in pixels
    #[arg(long, value_name = "S", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: u32,

    #[command(flatten)]
    detector: DetectorArgs,

    #[command(flatten)]
    links: LinkArgs,

    /// Print one JSON object: per photo its faces with crop, box, landmarks, transform, score
    #[arg(long)]
    json: bool,
}

/// How faces are found.
#[derive(Debug, clap::Args)]
pub(crate) struct DetectorArgs {
    /// Side of the smallest face looked for, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = DetectorConfig::default().min_face)]
    min_face: f64,

    /// Smallest score of a face, 0 to 1; lower finds more, among it things that are no faces
    #[arg(long, value_name = "SCORE", default_value_t = DetectorConfig::default().threshold)]
    threshold: f64,

    /// Folder with pnet.pt, rnet.pt and onet.pt; fetched with pip once when not given
    #[arg(long, value_name = "DIR")]
    detector_weights: Option<PathBuf>,

    /// cpu, cuda, cuda:N or auto
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
}

impl DetectorArgs {
    /// Where to compute.
    pub(crate) fn device(&self) -> anyhow::Result<tch::Device> {
        device(&self.device)
    }

    /// The detector, its weights fetched if need be.
    pub(crate) fn load(&self) -> anyhow::Result<Detector> {
        let device = self.device()?;
        let config = DetectorConfig { min_face: self.min_face, threshold: self.threshold };
        let weights = match &self.detector_weights {
            Some(folder) => folder.clone(),
            None => {
                let say = |text: &str| tracing::info!("{text}");
                align::fetch_weights(&crate::places::cache_dir(), &say).map_err(|error| {
                    anyhow::anyhow!(
                        "{error}; or put pnet.pt, rnet.pt and onet.pt of facenet-pytorch 2.6.0 \
                         into a folder and give --detector-weights DIR"
                    )
                })?
            }
        };
        Detector::load(&weights, config, device).map_err(|error| match error {
            align::Error::Option { .. } => misuse(error.to_string()),
            other => other.into(),
        })
    }
}

/// The device that `name` means, and the switches that training sets: repeatable, and no TF32,
/// which libtorch's convolutions on CUDA otherwise round to.
pub(crate) fn device(name: &str) -> anyhow::Result<tch::Device> {
    let engine = train::Config { device: name.to_owned(), ..train::Config::default() };
    engine.apply()?;
    engine.device(0).map_err(|error| misuse(error.to_string()))
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "crate::output::path")]
    out: PathBuf,
    size: u32,
    photos: Vec<Photo>,
    faces: usize,
    failed: usize,
}

#[derive(Serialize)]
struct Photo {
    #[serde(serialize_with = "crate::output::path")]
    photo: PathBuf,
    /// Width and height in pixels, upright.
    dimensions: Option<(u32, u32)>,
    faces: Vec<Found>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Found {
    /// The crop's file below `out`.
    #[serde(serialize_with = "crate::output::path")]
    crop: PathBuf,
    #[serde(flatten)]
    face: Face,
    /// The photo's pixels to the crop's: two rows of three, applied to (x, y, 1).
    transform: [[f64; 3]; 2],
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let photos = photos::list(&args.inputs, &args.out, args.links.links())?;
    let detector = args.detector.load()?;
    let out = Folder::create(&args.out)
        .with_context(|| format!("cannot make the folder {}", args.out.escaped()))?;
    let mut report =
        Report { out: args.out.clone(), size: args.size, photos: Vec::new(), faces: 0, failed: 0 };
    let progress = bar("aligning");
    progress.set_length(photos.len() as u64);
    let mut names = Names::default();
    for photo in photos {
        let name = names.free(&photo.relative.with_extension(""));
        let photo = one(&detector, photo.path, &name, &out, args.size);
        progress.suspend(|| tell(&photo));
        progress.inc(1);
        report.faces += photo.faces.len();
        report.failed += usize::from(photo.error.is_some());
        report.photos.push(photo);
    }
    progress.finish_and_clear();
    let (photos, failed) = (report.photos.len(), report.failed);
    if args.json {
        output::json(&report)?;
    } else {
        output::line(format_args!(
            "{}: {} faces out of {photos} photos",
            args.out.escaped(),
            report.faces
        ))?;
    }
    if failed > 0 {
        anyhow::bail!("{failed} of {photos} photos failed, see above: replace or leave them out");
    }
    Ok(())
}

/// One photo's faces, or why not: the other photos go on.
fn one(detector: &Detector, path: PathBuf, name: &Path, out: &Folder, size: u32) -> Photo {
    let mut photo = Photo { photo: path, dimensions: None, faces: Vec::new(), error: None };
    if let Err(error) = fill(detector, name, out, size, &mut photo) {
        photo.error = Some(one_line(error.chain()));
    }
    photo
}

fn fill(
    detector: &Detector,
    name: &Path,
    out: &Folder,
    size: u32,
    photo: &mut Photo,
) -> anyhow::Result<()> {
    let image = faces::read_photo(&photo.photo)?;
    photo.dimensions = Some(image.dimensions());
    let at = || photo.photo.escaped().to_string();
    for (k, face) in detector.detect(&image).with_context(at)?.into_iter().enumerate() {
        let Cut { crop, transform } = align::cut(&image, &face, size).with_context(at)?;
        let mut file = name.as_os_str().to_os_string();
        file.push(format!("_{k}.png"));
        save(&crop, out, Path::new(&file))?;
        let [o, x, y] = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]].map(|p| transform.apply(p));
        let transform = [0, 1].map(|k| [x[k] - o[k], y[k] - o[k], o[k]]);
        photo.faces.push(Found { crop: file.into(), face, transform });
    }
    Ok(())
}

/// Writes a PNG file whole or not at all, which only its owner may read. No link below `out` is
/// followed, whoever put it there.
fn save(image: &faces::RgbImage, out: &Folder, file: &Path) -> anyhow::Result<()> {
    let failed = || {
        let path = out.path().join(file);
        format!("cannot write {}: check the folder and the space left", path.escaped())
    };
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).with_context(failed)?;
    out.make(file.parent().unwrap_or(Path::new(""))).with_context(failed)?;
    out.write(file, png.get_ref()).with_context(failed)
}

/// A line per photo as it is done.
fn tell(photo: &Photo) {
    let path = photo.photo.escaped();
    match &photo.error {
        Some(error) => tracing::error!("{error}"),
        None if photo.faces.is_empty() => tracing::warn!("{path}: no face found"),
        None => tracing::info!("{path}: {} faces", photo.faces.len()),
    }
}
