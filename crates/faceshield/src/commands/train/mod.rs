//! `faceshield train`: the recogniser; statistics, stage I, stage II.

mod report;
mod stages;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use c10d::World;
use encoder::pretraining::STAGE;
use files::Folder;
use train::{Places, Resume};

use crate::failure::misuse;
use crate::options::{
    Common, FseOptions, IrcOptions, Options, PATHS, RecogniserOptions, Sources, resolve,
};
use crate::output;
use crate::training::Setting;
use crate::training::data::DataSet;

/// What every kind of training says below its options.
macro_rules! help {
    ($examples:literal) => {
        concat!(
            $examples,
            "\n\nSignals, noted at once and followed by all ranks after the step they are in:\n  \
             SIGTERM, SIGINT  stop with a checkpoint; a second SIGINT ends the process at once\n  \
             SIGUSR1          save a checkpoint and go on\n\n\
             Exit codes:\n  \
             0   done: every epoch, or --max-steps\n  \
             1   failed\n  \
             2   misused\n  \
             75  stopped by a signal or --max-hours, with a checkpoint: run the same command to go on"
        )
    };
}

/// Train the recogniser, stage I, stage II, or both stages
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Train the recogniser, the identity encoder that both stages stand on
    ///
    /// IR-SE-50 with an ArcFace or CosFace margin, on a folder of people, validated on people
    /// held out of it. The newest checkpoint is what stages I and II use unless encoder_weights
    /// says otherwise; at the end the encoder is also written to encoder.safetensors in the
    /// folder of checkpoints.
    #[command(after_help = help!(
        "Examples:\n  \
        faceshield train encoder --preset demo --data people\n  \
        faceshield train encoder --preset published --data /data/people \
        --validation /data/others --set encoder.margin=cosface --set precision=bfloat16"
    ))]
    Encoder(Validated),
    /// Train stage I, the feature separation extractor
    #[command(after_help = help!(
        "Example:\n  faceshield train fse --preset demo --data datasets/demo"
    ))]
    Fse(Args),
    /// Train stage II, the image re-constructor, on stage I's newest checkpoint
    #[command(after_help = help!(
        "Example:\n  faceshield train irc --preset demo --data datasets/demo"
    ))]
    Irc(Validated),
    /// Layer statistics, stage I, then stage II
    #[command(after_help = help!(
        "Examples:\n  \
        faceshield train all --preset demo --data datasets/demo\n  \
        faceshield train all --preset published --data /data/faces \
        --set encoder_weights=encoder.safetensors --set irc.batch_size=2 --dry-run"
    ))]
    All(Validated),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Validated {
    #[command(flatten)]
    args: Args,

    /// Folder of other people to validate the recogniser or stage II on; without it, the
    /// recogniser holds some of --data out [key: validation_data]
    #[arg(long, value_name = "ROOT", overrides_with = "validation")]
    validation: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sources: Sources,

    /// Folder of logs, metrics, previews and TensorBoard's events [default: runs/PRESET]
    #[arg(long, value_name = "DIR", overrides_with = "run_dir")]
    run_dir: Option<PathBuf>,

    /// Folder that holds checkpoints_ENCODER, checkpoints_FSE and checkpoints_IRC
    #[arg(long, value_name = "DIR", default_value = ".", overrides_with = "checkpoint_dir")]
    checkpoint_dir: PathBuf,

    /// Where to start: the newest checkpoint (auto), the beginning (none), or this checkpoint
    #[arg(long, value_name = "auto|none|PATH", default_value = "auto", overrides_with = "resume")]
    resume: Resume,

    /// Stop each stage, with a checkpoint, when it has done N steps in all
    #[arg(long, value_name = "N", overrides_with = "max_steps")]
    max_steps: Option<u64>,

    /// Stop, with a checkpoint, before H hours (12, 0.5) have passed since the command's start
    #[arg(long, value_name = "H", value_parser = hours, overrides_with = "max_hours")]
    max_hours: Option<Duration>,

    /// Keep the N newest checkpoints of a stage; 0 keeps all [key: keep_checkpoints]
    #[arg(long, value_name = "N", value_parser = count(), overrides_with = "keep")]
    keep: Option<i64>,

    /// Keep each M-th step's checkpoint besides; 0 keeps none of them [key: keep_every]
    #[arg(long, value_name = "M", value_parser = count(), overrides_with = "keep_every")]
    keep_every: Option<i64>,

    /// Stop after N steps in a row without an update, because a loss or gradient was not finite
    /// [key: max_bad_steps]
    #[arg(long, value_name = "N", value_parser = count(), overrides_with = "max_bad_steps")]
    max_bad_steps: Option<i64>,

    /// Give a rank up that has not answered for so long [key: timeout_seconds, default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = count(), overrides_with = "timeout")]
    timeout: Option<i64>,

    /// Record N steps of each stage, from its second on, as Chrome traces in RUN_DIR/trace
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        overrides_with = "profile"
    )]
    profile: u64,

    /// Stop when more than this share of the images, 0 to 1, is bad: unreadable, vanished or
    /// changed since they were indexed [default: 0.01, and never for a single one]
    #[arg(long, value_name = "SHARE", overrides_with = "max_bad_images")]
    max_bad_images: Option<f64>,

    /// Leave faces, and names of people and image files, out of logs, previews and event files
    /// [key: private]
    #[arg(long)]
    private: bool,

    /// Make the last rank's losses NaN in this step of each stage (repeatable): scripts/chaos.sh
    #[arg(long, value_name = "STEP", hide = true)]
    spoil_step: Vec<u64>,

    /// Print the resolved configuration and stop
    #[arg(long)]
    dry_run: bool,
}

/// A command with its options resolved and checked.
struct Plan<'a> {
    args: &'a Args,
    run_dir: PathBuf,
    encoder: Option<RecogniserOptions>,
    fse: Option<FseOptions>,
    irc: Option<IrcOptions>,
}

impl<'a> Plan<'a> {
    fn new(command: &'a Command) -> anyhow::Result<Self> {
        let (args, encoder, fse, irc) = match command {
            Command::Encoder(Validated { args, .. }) => (args, true, false, false),
            Command::Fse(args) => (args, false, true, false),
            Command::Irc(Validated { args, .. }) => (args, false, false, true),
            Command::All(Validated { args, .. }) => (args, false, true, true),
        };
        if fse && irc && matches!(args.resume, Resume::Path(_)) {
            return Err(misuse(
                "--resume PATH names one stage's checkpoint: give it to `train fse` or `train irc`",
            ));
        }
        let mut layers = args.sources.layers()?;
        for (flag, key, value) in [
            ("--keep", "keep_checkpoints", args.keep),
            ("--keep-every", "keep_every", args.keep_every),
            ("--max-bad-steps", "max_bad_steps", args.max_bad_steps),
            ("--timeout", "timeout_seconds", args.timeout),
        ] {
            if let Some(value) = value {
                layers.flag(flag, key, value);
            }
        }
        if let Some(share) = args.max_bad_images {
            layers.flag("--max-bad-images", "max_bad_images", share);
        }
        if args.private {
            layers.flag("--private", "private", true);
        }
        let validation = match command {
            Command::Encoder(given) => Some(("encoder.validation_data", &given.validation)),
            Command::Irc(given) | Command::All(given) => {
                Some(("irc.validation_data", &given.validation))
            }
            Command::Fse(_) => None,
        };
        if let Some((key, Some(root))) = validation {
            let root = root.to_str().ok_or_else(|| misuse("--validation must be UTF-8"))?;
            layers.flag("--validation", key, root);
        }
        // All, also where one is trained: a misspelt key of another is a mistake as well.
        let options =
            (resolve(&layers, STAGE)?, resolve(&layers, "fse")?, resolve(&layers, "irc")?);
        let run_dir = args.run_dir.clone();
        Ok(Self {
            args,
            run_dir: run_dir.unwrap_or_else(|| Path::new("runs").join(args.sources.run_name())),
            encoder: encoder.then_some(options.0),
            fse: fse.then_some(options.1),
            irc: irc.then_some(options.2),
        })
    }

    /// The options of every stage to train.
    fn commons(&self) -> impl Iterator<Item = &Common> {
        let encoder = self.encoder.iter().map(Options::common);
        let fse = self.fse.iter().map(Options::common);
        encoder.chain(fse).chain(self.irc.iter().map(Options::common))
    }

    /// The resolved configuration, one table per stage, as `config.toml` has it.
    fn table(&self) -> anyhow::Result<toml::Table> {
        let mut table = toml::Table::new();
        if let Some(options) = &self.encoder {
            table.insert(STAGE.to_owned(), options.table()?.into());
        }
        if let Some(options) = &self.fse {
            table.insert("fse".to_owned(), options.table()?.into());
        }
        if let Some(options) = &self.irc {
            table.insert("irc".to_owned(), options.table()?.into());
        }
        Ok(table)
    }

    /// What the engine is told about one stage beside its configuration.
    fn places(&self, options: &impl Options, world: &World) -> anyhow::Result<Places> {
        let common = options.common();
        let last = world.rank() + 1 == world.size();
        Ok(Places {
            run_dir: self.run_dir.clone(),
            checkpoint_dir: self.args.checkpoint_dir.clone(),
            resume: self.args.resume.clone(),
            max_steps: self.args.max_steps,
            profile: self.args.profile,
            spoilt_steps: if last { self.args.spoil_step.clone() } else { Vec::new() },
            configuration: options.table()?,
            paths: PATHS.map(str::to_owned).to_vec(),
            must_match: ["image_size", "width_divisor", "fidelity", "channels"]
                .map(str::to_owned)
                .to_vec(),
            fidelity: common.model.fidelity.to_string(),
            metadata: [("channels".to_owned(), common.data.channels.name().to_owned())].into(),
        })
    }
}

/// Refuses what no rank could carry out; returns the run's folder, and the time after which a
/// rank that does not answer is given up.
pub(crate) fn check(command: &Command) -> anyhow::Result<(PathBuf, Duration)> {
    let plan = Plan::new(command)?;
    for common in plan.commons().filter(|_| !plan.args.dry_run) {
        common.data_root()?;
    }
    let timeouts = plan.commons().map(|common| common.engine.timeout_seconds);
    let timeout = Duration::from_secs(timeouts.max().unwrap_or_default());
    Ok((plan.run_dir, timeout))
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let started = crate::commands::launch::command_started();
    let plan = Plan::new(command)?;
    if plan.args.dry_run {
        return output::toml(plan.table()?);
    }
    let Some(first) = plan.commons().next() else { return Ok(()) };
    for common in plan.commons() {
        common.data_root()?;
    }
    let setting = Setting::join(&first.engine, plan.args.max_hours.map(|time| started + time))?;
    train(&plan, first, &setting).map_err(|error| setting.explain(error))
}

/// Trains every stage of the plan.
fn train(plan: &Plan<'_>, first: &Common, setting: &Setting) -> anyhow::Result<()> {
    if setting.private && setting.world.is_main() {
        tracing::info!("private: no previews, and no name of a person or image in the log");
    }
    let list = bad_list(plan, setting)?;
    let images = DataSet::open(first, setting, Some(&list))?;
    let mut summaries = Vec::new();
    if let Some(options) = &plan.encoder {
        summaries.push(("recogniser", stages::encoder(plan, options, &images, setting)?));
    }
    if let Some(options) = &plan.fse {
        summaries.push(("stage I", stages::fse(plan, options, &images, setting)?));
    }
    if let Some(options) = &plan.irc {
        // Stage II may read other images than stage I.
        let of = |common: &Common| (common.data.data.clone(), common.data.follow_links);
        let same = of(&options.common) == of(first);
        let images =
            if same { images } else { DataSet::open(&options.common, setting, Some(&list))? };
        summaries.push(("stage II", stages::irc(plan, options, &images, setting)?));
    }
    if setting.world.is_main() {
        report::print(plan, &summaries)?;
    }
    match summaries.iter().map(|(_, summary)| summary.lost).sum() {
        0 => Ok(()),
        lost => Err(anyhow::anyhow!(
            "training is done and saved, but {lost} records of its log could not be written into \
             {}: see the disk's errors above",
            plan.run_dir.display()
        )),
    }
}

/// The file in which this rank lists the bad images it meets; an earlier run's is removed.
fn bad_list(plan: &Plan<'_>, setting: &Setting) -> anyhow::Result<PathBuf> {
    let name = format!("bad_images_rank_{}.txt", setting.world.rank());
    let (list, folder) = (plan.run_dir.join(&name), Folder::at(&plan.run_dir));
    let removed = folder.has_file(&name).and_then(|there| match there {
        true => folder.remove(&name),
        false => Ok(()),
    });
    match removed {
        // The engine says what is wrong with a folder that is none.
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(error).with_context(|| format!("cannot use {}", list.display()))
        }
        _ => Ok(list),
    }
}

/// A number that a configuration key can hold.
fn count() -> clap::builder::RangedI64ValueParser {
    clap::value_parser!(i64).range(0..)
}

/// A time in hours, as `--max-hours` takes it.
fn hours(text: &str) -> Result<Duration, String> {
    let hours: f64 = text.parse().map_err(|_| "give hours as a number: 12 or 0.5".to_owned())?;
    match Duration::try_from_secs_f64(hours * 3600.0) {
        Ok(time) if !time.is_zero() && hours < 1e6 => Ok(time),
        _ => Err("give a positive number of hours, at most a million".to_owned()),
    }
}
