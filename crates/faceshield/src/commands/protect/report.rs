//! What became of each photo: `report.json`, and the record that an interrupted run goes on from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What became of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// Every face that was found, or asked for, is another one now.
    Protected,
    /// Written as it was, because that was allowed.
    Unprotected,
    /// Not written.
    Failed,
}

/// A face of a photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FaceReport {
    /// Left, top, right, bottom in pixels of the upright photo.
    pub(super) bounds: [f64; 4],
    /// Left and right eye, nose, left and right corner of the mouth.
    pub(super) landmarks: [[f64; 2]; 5],
    /// The detector's confidence, 0 to 1.
    pub(super) score: f64,
    pub(super) protected: bool,
    /// Why not, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// Of the mechanism and its draw; see ledger.jsonl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<String>,
    /// What is guaranteed, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) guarantee: Option<String>,
    /// Pure ε of all draws of this face that the folder's ledger knows; none when nothing is
    /// proven of one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epsilon_in_all: Option<f64>,
    /// Of the identities that the model itself sees in the photo before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cosine: Option<f64>,
}

/// How long the parts of a photo's way took, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seconds {
    /// Reading and decoding.
    pub(super) read: f64,
    /// Finding faces.
    pub(super) find: f64,
    /// The model, or the cover.
    pub(super) paint: f64,
    /// Setting painted faces into the photo.
    pub(super) blend: f64,
    /// All, encoding and writing included.
    pub(super) total: f64,
}

/// One photo's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PhotoReport {
    pub(super) input: PathBuf,
    /// Where the result is; none was written for a failed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<PathBuf>,
    pub(super) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    pub(super) faces: Vec<FaceReport>,
    pub(super) seconds: Seconds,
    /// What the input was and how it was protected: another run skips what is the same.
    pub(super) stamp: String,
}

/// The photos done so far, a line of JSON each, in `DIR/.protected.jsonl`.
#[derive(Debug)]
pub(super) struct Record {
    file: File,
    path: PathBuf,
    done: BTreeMap<PathBuf, PhotoReport>,
    /// Every result that was ever written.
    outputs: BTreeSet<PathBuf>,
}

impl Record {
    /// Opens the record of results in `out`. A last line that was not finished is forgotten.
    pub(super) fn open(out: &Path) -> anyhow::Result<Self> {
        let path = out.join(".protected.jsonl");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let lines = text.lines().filter_map(|line| serde_json::from_str::<PhotoReport>(line).ok());
        let (mut done, mut outputs) = (BTreeMap::new(), BTreeSet::new());
        for report in lines {
            outputs.extend(report.output.clone());
            done.insert(report.input.clone(), report);
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self { file, path, done, outputs })
    }

    /// What was done to `input`, if it was this and its result is still there.
    pub(super) fn find(&self, input: &Path, stamp: &str) -> Option<&PhotoReport> {
        let found = self.done.get(input).filter(|report| report.stamp == stamp)?;
        let there = found.output.as_ref().is_some_and(|output| output.is_file());
        (there && found.status != Status::Failed).then_some(found)
    }

    /// Whether `output` is a result of this record, and so may be replaced.
    pub(super) fn wrote(&self, output: &Path) -> bool {
        self.outputs.contains(output)
    }

    /// Takes back what an earlier run wrote of `input` as it was, now that this is no longer
    /// allowed.
    pub(super) fn withdraw(&mut self, input: &Path) -> anyhow::Result<()> {
        let earlier = self.done.get(input).filter(|done| done.status == Status::Unprotected);
        if let Some(output) = earlier.and_then(|done| done.output.as_deref()) {
            match std::fs::remove_file(output) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", output.display()));
                }
                _ => tracing::warn!("{}: removed, it was not protected", output.display()),
            }
        }
        Ok(())
    }

    pub(super) fn add(&mut self, report: &PhotoReport) -> anyhow::Result<()> {
        let line = serde_json::to_string(report)? + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.outputs.extend(report.output.clone());
        self.done.insert(report.input.clone(), report.clone());
        Ok(())
    }
}

/// The whole of `report.json`.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mechanism: Option<String>,
    /// What is guaranteed and what is not: to be said wherever the results are used.
    pub(super) claims: Vec<String>,
    pub(super) photos: usize,
    pub(super) protected: usize,
    pub(super) unprotected: usize,
    pub(super) failed: usize,
    pub(super) faces: usize,
    /// Of this run, the model's loading not included.
    pub(super) seconds: f64,
    pub(super) results: &'a [PhotoReport],
}

impl<'a> Report<'a> {
    pub(super) fn new(
        method: String,
        mechanism: Option<String>,
        claims: Vec<String>,
        results: &'a [PhotoReport],
        seconds: f64,
    ) -> Self {
        let count = |status| results.iter().filter(|photo| photo.status == status).count();
        Self {
            method,
            mechanism,
            claims,
            photos: results.len(),
            protected: count(Status::Protected),
            unprotected: count(Status::Unprotected),
            failed: count(Status::Failed),
            faces: results.iter().map(|photo| photo.faces.len()).sum(),
            seconds,
            results,
        }
    }

    /// Writes `DIR/report.json`, beside and renamed.
    pub(super) fn write(&self, out: &Path) -> anyhow::Result<()> {
        let path = out.join("report.json");
        let failed = || format!("cannot write {}", path.display());
        let mut file = tempfile::NamedTempFile::new_in(out).with_context(failed)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes()).with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        file.persist(&path).with_context(failed)?;
        Ok(())
    }
}
