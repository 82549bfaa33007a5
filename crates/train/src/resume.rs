//! Choosing, checking and loading the checkpoint that a run goes on from.

use crate::checkpoint::{self, Checkpoint, Manifest};
use crate::spikes::Spikes;
use crate::standing::Standing;
use crate::{Config, Error, Optimizers, Places, Resume, Stage, agree};
use c10d::World;
use std::path::Path;
use tch::Device;

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
        Standing::restore_generators(&own, device)?;
    }
    Ok(())
}

/// What is usual in this run, which all ranks that wrote the checkpoint knew alike.
pub(crate) fn spikes(found: Option<&Checkpoint>, config: &Config) -> Result<Spikes, Error> {
    let state = found.map(|checkpoint| checkpoint.rank(0)).transpose()?.flatten();
    Spikes::new(config.spike_deviations, &state.unwrap_or_default())
}
