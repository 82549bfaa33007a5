//! Everything a run can be told, as one flat set of keys per stage, and how presets,
//! files, `--set` and flags become it.

mod recogniser;

use std::path::{Path, PathBuf};

use encoder::{Fidelity, ModelConfig, StatsMeaning};
use fse::FseConfig;
use irc::IrcConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use train::config::Layers;

use crate::failure::misuse;

pub(crate) use recogniser::RecogniserOptions;

/// Keys whose values are paths, or lists of paths: they are left out of what is given away.
pub(crate) const PATHS: [&str; 10] = [
    "data",
    "decoded_cache",
    "encoder_weights",
    "stats_file",
    "fse_checkpoint",
    "iid_weights",
    "adversary",
    "judges",
    "attackers",
    "validation_data",
];

/// The keys that all stages have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Common {
    #[serde(flatten)]
    pub(crate) engine: train::Config,
    #[serde(flatten)]
    pub(crate) model: ModelConfig,
    #[serde(flatten)]
    pub(crate) data: DataOptions,
    #[serde(flatten)]
    pub(crate) encoder: EncoderOptions,
}

/// Where the faces are and how they are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DataOptions {
    /// Folder that holds one folder per person.
    pub(crate) data: String,
    /// Follow symbolic links below it, also out of it; else they are skipped.
    pub(crate) follow_links: bool,
    /// Order of the colour channels that the networks see.
    pub(crate) channels: Channels,
    /// Mirror each image with probability ½.
    pub(crate) flip: bool,
    /// Threads that decode images; 0 takes half of the cores.
    pub(crate) workers: usize,
    /// Batches decoded ahead.
    pub(crate) prefetch: usize,
    /// Decoded cache to read the images from (`faceshield data cache`); empty: their files.
    pub(crate) decoded_cache: String,
    /// Keep decoded images in each rank's memory if all of them fit into so many MB (10⁶
    /// bytes); 0 never does.
    pub(crate) keep_decoded_mb: usize,
    /// Share of the image files, 0 to 1, that may be bad before the run stops: unreadable, or
    /// vanished or changed since they were indexed. One may always be, unless this is 0.
    pub(crate) max_bad_images: f64,
}

impl Default for DataOptions {
    fn default() -> Self {
        let loader = faces::PairConfig::default();
        Self {
            data: String::new(),
            follow_links: true,
            channels: Channels::Rgb,
            flip: loader.flip,
            workers: loader.workers,
            prefetch: loader.prefetch,
            decoded_cache: String::new(),
            keep_decoded_mb: 256,
            max_bad_images: 0.01,
        }
    }
}

/// Order of the colour channels; part of a weight file's contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channels {
    /// As images are stored.
    #[default]
    Rgb,
    /// As the published weights expect them.
    Bgr,
}

impl Channels {
    /// As text in a weight file's header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        }
    }
}

/// The identity encoder and its statistics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EncoderOptions {
    /// The identity encoder: a weight file, a checkpoint of `train encoder` or the folder that
    /// holds them, or `random`; empty: the newest in `checkpoints_ENCODER`, or random. What
    /// `train encoder` starts from; empty: random.
    pub(crate) encoder_weights: String,
    /// Layer statistics; empty: computed from the data and cached.
    pub(crate) stats_file: String,
    /// What the `s` of a published statistics file means.
    pub(crate) stats_are: StatsMeaning,
}

/// The keys of stage I.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FseOptions {
    #[serde(flatten)]
    pub(crate) common: Common,
    #[serde(flatten)]
    pub(crate) stage: FseConfig,
}

/// The keys of stage II.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct IrcOptions {
    #[serde(flatten)]
    pub(crate) common: Common,
    #[serde(flatten)]
    pub(crate) stage: IrcConfig,
    /// Stage I's result: a checkpoint folder or the folder that holds them; empty: the
    /// newest in `checkpoints_FSE`.
    pub(crate) fse_checkpoint: String,
    /// Recognisers beside the encoder that must not know a face again: files that
    /// `train encoder` left (`encoder.safetensors`), of the same image_size and any width.
    pub(crate) judges: Vec<String>,
    /// A recogniser, as one of `judges`, that goes on learning while the generator does, to know
    /// people in the faces painted of them; empty: none.
    pub(crate) adversary: String,
    /// Folder of other people to validate on; empty: no validation.
    pub(crate) validation_data: String,
    /// Most images that are validated on.
    pub(crate) validation_images: usize,
    /// Recognisers that validation tries the painted faces with, and training does not see: files
    /// that `train encoder` left, as `judges`. None: the encoder.
    pub(crate) attackers: Vec<String>,
    /// Share of the pairs whose target is the source itself; published fidelity has none.
    pub(crate) same_share: f64,
    /// Share of the pairs whose target is another photo of the source's person; published
    /// fidelity has none.
    pub(crate) own_share: f64,
}

impl Default for IrcOptions {
    fn default() -> Self {
        Self {
            common: Common::default(),
            stage: IrcConfig::default(),
            fse_checkpoint: String::new(),
            judges: Vec::new(),
            adversary: String::new(),
            validation_data: String::new(),
            validation_images: 240,
            attackers: Vec::new(),
            same_share: 0.05,
            own_share: 0.3,
        }
    }
}

/// Where configuration comes from, on the command line of every command that trains.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Sources {
    /// Settings to start from: demo, small or published, which are part of the program (built from
    /// launch/presets), or a file whose name ends with .toml
    #[arg(long, value_name = "NAME|FILE.toml", overrides_with = "preset")]
    pub(crate) preset: Option<String>,

    /// More settings, over the preset
    #[arg(long, value_name = "FILE.toml", overrides_with = "config")]
    pub(crate) config: Option<PathBuf>,

    /// One setting, over the files; `encoder.KEY`, `fse.KEY` or `irc.KEY` for one stage only
    /// (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Folder that holds one folder per person
    #[arg(long, value_name = "ROOT", overrides_with = "data")]
    pub(crate) data: Option<PathBuf>,
}

impl Sources {
    /// The stack of layers that these sources make.
    ///
    /// # Errors
    ///
    /// Misuse: no such preset, a file that cannot be read, a setting without `=`.
    pub(crate) fn layers(&self) -> anyhow::Result<Layers> {
        let wrong = |error: train::Error| misuse(error.to_string());
        let mut layers = Layers::new();
        layers.declare::<RecogniserOptions>(encoder::pretraining::STAGE).map_err(wrong)?;
        layers.declare::<FseOptions>("fse").map_err(wrong)?;
        layers.declare::<IrcOptions>("irc").map_err(wrong)?;
        if let Some(name) = &self.preset {
            crate::places::add_preset(&mut layers, name)?;
        }
        if let Some(path) = &self.config {
            layers.file(path).map_err(wrong)?;
        }
        for setting in &self.set {
            layers.set(setting).map_err(wrong)?;
        }
        if let Some(root) = &self.data {
            let root = root.to_str().ok_or_else(|| misuse("--data must be UTF-8"))?;
            layers.flag("--data", "data", root);
        }
        Ok(layers)
    }

    /// What runs are called when nobody names them: after their preset or file.
    pub(crate) fn run_name(&self) -> String {
        let file = self.config.as_deref().or(self.preset.as_deref().map(Path::new));
        let stem = file.and_then(Path::file_stem).and_then(|stem| stem.to_str());
        stem.unwrap_or("default").to_owned()
    }
}

/// The options of one stage, checked.
///
/// # Errors
///
/// Misuse: unknown keys, wrong types, values out of range, each with its place.
pub(crate) fn resolve<T>(layers: &Layers, stage: &str) -> anyhow::Result<T>
where
    T: Default + Serialize + DeserializeOwned + Options,
{
    let wrong = |error: train::Error| misuse(error.to_string());
    let asked: T = layers.resolve(stage).map_err(wrong)?;
    let base = T::of(asked.common().model.fidelity);
    let options: T = layers.resolve_over(stage, &base).map_err(wrong)?;
    options.common().validate()?;
    options.validate_stage()?;
    Ok(options)
}

/// What the options of all stages offer.
pub(crate) trait Options: Serialize {
    /// What a fidelity starts from, before anything is asked for.
    fn of(fidelity: Fidelity) -> Self;

    fn common(&self) -> &Common;

    /// # Errors
    ///
    /// Misuse: one of the stage's own values is out of range.
    fn validate_stage(&self) -> anyhow::Result<()>;

    /// As written to `config.toml`.
    ///
    /// # Errors
    ///
    /// Values that TOML cannot hold.
    fn table(&self) -> anyhow::Result<toml::Table> {
        Ok(toml::Table::try_from(self)?)
    }
}

impl Options for FseOptions {
    fn of(fidelity: Fidelity) -> Self {
        Self { stage: FseConfig::of(fidelity), ..Self::default() }
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn validate_stage(&self) -> anyhow::Result<()> {
        let (fidelity, discriminants) = (self.common.model.fidelity, self.stage.discriminants);
        if fidelity == Fidelity::Published && discriminants > 0 {
            return Err(misuse(format!(
                "configuration of fse: discriminants = {discriminants}: the published method has \
                 none; set it to 0 or fidelity to corrected"
            )));
        }
        self.stage.validate().map_err(|error| misuse(format!("configuration of fse: {error}")))
    }
}

impl Options for IrcOptions {
    fn of(fidelity: Fidelity) -> Self {
        let shares = match fidelity {
            Fidelity::Corrected => Self::default(),
            Fidelity::Published => Self { same_share: 0.0, own_share: 0.0, ..Self::default() },
        };
        Self { stage: IrcConfig::of(fidelity), ..shares }
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn validate_stage(&self) -> anyhow::Result<()> {
        for (key, share) in [("same_share", self.same_share), ("own_share", self.own_share)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(misuse(format!("{key} = {share}: a share lies between 0 and 1")));
            }
        }
        if self.validation_images < 4 {
            return Err(misuse(format!(
                "configuration of irc: validation_images = {}: give at least 4, two of each of \
                 two people",
                self.validation_images
            )));
        }
        let sum = self.same_share + self.own_share;
        if sum > 1.0 {
            return Err(misuse(format!("same_share + own_share = {sum}: at most 1 together")));
        }
        self.stage.validate().map_err(|error| misuse(format!("configuration of irc: {error}")))
    }
}

impl Common {
    fn validate(&self) -> anyhow::Result<()> {
        self.engine.validate().map_err(|error| misuse(error.to_string()))?;
        self.model.validate().map_err(|error| misuse(format!("configuration: {error}")))?;
        if self.data.prefetch == 0 {
            return Err(misuse("configuration: prefetch must be at least 1"));
        }
        let share = self.data.max_bad_images;
        if !(0.0..=1.0).contains(&share) {
            return Err(misuse(format!("max_bad_images = {share}: a share lies between 0 and 1")));
        }
        Ok(())
    }

    /// The folder of faces.
    ///
    /// # Errors
    ///
    /// None was given, or there is no such folder.
    pub(crate) fn data_root(&self) -> anyhow::Result<PathBuf> {
        if self.data.data.is_empty() {
            return Err(misuse(
                "no data: give --data ROOT, a folder with one folder of images per person \
                 (`faceshield data demo` fetches one)",
            ));
        }
        folder_of_faces(&self.data.data)
    }

    /// What is done with symbolic links in folders of faces.
    pub(crate) fn links(&self) -> faces::Links {
        if self.data.follow_links { faces::Links::Follow } else { faces::Links::Skip }
    }

    /// What the loader of single images is told.
    pub(crate) fn face_loader(&self) -> faces::FaceConfig {
        faces::FaceConfig {
            batch_size: self.engine.batch_size,
            seed: self.engine.seed,
            bgr: self.data.channels == Channels::Bgr,
            flip: self.data.flip,
            workers: self.data.workers,
            prefetch: self.data.prefetch,
        }
    }

    /// What the loader of pairs is told; the shares of pairs of one image and of one person are the
    /// stage's.
    pub(crate) fn loader(&self, [same_share, own_share]: [f64; 2]) -> faces::PairConfig {
        faces::PairConfig {
            batch_size: self.engine.batch_size,
            seed: self.engine.seed,
            same_share,
            own_share,
            bgr: self.data.channels == Channels::Bgr,
            flip: self.data.flip,
            drop_last: false,
            workers: self.data.workers,
            prefetch: self.data.prefetch,
        }
    }
}

/// A folder that holds one folder per person.
///
/// # Errors
///
/// There is no such folder.
pub(crate) fn folder_of_faces(path: &str) -> anyhow::Result<PathBuf> {
    let root = PathBuf::from(path);
    if !root.is_dir() {
        anyhow::bail!(
            "no such folder of faces: {} (`faceshield data demo --out {0}` fetches the demo \
             faces)",
            root.display()
        );
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use toml::Value;

    /// A new key that is empty, or a list of such, is a path until told otherwise.
    #[test]
    fn every_path_is_known_as_one() {
        let tables = [
            RecogniserOptions::default().table().unwrap(),
            FseOptions::default().table().unwrap(),
            IrcOptions::default().table().unwrap(),
        ];
        let mut found: Vec<String> = Vec::new();
        for (key, value) in tables.into_iter().flatten() {
            let open = match value {
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.iter().all(Value::is_str),
                _ => false,
            };
            if open {
                found.push(key);
            }
        }
        found.sort();
        found.dedup();
        let mut known = PATHS;
        known.sort_unstable();
        assert_eq!(found, known);
    }
}
