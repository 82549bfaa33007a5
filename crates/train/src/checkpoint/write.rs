//! A checkpoint's files: every rank its part, rank 0 the manifest and the rename.
//!
//! Guarantee: at any moment, also after a crash, a folder named `step_…` is either a
//! complete checkpoint or recognisable as none. Order on rank 0: temporary folder,
//! files (synced), manifest (synced), sync of the folder, rename, sync of the parent.

use super::manifest::FileSum;
use super::{MODEL, Manifest, OPTIMIZER, rank_file};
use crate::{Error, Optimizers, Stage};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
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
    pub(super) fn write(&self, temporary: &Path, rank: usize) -> Result<(), Error> {
        let none = BTreeMap::new();
        weights::write_safetensors(&temporary.join(rank_file(rank)), &self.rank, &none)?;
        if rank == 0 {
            let model = temporary.join(MODEL);
            weights::write_safetensors(&model, &self.model, &self.model_metadata)?;
            weights::write_safetensors(&temporary.join(OPTIMIZER), &self.optimizer, &none)?;
        }
        Ok(())
    }
}

/// Bytes of tensors.
pub(crate) fn bytes(tensors: &weights::Tensors) -> u64 {
    tensors.values().map(|t| (t.numel() * t.kind().elt_size_in_bytes()) as u64).sum()
}

/// Rank 0: makes the empty folder that all ranks write into.
pub(super) fn make(temporary: &Path) -> Result<(), Error> {
    if temporary.exists() {
        fs::remove_dir_all(temporary).map_err(Error::file("remove", temporary))?;
    }
    // Not what is above it: a folder that has vanished is not made again elsewhere.
    fs::create_dir(temporary).map_err(Error::file("create", temporary))
}

/// Rank 0, after every rank has written its files.
pub(super) fn complete(mut manifest: Manifest, temporary: &Path, path: &Path) -> Result<(), Error> {
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
