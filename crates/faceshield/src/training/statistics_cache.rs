//! Layer statistics that have been measured before, in the user's cache.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context;
use encoder::{FrozenEncoder, ModelConfig, Stats};
use faces::Faces;
use files::{Folder, Key};
use sha2::{Digest, Sha256};
use tch::Kind;
use weights::Tensors;

use crate::options::FseOptions;

/// Raised when the same inputs give other statistics.
const VERSION: u32 = 1;
/// Entries of a file's header: what was measured, and the proof that this user's program did.
const KEY: &str = "key";
const CODE: &str = "code";
/// What the code is for, among the user's other codes.
const PURPOSE: &str = "layer statistics";

/// The file for exactly one data set, model and encoder. Whoever could put another one in its
/// place would change what is trained: it must be the user's own, and carry a code that only the
/// user's key makes.
pub(super) struct Cache {
    folder: Folder,
    name: String,
    /// A digest of everything that the statistics depend on.
    key: String,
}

impl Cache {
    pub(super) fn new(
        options: &FseOptions,
        faces: &Faces,
        encoder: &FrozenEncoder,
    ) -> anyhow::Result<Self> {
        let common = &options.common;
        let weights = digest(&encoder.state())?;
        let what = format!(
            "{VERSION}\n{}\n{}\n{}\n{:?}\n{}\n{weights}",
            options.stage.discriminants,
            faces.index().key(),
            faces::DECODER,
            common.model,
            common.data.channels.name()
        );
        let key = files::sha256(what.as_bytes())?;
        let name = format!("statistics-{}.safetensors", &key[..16]);
        Ok(Self { folder: Folder::at(crate::places::cache_dir()), name, key })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// What was measured; nothing if it was not yet.
    ///
    /// # Errors
    ///
    /// A file that is damaged, another user's or that of other data, or was not written by this
    /// user's program.
    pub(super) fn read(&self, model: &ModelConfig) -> anyhow::Result<Option<Stats>> {
        let path = self.path();
        let file = match self.folder.open(&self.name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.with_context(|| format!("cannot use {}", path.display()))?,
        };
        let archive = weights::read_open(file, &path)?;
        let said = |entry: &str| archive.metadata.get(entry).map(String::as_str);
        let code = said(CODE).unwrap_or_default();
        let message = self.message(&archive.tensors)?;
        let own = Key::of_user().is_ok_and(|key| key.verifies(PURPOSE, message.as_bytes(), code));
        anyhow::ensure!(
            own && said(KEY) == Some(&self.key),
            "{} was changed, or not written by you on this machine",
            path.display()
        );
        Ok(Some(Stats::from_state(&archive.tensors, model, &path)?))
    }

    /// Keeps what was measured.
    ///
    /// # Errors
    ///
    /// When the disk refuses, or something else is in its place.
    pub(super) fn write(&self, stats: &Stats) -> anyhow::Result<()> {
        let (path, state) = (self.path(), stats.state());
        let code = Key::of_user()?.sign(PURPOSE, self.message(&state)?.as_bytes());
        let metadata: BTreeMap<String, String> =
            [(KEY.to_owned(), self.key.clone()), (CODE.to_owned(), code)].into();
        self.folder.clone().created()?;
        let mut file =
            self.folder.replace(&self.name).with_context(|| path.display().to_string())?;
        weights::write_safetensors_open(file.file(), &path, &state, &metadata)?;
        Ok(file.commit()?)
    }

    /// What the code signs.
    fn message(&self, state: &Tensors) -> anyhow::Result<String> {
        Ok(format!("{}\n{}", self.key, digest(state)?))
    }
}

/// A digest of names, shapes and numbers.
fn digest(tensors: &Tensors) -> anyhow::Result<String> {
    let mut sum = Sha256::new();
    for (name, tensor) in tensors {
        sum.update(format!("{name} {:?} {:?}\n", tensor.kind(), tensor.size()));
        let flat = tensor.flatten(0, -1);
        if tensor.kind() == Kind::Int64 {
            let numbers: Vec<i64> = Vec::try_from(flat)?;
            numbers.iter().for_each(|x| sum.update(x.to_le_bytes()));
        } else {
            let numbers: Vec<f32> = Vec::try_from(flat.to_kind(Kind::Float))?;
            numbers.iter().for_each(|x| sum.update(x.to_le_bytes()));
        }
    }
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
