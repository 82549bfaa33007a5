//! `manifest.json`: what a checkpoint is and how to tell that it is whole.

use super::MANIFEST;
use crate::Error;
use files::Folder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// The version of the layout that this code writes and reads.
pub const FORMAT: u32 = 1;
/// No honest manifest is larger; a larger one is not read.
const LARGEST: u64 = 4 << 20;

/// What a checkpoint is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout, [`FORMAT`].
    pub format: u32,
    /// The stage that was trained.
    pub stage: String,
    /// Steps done; the next step has this number.
    pub step: u64,
    /// Epoch of the next step, from 0.
    pub epoch: u64,
    /// Batch of the next step within its epoch, from 0.
    pub batch: u64,
    /// Items of the epoch that were dealt out before its batch 0: not 0 in an epoch in whose
    /// middle the number of ranks or their batches changed.
    #[serde(default)]
    pub dealt: u64,
    /// Ranks that wrote it; each has a file of its own.
    pub world_size: usize,
    /// Pairs per step and rank.
    pub batch_size: usize,
    /// The run's seed.
    pub seed: u64,
    /// Which of the method's variants trained it.
    pub fidelity: String,
    /// Non-finite steps so far, and in a row up to now.
    pub bad_steps: BadSteps,
    /// The resolved configuration.
    pub configuration: toml::Table,
    /// Every file but this one.
    pub files: BTreeMap<String, FileSum>,
    /// SHA-256 of this file's text with this value left empty.
    pub checksum: String,
}

/// Counts of non-finite steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadSteps {
    /// In the whole run.
    pub total: u64,
    /// Up to the last step without a good one between them.
    pub in_a_row: u64,
}

/// Size and sum of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    /// Bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

impl FileSum {
    /// Reads a file of a folder through.
    pub(super) fn of(folder: &Folder, name: &str) -> Result<Self, Error> {
        let path = &folder.path().join(name);
        let mut file = folder.open(name).map_err(Error::file("read", path))?;
        let mut sum = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut size = 0;
        loop {
            match file.read(&mut buffer).map_err(Error::file("read", path))? {
                0 => break,
                n => {
                    sum.update(&buffer[..n]);
                    size += n as u64;
                }
            }
        }
        Ok(Self { size, sha256: hex(&sum.finalize()) })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text with another checksum. The last such line is meant: the configuration before it
/// may have a key of the same name.
fn with_checksum(text: &str, old: &str, new: &str) -> String {
    let line = |checksum: &str| format!("\"checksum\": \"{checksum}\"");
    match text.rsplit_once(&line(old)) {
        Some((before, after)) => format!("{before}{}{after}", line(new)),
        None => text.to_owned(),
    }
}

impl Manifest {
    /// Reads and checks the manifest of a checkpoint folder, and that its files are
    /// there with the right sizes. The error is what is wrong with the folder.
    pub(super) fn read(folder: &Folder) -> Result<Self, String> {
        let text =
            folder.read_to_string(MANIFEST, LARGEST).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "it has no manifest.json: never completed".to_string()
                }
                _ => format!("manifest.json: {error}"),
            })?;
        let manifest = Self::parse(&text)?;
        for (name, sum) in &manifest.files {
            let length = folder.open(name).and_then(|file| Ok(file.metadata()?.len()));
            let length = length.map_err(|error| format!("{name}: {error}"))?;
            if length != sum.size {
                return Err(format!("{name} has {length} bytes instead of {}", sum.size));
            }
            // Its sum would take long, and it would not be read anyway.
            if length > weights::LONGEST {
                let most = weights::LONGEST;
                return Err(format!("{name} has {length} bytes, and at most {most} are read"));
            }
        }
        Ok(manifest)
    }

    /// The manifest that [`Manifest::text`] wrote.
    ///
    /// # Errors
    /// What is wrong with the text: another version's, damaged, changed since it was written,
    /// or naming files outside its folder.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The version first: a later layout may have other fields.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let broken = |error: serde_json::Error| format!("manifest.json is damaged: {error}");
        let version: Version = serde_json::from_str(text).map_err(broken)?;
        if version.format != FORMAT {
            let format = version.format;
            return Err(format!("its format is {format}, this program reads {FORMAT}"));
        }
        let manifest: Self = serde_json::from_str(text).map_err(broken)?;
        let unsigned = with_checksum(text, &manifest.checksum, "");
        if hex(&Sha256::digest(unsigned)) != manifest.checksum {
            return Err("manifest.json is damaged: its checksum differs".into());
        }
        let outside =
            |name: &&String| name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.');
        if let Some(name) = manifest.files.keys().find(outside) {
            return Err(format!("manifest.json names a file outside the folder: {name:?}"));
        }
        Ok(manifest)
    }

    /// The manifest's text, with its checksum; [`Manifest::checksum`] itself does not matter.
    ///
    /// # Errors
    /// A configuration that JSON cannot hold.
    pub fn text(&self) -> Result<String, String> {
        let unsigned = Self { checksum: String::new(), ..self.clone() };
        let unsigned = serde_json::to_string_pretty(&unsigned)
            .map_err(|error| format!("manifest: {error}"))?;
        let checksum = hex(&Sha256::digest(&unsigned));
        Ok(with_checksum(&unsigned, "", &checksum))
    }

    /// Writes and syncs the manifest into a folder, with its checksum.
    pub(super) fn write(&self, folder: &Folder) -> Result<(), Error> {
        let path = folder.path().join(MANIFEST);
        let text = self.text().map_err(|problem| Error::checkpoint(folder.path(), problem))?;
        let mut file = folder.create_new(MANIFEST).map_err(Error::file("write", &path))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(Error::file("write", &path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest(configuration: &str, file: &str) -> Manifest {
        Manifest {
            format: FORMAT,
            stage: "fse".into(),
            step: 3,
            epoch: 0,
            batch: 3,
            dealt: 0,
            world_size: 2,
            batch_size: 1,
            seed: 1,
            fidelity: "corrected".into(),
            bad_steps: BadSteps::default(),
            configuration: configuration.parse().unwrap(),
            files: [(file.to_owned(), FileSum { size: 1, sha256: "00".into() })].into(),
            checksum: String::new(),
        }
    }

    #[test]
    fn a_manifest_is_read_as_written_and_no_other() {
        // The second once took the manifest's checksum into the configuration.
        for configuration in ["lr = 1e-4", "checksum = \"\""] {
            let written = manifest(configuration, "model.safetensors");
            let text = written.text().unwrap();
            let read = Manifest::parse(&text).unwrap();
            assert_eq!(Manifest { checksum: String::new(), ..read }, written);
            let other = text.replace("\"step\": 3", "\"step\": 4");
            assert!(Manifest::parse(&other).unwrap_err().contains("checksum differs"));
        }
        for name in ["", "../a", "a/b", "a\\b", ".a"] {
            let text = manifest("", name).text().unwrap();
            assert!(Manifest::parse(&text).unwrap_err().contains("outside the folder"), "{name:?}");
        }
    }
}
