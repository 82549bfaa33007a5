//! Starting: from a checkpoint or from the beginning, with everything in its place.

use super::Session;
use crate::checkpoint::{self, BadSteps, Checkpoint, Saver, Shelf};
use crate::lock::Lock;
use crate::metrics::{self, Metrics};
use crate::pace::Pace;
use crate::position::{Course, Position};
use crate::preview::{self, Previews};
use crate::progress::Progress;
use crate::resume;
use crate::standing::Standing;
use crate::tensorboard::{self, TensorBoard};
use crate::trace::Trace;
use crate::verdicts::Verdicts;
use crate::{Config, Error, Optimizers, Places, Stage, agree, mix};
use c10d::World;
use files::Folder;
use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use tch::{Device, Tensor};

impl<'a> Session<'a> {
    pub(crate) fn start<S: Stage>(
        stage: &S,
        batches_after: impl Fn(u64) -> u64,
        config: &'a Config,
        world: &'a World,
        places: &'a Places,
    ) -> Result<Self, Error> {
        config.validate()?;
        if batches_after(0) == 0 {
            let problem =
                "an epoch has no batches: too few images for this batch size and number of ranks";
            return Err(Error::Data { epoch: 0, batch: 0, problem: problem.into() });
        }
        let name = stage.name();
        config.apply()?;
        // Nothing in training should draw from the default generator; if something
        // does, ranks draw different numbers.
        tch::manual_seed(mix(config.seed, world.rank() as u64) as i64);

        check_state(stage)?;
        let mut optimizers = Optimizers::new(world, stage.groups(), config)?;
        let device = optimizers.device();
        let run = Folder::at(&places.run_dir);
        let trace = format!("{name}_rank_{}.json", world.rank());
        let trace = Trace::new(run.clone(), trace, places.profile);

        let folder = checkpoint::own_folder(&places.checkpoint_dir, name);
        // Before anything there is looked at, let alone tidied.
        let locks = match world.is_main() {
            true => {
                lock(&run, &folder).and_then(|locks| check_run(&run, name, config).map(|()| locks))
            }
            false => Ok(Vec::new()),
        };
        let locks = locks.and_then(|locks| trace.check().map(|()| locks));
        let locks = agree::all_ok(world, "lock the run's folders", locks)?;

        let found = resume::choose(places, name, world)?;
        let loaded = match &found {
            Some(checkpoint) => resume::load(checkpoint, stage, &optimizers, device),
            None => Ok(()),
        };
        let loaded = loaded.and_then(|()| resume::spikes(found.as_ref(), config));
        let spikes = agree::all_ok(world, "load the checkpoint", loaded)?;
        share_from_main(stage, world, device)?;
        optimizers.begin_step(0.0);
        let (position, bad) = match &found {
            Some(found) => resumed_at(found, config, world),
            None => Default::default(),
        };
        let course =
            Course::new(position, batches_after, [config.epochs, config.steps], places.max_steps);
        if world.is_main() && config.steps > course.total() {
            tracing::warn!(
                "steps = {}, but with epochs = {} this run has {}: set epochs higher",
                config.steps,
                config.epochs,
                course.total()
            );
        }
        let progress = Progress::new(name, config.epochs, course.end(), !world.is_main());
        let resumed = found.as_ref().map(|found| found.manifest().step);

        let mut shelf = Shelf::new(folder.clone());
        let bytes = [stage.state(), optimizers.state()].iter().map(checkpoint::bytes).sum();
        let prepared = match world.is_main() {
            true => prepare(&run, places, name, &shelf, resumed, &progress)
                .and_then(|()| checkpoint::check_space(folder.path(), bytes)),
            false => Ok(()),
        };
        agree::all_ok(world, "prepare the run's folders", prepared)?;
        let opened = Metrics::open(&run, name, position.step, world, device);
        let metrics = agree::all_ok(world, "open the run's metrics", opened)?;
        let board = match world.is_main() {
            true => TensorBoard::open(&run, name, position.step).map(Some),
            false => Ok(None),
        };
        let board = agree::all_ok(world, "open the run's event file", board)?;
        let saver = Saver::new(folder, world);
        let own = |step: &u64| found.as_ref().is_some_and(|found| is(found, &saver.path(*step)));
        let saved = resumed.filter(own).map(|step| {
            // It has been verified.
            shelf.trust(step);
            saver.path(step)
        });
        Ok(Self {
            config,
            world,
            places,
            device,
            saver,
            shelf,
            course,
            optimizers,
            rate: 0.0,
            buffers: Vec::new(),
            before: Rc::new(Standing::now(position, device)?),
            verdicts: Verdicts::new(device, bad),
            spikes,
            metrics,
            board,
            previews: Previews::new(&run),
            progress,
            trace,
            pace: Pace::new(bytes),
            last: None,
            validation: BTreeMap::new(),
            resumed,
            saved,
            unsaved: None,
            _locks: locks,
        })
    }
}

/// Every trained parameter must be part of the state, or a checkpoint would lack it.
fn check_state<S: Stage>(stage: &S) -> Result<(), Error> {
    let state: HashSet<_> = stage.state().values().map(Tensor::data_ptr).collect();
    for group in stage.groups() {
        for (name, parameter) in &group.parameters {
            if !state.contains(&parameter.data_ptr()) {
                let problem = format!("`{name}` is missing from the stage's state");
                return Err(Error::Group { group: group.name.into(), problem });
            }
        }
    }
    Ok(())
}

/// Rank 0's state on every rank.
fn share_from_main<S: Stage>(stage: &S, world: &World, device: Device) -> Result<(), Error> {
    let state = stage.state();
    let state = state.values().filter(|tensor| tensor.device() == device);
    let state: Vec<Tensor> = state.map(Tensor::detach).collect();
    Ok(world.broadcast_all(&state, 0)?)
}

fn resumed_at(found: &Checkpoint, config: &Config, world: &World) -> (Position, BadSteps) {
    let manifest = found.manifest();
    let (position, changes) = Position::resumed(manifest, config, world.size());
    let Position { step, epoch, batch, dealt } = position;
    let path = found.path().display();
    if world.is_main() {
        tracing::info!("resuming {path} at step {step} (epoch {epoch}, batch {batch})");
    }
    if world.is_main() && !changes.is_empty() {
        let rest = match dealt {
            0 => String::new(),
            dealt => format!(" and item {dealt} of the epoch"),
        };
        tracing::info!(
            "{}: the run goes on from the same step{rest}, but will not be bitwise equal to an \
             undisturbed one",
            changes.join(", ")
        );
    }
    (position, manifest.bad_steps)
}

/// Whether a checkpoint lies at `path`, however its own path was written.
fn is(checkpoint: &Checkpoint, path: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(checkpoint.path()).is_some_and(|own| real(path) == Some(own))
}

/// Rank 0: the folders that the run writes into are its own from here on.
fn lock(run: &Folder, checkpoints: &Folder) -> Result<Vec<Lock>, Error> {
    let run_dir = Lock::take(run, "--run-dir")?;
    Ok(vec![run_dir, Lock::take(checkpoints, "--checkpoint-dir")?])
}

/// Name of the resolved configuration in a run's folder.
const CONFIGURATION: &str = "config.toml";
/// Bytes of it that are read; none of ours has as many.
const LONGEST: u64 = 1 << 20;

/// Rank 0: refuses what stands where the run will write and is nothing that it could have
/// written: links, pipes, other users' files. Removes what a run that was killed has left.
fn check_run(run: &Folder, stage: &str, config: &Config) -> Result<(), Error> {
    for name in [CONFIGURATION, metrics::FILE] {
        run.has_file(name).map_err(Error::file("use", run.path().join(name)))?;
    }
    tensorboard::check(run, stage)?;
    if config.previews() > 0 {
        let folder = preview::FOLDER;
        run.has_folder(folder).map_err(Error::file("use", run.path().join(folder)))?;
    }
    run.sweep("").map_err(Error::file("tidy", run.path()))
}

/// Rank 0: writes `config.toml`, tidies the stage's checkpoints.
fn prepare(
    run: &Folder,
    places: &Places,
    stage: &str,
    shelf: &Shelf,
    step: Option<u64>,
    progress: &Progress,
) -> Result<(), Error> {
    let path = run.path().join(CONFIGURATION);
    // One table per stage, so that stages of one run stand side by side and the file
    // can be given to --config.
    let old = match run.read_to_string(CONFIGURATION, LONGEST) {
        Ok(text) => text.parse().ok(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => None,
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let mut table: toml::Table = old.unwrap_or_default();
    table.insert(stage.into(), toml::Value::Table(places.configuration.clone()));
    let text = format!("# Resolved configuration of this run, one table per stage.\n{table}");
    run.write(CONFIGURATION, text.as_bytes()).map_err(Error::file("write", &path))?;
    if let Some(aside) = shelf.prepare(step)? {
        let aside = aside.display();
        progress.say(&format!("later checkpoints of an earlier run were moved to {aside}"));
    }
    Ok(())
}
