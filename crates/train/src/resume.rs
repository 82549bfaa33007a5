//! Choosing, checking and loading the checkpoint that a run goes on from.

use crate::checkpoint::{self, Checkpoint, Manifest};
use crate::{Config, Error, Optimizers, Places, Resume, Stage, agree};
use c10d::World;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The checkpoint to resume, opened on every rank; chosen and verified by rank 0.
pub(crate) fn choose(
    places: &Places,
    stage: &str,
    world: &World,
) -> Result<Option<Checkpoint>, Error> {
    let chosen = if world.is_main() { choose_here(places, stage) } else { Ok(None) };
    let chosen = agree::all_ok(world, "choose a checkpoint", chosen)?;
    if world.size() == 1 {
        return Ok(chosen);
    }
    let path = chosen.map(|checkpoint| checkpoint.path().to_string_lossy().into_owned());
    let path = agree::text_from_main(world, &path.unwrap_or_default())?;
    let opened = match path.as_str() {
        "" => Ok(None),
        path => Checkpoint::open(Path::new(path)).map(Some),
    };
    agree::all_ok(world, "open the checkpoint (is its folder shared by all machines?)", opened)
}

fn choose_here(places: &Places, stage: &str) -> Result<Option<Checkpoint>, Error> {
    let chosen = match &places.resume {
        Resume::None => return Ok(None),
        Resume::Path(path) => checkpoint::find(path, stage)?,
        Resume::Auto => {
            let folder = checkpoint::folder(&places.checkpoint_dir, stage);
            let (found, skipped) = checkpoint::newest(&folder)?;
            let before = match &found {
                Some(found) => format!("using {}", found.path().display()),
                None => "there is none before it: starting from the beginning".into(),
            };
            for torn in skipped {
                let path = torn.path.display();
                tracing::warn!("checkpoint {path} skipped: {}; {before}", torn.problem);
            }
            match found {
                None => return Ok(None),
                Some(found) => found,
            }
        }
    };
    check(chosen.path(), chosen.manifest(), places, stage)?;
    Ok(Some(chosen))
}

/// Whether this run may go on from a checkpoint at all.
fn check(path: &Path, manifest: &Manifest, places: &Places, stage: &str) -> Result<(), Error> {
    let differs = |what: &str, theirs: &str, ours: &str| {
        let problem = format!(
            "it was trained with {what} = {theirs}, this run has {ours}; \
             change {what}, or start anew with --resume none"
        );
        Err(Error::checkpoint(path, problem))
    };
    if manifest.stage != stage {
        return differs("stage", &manifest.stage, stage);
    }
    for key in &places.must_match {
        let (theirs, ours) = (manifest.configuration.get(key), places.configuration.get(key));
        if !same(theirs, ours) {
            let show =
                |value: Option<&toml::Value>| value.map_or("(unset)".into(), |v| v.to_string());
            return differs(key, &show(theirs), &show(ours));
        }
    }
    if manifest.fidelity != places.fidelity {
        return differs("fidelity", &manifest.fidelity, &places.fidelity);
    }
    Ok(())
}

/// Whether two values are equal, up to what JSON may do to a number's last digit.
fn same(a: Option<&toml::Value>, b: Option<&toml::Value>) -> bool {
    match (a.and_then(|a| a.as_float()), b.and_then(|b| b.as_float())) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
        _ => a == b,
    }
}

/// Copies a checkpoint into the stage, the optimizers and the generators.
pub(crate) fn load<S: Stage>(
    checkpoint: &Checkpoint,
    stage: &S,
    optimizers: &Optimizers<'_>,
    device: Device,
) -> Result<(), Error> {
    let what = |file: &str| checkpoint.path().join(file).display().to_string();
    weights::load_strict(&stage.state(), &checkpoint.model()?, &what(checkpoint::MODEL))?;
    let state = checkpoint.optimizer()?;
    weights::load_strict(&optimizers.state(), &state, &what(checkpoint::OPTIMIZER))?;
    if let Some(own) = checkpoint.rank(optimizers.world().rank())? {
        if let Some(state) = own.get(CPU_GENERATOR) {
            c10d::torch::set_rng_state(Device::Cpu, state)?;
        }
        if let (true, Some(state)) = (device.is_cuda(), own.get(CUDA_GENERATOR)) {
            c10d::torch::set_rng_state(device, state)?;
        }
    }
    Ok(())
}

const CPU_GENERATOR: &str = "generator.cpu";
const CUDA_GENERATOR: &str = "generator.cuda";

/// A rank's own state: its generators, and where in the data it stands.
pub(crate) fn rank_state(device: Device, at: &Manifest) -> Result<weights::Tensors, Error> {
    let mut state = weights::Tensors::new();
    state.insert(CPU_GENERATOR.into(), c10d::torch::rng_state(Device::Cpu)?);
    if device.is_cuda() {
        state.insert(CUDA_GENERATOR.into(), c10d::torch::rng_state(device)?);
    }
    let numbers = [at.step, at.epoch, at.batch].map(|x| x as i64);
    let sampler = Tensor::f_from_slice(&numbers)?.f_to_kind(Kind::Int64)?;
    state.insert("sampler.step_epoch_batch".into(), sampler);
    Ok(state)
}

/// Where a run stands: the number of the next step, its epoch and its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) step: u64,
    pub(crate) epoch: u64,
    pub(crate) batch: u64,
}

impl Position {
    /// The position after one more step.
    pub(crate) fn advance(&mut self, per_epoch: u64) {
        self.step += 1;
        self.batch += 1;
        if self.batch >= per_epoch {
            self.epoch += 1;
            self.batch = 0;
        }
    }

    /// The position of a checkpoint in this run, which may have other ranks and batches:
    /// what of the epoch has been seen stays seen, rounded down to whole batches. With
    /// it, what keeps this run from being bitwise equal to an undisturbed one.
    pub(crate) fn resumed(
        manifest: &Manifest,
        config: &Config,
        world_size: usize,
        per_epoch: u64,
    ) -> (Self, Vec<String>) {
        let mut position =
            Self { step: manifest.step, epoch: manifest.epoch, batch: manifest.batch };
        let mut changes = Vec::new();
        let mut compare = |what: &str, theirs: u64, ours: u64| {
            if theirs != ours {
                changes.push(format!("{what} {ours} instead of {theirs}"));
            }
        };
        compare("world size", manifest.world_size as u64, world_size as u64);
        compare("batch_size", manifest.batch_size as u64, config.batch_size as u64);
        compare("seed", manifest.seed, config.seed);
        let items = |ranks: usize, batch: usize| (ranks as u64).saturating_mul(batch as u64);
        let seen = position.batch.saturating_mul(items(manifest.world_size, manifest.batch_size));
        position.batch = seen / items(world_size, config.batch_size).max(1);
        if position.batch >= per_epoch {
            position.epoch += 1;
            position.batch = 0;
        }
        (position, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_ranks_and_batches_go_on_at_the_same_item() {
        let manifest = Manifest {
            format: checkpoint::FORMAT,
            stage: "fse".into(),
            step: 17,
            epoch: 1,
            batch: 7,
            world_size: 2,
            batch_size: 3,
            seed: 0,
            fidelity: String::new(),
            bad_steps: Default::default(),
            configuration: toml::Table::new(),
            files: Default::default(),
            checksum: String::new(),
        };
        let at = |batch_size, ranks, per_epoch| {
            let config = Config { batch_size, ..Config::default() };
            let (position, changes) = Position::resumed(&manifest, &config, ranks, per_epoch);
            assert_eq!(position.step, 17);
            (position.epoch, position.batch, changes.len())
        };
        assert_eq!(at(3, 2, 10), (1, 7, 0));
        assert_eq!(at(6, 1, 10), (1, 7, 2));
        // 42 items: 10 whole batches of 4 have been seen, 2 items come again.
        assert_eq!(at(4, 1, 15), (1, 10, 2));
        // The epoch has become shorter.
        assert_eq!(at(3, 2, 7), (2, 0, 0));
    }
}
