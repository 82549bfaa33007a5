//! Writing a checkpoint: every rank its part, rank 0 the manifest and the rename.
//!
//! Guarantee: at any moment, also after a crash, a folder named `step_…` is either a
//! complete checkpoint or recognisable as none. Order on rank 0: temporary folder,
//! files (synced), manifest (synced), sync of the folder, rename, sync of the parent.

use super::manifest::FileSum;
use super::{MODEL, Manifest, OPTIMIZER, rank_file, step_name};
use crate::{Error, agree};
use c10d::World;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What goes into a checkpoint. On ranks other than 0 only `rank` is used.
pub(crate) struct Contents {
    pub(crate) manifest: Manifest,
    pub(crate) model: weights::Tensors,
    pub(crate) model_metadata: BTreeMap<String, String>,
    pub(crate) optimizer: weights::Tensors,
    pub(crate) rank: weights::Tensors,
}

/// Saves a checkpoint into `folder`; called by all ranks together. Returns its path.
pub(crate) fn save(folder: &Path, contents: Contents, world: &World) -> Result<PathBuf, Error> {
    const ACTION: &str = "save its part of the checkpoint";
    let step = contents.manifest.step;
    let temporary = folder.join(format!(".{}.tmp", step_name(step)));
    let path = folder.join(step_name(step));

    let made = if world.is_main() { make(&temporary) } else { Ok(()) };
    agree::all_ok(world, ACTION, made)?;
    let written = write_files(&temporary, &contents, world);
    let written = agree::all_ok(world, ACTION, written);
    let done = match written {
        Ok(()) if world.is_main() => complete(contents.manifest, &temporary, &path),
        other => other,
    };
    if done.is_err() && world.is_main() {
        // Best effort: what is left behind is no checkpoint either way.
        let _ = fs::remove_dir_all(&temporary);
    }
    agree::all_ok(world, ACTION, done)?;
    Ok(path)
}

fn make(temporary: &Path) -> Result<(), Error> {
    if temporary.exists() {
        fs::remove_dir_all(temporary).map_err(Error::file("remove", temporary))?;
    }
    fs::create_dir_all(temporary).map_err(Error::file("create", temporary))
}

fn write_files(temporary: &Path, contents: &Contents, world: &World) -> Result<(), Error> {
    let none = BTreeMap::new();
    let own = temporary.join(rank_file(world.rank()));
    weights::write_safetensors(&own, &contents.rank, &none)?;
    if world.is_main() {
        let model = temporary.join(MODEL);
        weights::write_safetensors(&model, &contents.model, &contents.model_metadata)?;
        weights::write_safetensors(&temporary.join(OPTIMIZER), &contents.optimizer, &none)?;
    }
    Ok(())
}

/// Rank 0, after every rank has written its files.
fn complete(mut manifest: Manifest, temporary: &Path, path: &Path) -> Result<(), Error> {
    let names = [MODEL.to_string(), OPTIMIZER.to_string()];
    for name in names.into_iter().chain((0..manifest.world_size).map(rank_file)) {
        let file = temporary.join(&name);
        File::open(&file).and_then(|file| file.sync_all()).map_err(Error::file("sync", &file))?;
        manifest.files.insert(name, FileSum::of(&file)?);
    }
    manifest.write(temporary)?;
    sync_folder(temporary)?;
    // Only a torn folder of this step can be in the way: complete ones of a step that
    // is still to come have been set aside when the run started.
    if path.exists() {
        fs::remove_dir_all(path).map_err(Error::file("replace", path))?;
    }
    fs::rename(temporary, path).map_err(Error::file("rename", temporary))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes renames and new files in a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(Error::file("sync", folder))
}
