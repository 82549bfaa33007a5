//! What a user of `faceshield protect` may say, and what follows from it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use align::blend;
use align::obscure::{Obscure, dp};

use super::photo::Method;
use super::repaint::{Choice, Repainter};
use crate::commands::align::DetectorArgs;
use crate::commands::photos::LinkArgs;
use crate::failure::misuse;

/// How faces are made unrecognisable
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Painted anew by the trained model, with another identity
    Faceshield,
    /// Gaussian blur: recognisers read through it
    Blur,
    /// Squares of one colour: recognisers read through them
    Mosaic,
    /// One grey area
    Solid,
    /// Squares with noise: differentially private pixels (Fan 2018)
    DpPix,
    /// The same, blurred (Fan 2019)
    DpBlur,
}

/// How a painted face is set into its photo
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Blend {
    /// Its gradients inside, the photo's colours along the edge
    Poisson,
    /// Coarse and fine detail faded over separately
    Laplacian,
}

/// In which format results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The original's; PNG where that is not written
    Same,
    /// Lossless
    Png,
    /// At the original's quality, or 95
    Jpeg,
    /// Lossless
    Webp,
}

/// Where public identities come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identities {
    /// So many random directions.
    Random(usize),
    /// Those of a file.
    File(PathBuf),
}

impl FromStr for Identities {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Random))
    }
}

/// Protect the faces in photos
///
/// Every face that is found is replaced, in files, folders (mirrored below --out) and quoted
/// patterns. Results carry no metadata of their originals. A photo in which no face is found
/// is not written: it may hold one that was missed. Photos that are done already are skipped,
/// so that a run that was interrupted goes on.
///
/// DIR also gets report.json (what was done to each face, and what that guarantees),
/// contact_sheet.png (the new faces, to look over) and ledger.jsonl (what was released).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    faceshield protect holiday/ --out protected --checkpoint checkpoints_IRC --epsilon 5\n  \
    faceshield protect photo.jpg --out protected --mechanism independent\n  \
    faceshield protect 'scans/*.png' --out covered --method solid\n\n\
    What the ε of each mechanism means: docs/privacy.md.\n\
    Exit codes: 0 every photo was protected, 1 some were not, 2 misused.")]
pub(crate) struct Args {
    /// Photos, folders of photos, or quoted patterns
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<PathBuf>,

    /// Folder of the results
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,

    /// How faces are made unrecognisable
    #[arg(long, value_enum, default_value_t = Name::Faceshield)]
    method: Name,

    /// The trained model: a stage II checkpoint, or a folder that holds some (the newest is
    /// taken)
    #[arg(long, value_name = "DIR", default_value = "checkpoints_IRC")]
    checkpoint: PathBuf,

    /// How the new identity is drawn: codebook, cap, purkayastha, vmf, independent, or angular
    /// (published; a heuristic)
    #[arg(long, value_name = "NAME", default_value = "codebook")]
    mechanism: dpp::Kind,

    /// Privacy budget of each face: the smaller, the less of its identity is kept
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    epsilon: Option<f64>,

    /// Public identities that codebook and independent draw from: a file that `faceshield
    /// prototypes` made, or a number of random ones
    #[arg(long, value_name = "FILE|N", default_value = "1024")]
    prototypes: Identities,

    /// Draw from this seed instead of the operating system: repeatable, and no privacy
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Protect the largest face of each photo only
    #[arg(long)]
    pub(super) largest: bool,

    #[command(flatten)]
    pub(super) detector: DetectorArgs,

    #[command(flatten)]
    pub(super) links: LinkArgs,

    /// Write photos without a face as they are, and say so
    #[arg(long)]
    pub(super) allow_unprotected: bool,

    /// Keep colour profile and resolution (a profile measured for one device points to it)
    #[arg(long)]
    pub(super) keep_metadata: bool,

    /// Format of the results
    #[arg(long, value_enum, default_value_t = Format::Same)]
    format: Format,

    /// How a painted face is set into its photo
    #[arg(long, value_enum, default_value_t = Blend::Poisson)]
    blend: Blend,

    /// Squares across a face, of mosaic and dp-pix; blurs spread over as much
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    squares: u32,

    /// dp-pix, dp-blur: pixels in which two photos may differ and yet look alike
    #[arg(long, value_name = "M", default_value_t = 16)]
    pixels: u32,

    /// Faces that the model paints at a time
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,

    /// Refuse photos of more pixels than this; one takes about 7 bytes a pixel
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    pub(super) max_pixels: u64,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Faceshield => "faceshield",
            Self::Blur => "blur",
            Self::Mosaic => "mosaic",
            Self::Solid => "solid",
            Self::DpPix => "dp-pix",
            Self::DpBlur => "dp-blur",
        })
    }
}

impl Args {
    /// The method's name.
    pub(super) fn name(&self) -> String {
        self.method.to_string()
    }

    /// The method that was asked for, its model loaded.
    ///
    /// # Errors
    ///
    /// Misuse: an ε that is missing or out of range. No checkpoint, a damaged one.
    pub(super) fn method(&self) -> anyhow::Result<Method> {
        if self.method == Name::Faceshield {
            let choice = Choice {
                checkpoint: &self.checkpoint,
                mechanism: self.mechanism,
                epsilon: self.epsilon,
                identities: &self.prototypes,
                batch: self.batch as usize,
                blend: match self.blend {
                    Blend::Poisson => blend::Method::Poisson,
                    Blend::Laplacian => blend::Method::Laplacian,
                },
            };
            let repainter = Repainter::load(&choice, self.detector.device()?)?;
            return Ok(Method::Repaint(Box::new(repainter)));
        }
        let epsilon = match (self.method, self.epsilon) {
            (Name::DpPix | Name::DpBlur, None) => {
                let method = self.method;
                return Err(misuse(format!("--method {method} needs --epsilon E, as --epsilon 1")));
            }
            (_, epsilon) => epsilon.unwrap_or_default(),
        };
        let (method, squares, m) = (self.method, self.squares, self.pixels);
        let cover = move |width: u32| {
            let cell = (width / squares).max(1);
            let sigma = cell as f32;
            let private = dp::Private { cell, m, epsilon };
            match method {
                Name::Blur => Obscure::Blur { sigma },
                Name::Mosaic => Obscure::Mosaic { cell },
                Name::DpPix => Obscure::DpPix(private),
                Name::DpBlur => Obscure::DpBlur { private, sigma },
                Name::Solid | Name::Faceshield => Obscure::Solid { colour: [128; 3] },
            }
        };
        cover(squares).check().map_err(|error| misuse(error.to_string()))?;
        Ok(Method::Cover(Box::new(cover)))
    }

    /// Where a draw's random numbers for `photo` come from. By a seed they depend on the
    /// photo's pixels too, not on the photos before it: whatever is protected together with it,
    /// in one go or in two, it comes out the same.
    pub(super) fn randomness(&self, photo: &faces::RgbImage) -> dpp::Randomness {
        use sha2::{Digest, Sha256};
        let Some(seed) = self.seed else { return dpp::Randomness::system() };
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(photo.as_raw());
        let sum: [u8; 32] = hash.finalize().into();
        let mut first = [0; 8];
        first.copy_from_slice(&sum[..8]);
        dpp::Randomness::seeded(u64::from_le_bytes(first))
    }

    /// The mechanism's name, and every sentence that a report must say.
    pub(super) fn claims(&self, method: &Method) -> (Option<String>, Vec<String>) {
        let (name, claim, random) = match method {
            Method::Repaint(repainter) => {
                let mechanism = repainter.mechanism();
                (Some(mechanism.name()), mechanism.claim(), true)
            }
            Method::Cover(cover) => {
                let obscure = cover(self.squares);
                (None, obscure.claim(), obscure.is_random())
            }
        };
        let seeded = self.seed.is_some() && random;
        let mut claims = vec![if seeded { dpp::Origin::SEED_CLAIM.to_owned() } else { claim }];
        if name.is_some() {
            claims.push(dpp::IMAGE_CLAIM.to_owned());
        }
        (name, claims)
    }

    /// Everything that decides what becomes of a photo, as text: results by other settings are
    /// other results.
    pub(super) fn settings(&self, method: &Method) -> String {
        let model = match method {
            Method::Repaint(repainter) => repainter.stamp.as_str(),
            Method::Cover(_) => "",
        };
        format!(
            "{:?}",
            (
                (self.name(), model, self.mechanism, self.epsilon, &self.prototypes, self.seed),
                (self.largest, &self.detector, self.allow_unprotected, self.keep_metadata),
                (self.format, self.blend, self.squares, self.pixels),
            )
        )
    }

    /// The ending of the result of `photo`.
    pub(super) fn ending(&self, photo: &Path) -> &'static str {
        let own = photo.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match (self.format, own.as_deref()) {
            (Format::Jpeg, _) | (Format::Same, Some("jpg" | "jpeg")) => "jpg",
            (Format::Webp, _) | (Format::Same, Some("webp")) => "webp",
            _ => "png",
        }
    }
}
