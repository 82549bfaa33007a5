//! A checkpoint's files: every rank its part, rank 0 the manifest and the rename.
//!
//! Guarantee: at any moment, also after a crash, a folder named `step_…` is either a
//! complete checkpoint or recognisable as none. Order on rank 0: temporary folder,
//! files (synced), manifest (synced), sync of the folder, rename, sync of the parent.

use super::manifest::FileSum;
use super::{MODEL, Manifest, OPTIMIZER, rank_file, step_name};
use crate::{Error, Optimizers, Stage};
use files::Folder;
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// What goes into a checkpoint. On ranks other than 0 only `rank` is used.
#[derive(Debug)]
pub struct Contents {
    pub(super) manifest: Manifest,
    pub(super) model_metadata: BTreeMap<String, String>,
    model: weights::Tensors,
    optimizer: weights::Tensors,
    rank: weights::Tensors,
}

impl Contents {
    /// Gathers a run's state, as shallow clones: it must be used before the next step, or
    /// [`Contents::copied`]. `rank` is this rank's own.
    pub fn gather<S: Stage>(
        manifest: Manifest,
        model_metadata: BTreeMap<String, String>,
        stage: &S,
        optimizers: &Optimizers<'_>,
        rank: weights::Tensors,
    ) -> Self {
        let (mut model, mut optimizer) = Default::default();
        if optimizers.world().is_main() {
            (model, optimizer) = (stage.state(), optimizers.state());
        }
        Self { manifest, model_metadata, model, optimizer, rank }
    }

    /// The same in CPU memory of its own.
    ///
    /// # Errors
    /// If libtorch refuses, for want of memory for one.
    pub fn copied(self) -> Result<Self, Error> {
        let copy = |tensors: weights::Tensors| -> Result<weights::Tensors, Error> {
            let one = |(name, tensor): (String, Tensor)| {
                let host = tensor.detach().f_to_device(Device::Cpu)?;
                let own = if host.data_ptr() == tensor.data_ptr() { host.copy() } else { host };
                Ok((name, own))
            };
            tensors.into_iter().map(one).collect()
        };
        let (model, optimizer, rank) = (copy(self.model)?, copy(self.optimizer)?, copy(self.rank)?);
        Ok(Self { model, optimizer, rank, ..self })
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        [&self.model, &self.optimizer, &self.rank].map(bytes).into_iter().sum()
    }

    /// Writes and syncs the files of rank `rank` into `temporary`.
    pub(super) fn write(&self, temporary: &Folder, rank: usize) -> Result<(), Error> {
        let none = BTreeMap::new();
        write(temporary, &rank_file(rank), &self.rank, &none)?;
        if rank == 0 {
            write(temporary, MODEL, &self.model, &self.model_metadata)?;
            write(temporary, OPTIMIZER, &self.optimizer, &none)?;
        }
        Ok(())
    }
}

/// Writes and syncs one new file.
fn write(
    folder: &Folder,
    name: &str,
    tensors: &weights::Tensors,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let path = &folder.path().join(name);
    let mut file = folder.create_new(name).map_err(Error::file("write", path))?;
    weights::write_safetensors_open(&mut file, path, tensors, metadata)?;
    file.sync_all().map_err(Error::file("sync", path))
}

/// Bytes of tensors.
pub(crate) fn bytes(tensors: &weights::Tensors) -> u64 {
    tensors.values().map(|t| (t.numel() * t.kind().elt_size_in_bytes()) as u64).sum()
}

/// Rank 0, after every rank has written its files: sums them up and puts the folder that is called
/// `temporary` in `folder` in its place.
pub(super) fn complete(
    mut manifest: Manifest,
    folder: &Folder,
    temporary: &str,
) -> Result<(), Error> {
    let written = folder.inside(temporary);
    let names = [MODEL.to_string(), OPTIMIZER.to_string()];
    for name in names.into_iter().chain((0..manifest.world_size).map(rank_file)) {
        let synced = written.open(&name).and_then(|file| file.sync_all());
        synced.map_err(Error::file("sync", written.path().join(&name)))?;
        let sum = FileSum::of(&written, &name)?;
        manifest.files.insert(name, sum);
    }
    manifest.write(&written)?;
    written.sync().map_err(Error::file("sync", written.path()))?;
    let name = step_name(manifest.step);
    let path = folder.path().join(&name);
    // Only a torn folder of this step can be in the way: complete ones of a step that
    // is still to come have been set aside when the run started.
    if folder.has_folder(&name).map_err(Error::file("replace", &path))? {
        folder.remove_tree(&name).map_err(Error::file("replace", &path))?;
    }
    folder.rename(temporary, &name).map_err(Error::file("rename", written.path()))?;
    folder.sync().map_err(Error::file("sync", folder.path()))
}
