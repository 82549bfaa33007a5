//! What a user of `faceshield evaluate` may say, and whether it makes sense together.

use std::path::PathBuf;
use std::str::FromStr;

use super::sample::Wanted;
use crate::commands::photos::LinkArgs;
use crate::commands::protect::Identities;
use crate::failure::misuse;

/// Measure privacy and utility of a model, or of photos protected by anything
///
/// With --checkpoint and --data, the people's photos (aligned face crops, as for training) are
/// painted with other identities, and everything is measured on the results: whether recognisers
/// still know the people, what is left of the pictures, how well the model separates identity
/// from the rest. With --originals and --protected, the same is measured on photos that were
/// protected by any means, but for what needs the model.
///
/// DIR gets report.json (docs/evaluate.md explains its numbers) and report.html.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    faceshield evaluate --checkpoint checkpoints_IRC --data synth/test --train-data synth/train \
    --attacker other=attacker/encoder.safetensors --mechanism independent --mechanism codebook:5 \
    --baselines --sweep --out evaluation\n  \
    faceshield evaluate --originals faces --protected hidden \
    --attacker other=attacker/encoder.safetensors --out evaluation\n  \
    faceshield evaluate --originals holiday --protected protected --find-faces \
    --attacker other=attacker/encoder.safetensors --out evaluation\n\n\
    The same command gives the same report.json. Draws come from --seed: what is painted here is \
    for measuring, not for publishing.")]
pub(crate) struct Args {
    /// The trained model: a stage II checkpoint, or a folder that holds some (the newest is
    /// taken). Its encoder is one of the attackers
    #[arg(long, value_name = "DIR")]
    pub(super) checkpoint: Option<PathBuf>,

    /// Folder that holds one folder per person, faces aligned as for training: people that took
    /// no part in it
    #[arg(long, value_name = "PEOPLE", conflicts_with_all = ["originals", "protected"])]
    pub(super) data: Option<PathBuf>,

    /// Folder of photos as they were: one folder per person, or each photo a person of its own
    #[arg(long, value_name = "DIR", requires = "protected")]
    pub(super) originals: Option<PathBuf>,

    /// Folder of the same photos protected: the same names below it, whatever their endings
    #[arg(long, value_name = "DIR", requires = "originals")]
    pub(super) protected: Option<PathBuf>,

    /// Photos are no aligned crops: the largest face found in each original is cut out of both
    /// photos
    #[arg(long, requires = "originals")]
    pub(super) find_faces: bool,

    /// A recogniser to attack with: an encoder.safetensors that `faceshield train encoder` left
    /// (repeatable); one of other people, another seed and width tells most
    #[arg(long = "attacker", value_name = "NAME=FILE")]
    pub(super) attackers: Vec<Named>,

    /// How the new identity is drawn, and its ε if it is not --epsilon (repeatable)
    #[arg(long = "mechanism", value_name = "NAME[:E]", default_value = "independent")]
    pub(super) mechanisms: Vec<Drawn>,

    /// Privacy budget of mechanisms that name none
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub(super) epsilon: Option<f64>,

    /// Public identities that codebook and independent draw from: a file that `faceshield
    /// prototypes` made, or a number of random ones
    #[arg(long, value_name = "FILE|N", default_value = "1024")]
    pub(super) prototypes: Identities,

    /// Also measure blur, mosaic and dp-pix
    #[arg(long)]
    pub(super) baselines: bool,

    /// Also measure AUC and PSNR over mechanisms and ε, as codebook:1:5:10,cap:10:100
    #[arg(long, value_name = "LIST", num_args = 0..=1, default_missing_value = SWEEP)]
    pub(super) sweep: Option<String>,

    /// Photos of the sweep
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(4..))]
    pub(super) sweep_photos: u32,

    /// Labelled synthetic people to fit readers and probes on; else half of --data
    #[arg(long, value_name = "PEOPLE", requires = "data")]
    pub(super) train_data: Option<PathBuf>,

    /// Photos of --train-data that are used
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(16..))]
    pub(super) train_photos: u32,

    /// Steps of the training of the reader of attributes; fewer read worse
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) reader_steps: u32,

    /// People, drawn at random; all when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    people: Option<u32>,

    /// Photos of each person, drawn at random; all when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    photos_per_person: Option<u32>,

    /// Photos in all, spread over the people
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    limit: Option<u32>,

    /// What everything random is drawn from
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(super) seed: u64,

    /// Draws of the people behind each 95 % interval
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..))]
    pub(super) resamples: u32,

    /// Parts to leave out
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub(super) without: Vec<Part>,

    /// Folder with pnet.pt, rnet.pt and onet.pt; else those that `faceshield protect` fetched
    #[arg(long, value_name = "DIR")]
    pub(super) detector_weights: Option<PathBuf>,

    /// Photos of each protection in which a face is looked for
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..))]
    pub(super) detections: u32,

    /// Faces at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) batch: u32,

    /// cpu, cuda, cuda:N or auto
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(super) device: String,

    #[command(flatten)]
    pub(super) links: LinkArgs,

    /// Folder of the report
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// What is swept when nobody says what.
const SWEEP: &str = "independent,codebook:2:5:8:12,cap:3:10:30:100,purkayastha:30:100:300:1000,\
                     angular:1:10:30:100";

/// What may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    /// Whether a face is found, and its landmarks
    Detection,
    /// Pose, light and expression read from pictures
    Attributes,
    /// How well the model separates: independence, retention, probes
    Separation,
}

/// `NAME=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) file: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, file)) if !name.is_empty() && !file.is_empty() => {
                Ok(Self { name: name.to_owned(), file: file.into() })
            }
            _ => Err("write NAME=FILE, as other=attacker/encoder.safetensors".to_owned()),
        }
    }
}

/// A mechanism and its ε, if it has one of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drawn {
    pub(super) kind: dpp::Kind,
    pub(super) epsilon: Option<f64>,
}

impl FromStr for Drawn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = points(text)?;
        match all[..] {
            [one] => Ok(one),
            _ => Err("give one ε, as codebook:5, and the option once more for another".to_owned()),
        }
    }
}

/// `NAME`, or `NAME:E` with any number of ε.
fn points(text: &str) -> Result<Vec<Drawn>, String> {
    let mut parts = text.split(':');
    let kind: dpp::Kind =
        parts.next().unwrap_or_default().parse().map_err(|error: dpp::Error| error.to_string())?;
    let epsilon = |text: &str| -> Result<Drawn, String> {
        let epsilon = text.parse().map_err(|_| format!("{kind}:{text}: ε must be a number"))?;
        Ok(Drawn { kind, epsilon: Some(epsilon) })
    };
    let all = parts.map(epsilon).collect::<Result<Vec<_>, _>>()?;
    Ok(if all.is_empty() { vec![Drawn { kind, epsilon: None }] } else { all })
}

impl Drawn {
    /// Its ε, or `other`.
    ///
    /// # Errors
    ///
    /// Misuse: neither, and the mechanism needs one.
    pub(super) fn epsilon(&self, other: Option<f64>) -> anyhow::Result<f64> {
        match (self.kind, self.epsilon.or(other)) {
            // Its ε is 0 whatever is asked for.
            (dpp::Kind::Independent, _) => Ok(0.0),
            (_, Some(epsilon)) => Ok(epsilon),
            (kind, None) => Err(misuse(format!(
                "--mechanism {kind} needs an ε, as --mechanism {kind}:5 (docs/privacy.md says \
                 what it means)"
            ))),
        }
    }
}

impl Args {
    /// # Errors
    ///
    /// Misuse: options that contradict each other, or too few of them.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.data.is_none() && self.originals.is_none() {
            return Err(misuse(
                "nothing to measure: give --checkpoint DIR and --data PEOPLE, or --originals DIR \
                 and --protected DIR",
            ));
        }
        if self.data.is_some() && self.checkpoint.is_none() && !self.baselines {
            return Err(misuse(
                "--data needs something that protects: give --checkpoint DIR, --baselines or both",
            ));
        }
        let mut names = vec![super::ENCODER];
        for attacker in &self.attackers {
            if names.contains(&attacker.name.as_str()) {
                return Err(misuse(format!(
                    "--attacker {}: the name is taken; call each attacker something else than \
                     the others and `{}`, which is the model's own",
                    attacker.name,
                    super::ENCODER
                )));
            }
            names.push(&attacker.name);
        }
        for drawn in self.mechanisms.iter().filter(|_| self.checkpoint.is_some()) {
            drawn.epsilon(self.epsilon)?;
        }
        self.swept()?;
        Ok(())
    }

    pub(super) fn wanted(&self) -> Wanted {
        let number = |n: u32| n as usize;
        Wanted {
            people: self.people.map(number),
            per_person: self.photos_per_person.map(number),
            limit: self.limit.map(number),
            seed: self.seed,
        }
    }

    /// The points of the sweep.
    ///
    /// # Errors
    ///
    /// Misuse: no mechanism of that name, an ε that is missing or no number.
    pub(super) fn swept(&self) -> anyhow::Result<Vec<(dpp::Kind, f64)>> {
        let list = self.sweep.as_deref().unwrap_or_default();
        let mut all = Vec::new();
        for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            for drawn in points(part).map_err(|error| misuse(format!("--sweep {error}")))? {
                all.push((drawn.kind, drawn.epsilon(self.epsilon)?));
            }
        }
        Ok(all)
    }

    /// Whether this part is wanted. What separates is judged on aligned crops alone.
    pub(super) fn measures(&self, part: Part) -> bool {
        let there = part != Part::Separation || self.data.is_some();
        there && !self.without.contains(&part)
    }
}
