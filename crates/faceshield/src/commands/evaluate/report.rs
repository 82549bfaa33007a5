//! `report.json`: everything that was measured, under names that stay (docs/evaluate.md).

use std::path::{Path, PathBuf};

use anyhow::Context;
use files::Escape;
use metrics::Genuine;
use serde::Serialize;

use super::attacker::Attacker;
use super::attributes;
use super::control::CONTROLS;
use super::finding;
use super::measure::{Intervals, Measured};
use super::privacy::{FAR, Gallery, PAIRS, Privacy, SWEEP_PAIRS};
use super::protection::Card;
use super::sample::{LeftOut, Sample};
use super::separation::Separation;
use super::utility::{self, Utility};
use super::work::{Outcome, Scope};
use crate::output::path_text;

/// Raised when a field changes its meaning or goes.
pub(crate) const FORMAT: u32 = 1;

/// The whole of `report.json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) format: u32,
    pub(super) data: Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<ModelCard>,
    pub(super) seed: u64,
    /// Of all intervals.
    pub(super) confidence: f64,
    pub(super) resamples: usize,
    /// Of thresholds and `tar_at_far`.
    pub(super) far: f64,
    /// What must be said wherever a number of this report is used.
    pub(super) claims: Vec<String>,
    /// What was not measured, and why.
    pub(super) notes: Vec<String>,
    pub(super) attackers: Vec<AttackerCard>,
    /// What tells people apart without a face, on originals: near chance where recognisers cannot
    /// cheat.
    pub(super) controls: Vec<Privacy>,
    /// The originals first.
    pub(super) protections: Vec<ProtectionReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) separation: Option<Separation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sweep: Vec<SweepPoint>,
}

/// Whose photos were measured.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    pub(super) root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) train_data: Option<String>,
    pub(super) people: usize,
    pub(super) photos: usize,
    /// Whether all that can be known of each photo is known.
    pub(super) labelled: bool,
    /// Photos that are not measured.
    pub(super) left_out: Vec<LeftOut>,
}

/// Which model was measured.
#[derive(Debug, Serialize)]
pub(super) struct ModelCard {
    #[serde(serialize_with = "crate::output::path")]
    pub(super) checkpoint: PathBuf,
    pub(super) sha256: String,
    pub(super) fidelity: String,
    pub(super) image_size: u32,
    pub(super) width_divisor: i64,
}

/// Who attacked.
#[derive(Debug, Serialize)]
pub(super) struct AttackerCard {
    pub(super) name: String,
    /// Cosines from here on mean one person; none where none keeps the FAR.
    pub(super) threshold: Option<f64>,
}

/// Everything about one protection.
#[derive(Debug, Serialize)]
pub(super) struct ProtectionReport {
    #[serde(flatten)]
    pub(super) card: Card,
    /// Each attacker against own originals, then against other photos.
    pub(super) privacy: Vec<Privacy>,
    pub(super) utility: Utility,
    /// Cosine of what the model's encoder sees with the identity that was to be painted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity_painted: Option<Measured>,
}

/// A point of the sweep.
#[derive(Debug, Serialize)]
pub(super) struct SweepPoint {
    #[serde(flatten)]
    pub(super) card: Card,
    pub(super) psnr: Option<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity_painted: Option<Measured>,
    pub(super) privacy: Vec<Privacy>,
}

/// What all outcomes have in common.
pub(super) struct Judge<'a> {
    pub(super) names: Vec<String>,
    pub(super) galleries: Vec<Gallery>,
    pub(super) intervals: &'a Intervals,
}

impl<'a> Judge<'a> {
    /// # Errors
    ///
    /// An attacker that sees nothing in the originals.
    pub(super) fn new(
        names: Vec<String>,
        originals: &Outcome,
        intervals: &'a Intervals,
    ) -> anyhow::Result<Self> {
        let gallery = |(name, seen): (&String, &super::privacy::Seen)| {
            Gallery::new(seen.clone()).with_context(|| format!("the attacker {name}, originals"))
        };
        let galleries = names.iter().zip(&originals.seen).map(gallery).collect::<Result<_, _>>()?;
        Ok(Self { names, galleries, intervals })
    }

    pub(super) fn attackers(&self) -> Vec<AttackerCard> {
        let card = |(name, gallery): (&String, &Gallery)| AttackerCard {
            name: name.clone(),
            threshold: Some(f64::from(gallery.threshold)).filter(|x| x.is_finite()),
        };
        self.names.iter().zip(&self.galleries).map(card).collect()
    }

    /// What colours alone tell of the people, by other photos of theirs.
    ///
    /// # Errors
    ///
    /// As [`Judge::protection`].
    pub(super) fn controls(&self, originals: &Outcome) -> anyhow::Result<Vec<Privacy>> {
        let mut all = Vec::new();
        for (control, seen) in CONTROLS.iter().zip(&originals.controls) {
            let (name, against) = (control.name(), Genuine::OtherPhotos);
            let gallery = Gallery::new(seen.clone())?;
            all.extend(gallery.attack(name, seen, against, PAIRS, self.intervals)?);
        }
        Ok(all)
    }

    fn privacy(&self, outcome: &Outcome) -> anyhow::Result<Vec<Privacy>> {
        let pairs = if outcome.scope == Scope::Full { PAIRS } else { SWEEP_PAIRS };
        let mut all = Vec::new();
        for ((name, gallery), seen) in self.names.iter().zip(&self.galleries).zip(&outcome.seen) {
            for against in [Genuine::OwnPhoto, Genuine::OtherPhotos] {
                let attack = gallery.attack(name, seen, against, pairs, self.intervals);
                let what = || format!("the attacker {name} on {}", outcome.card.name);
                all.extend(attack.with_context(what)?);
            }
        }
        Ok(all)
    }

    fn identity_painted(&self, outcome: &Outcome) -> anyhow::Result<Option<Measured>> {
        match outcome.conditioned.is_empty() {
            true => Ok(None),
            false => Ok(self.intervals.mean(&outcome.conditioned, &outcome.people)?),
        }
    }

    /// # Errors
    ///
    /// Numbers that nothing can be measured on.
    pub(super) fn protection(&self, outcome: &Outcome) -> anyhow::Result<ProtectionReport> {
        let [read, truth] = &outcome.read;
        let read = attributes::judge(read, truth, &outcome.read_people, self.intervals)?;
        let found = finding::summary(&outcome.looked, self.intervals)?;
        let utility =
            utility::summary(&outcome.compared, &outcome.people, found, read, self.intervals)?;
        Ok(ProtectionReport {
            card: outcome.card.clone(),
            privacy: self.privacy(outcome)?,
            utility,
            identity_painted: self.identity_painted(outcome)?,
        })
    }

    /// # Errors
    ///
    /// As [`Judge::protection`].
    pub(super) fn point(&self, outcome: &Outcome) -> anyhow::Result<SweepPoint> {
        let (found, intervals) = (Default::default(), self.intervals);
        let utility = utility::summary(&outcome.compared, &outcome.people, found, None, intervals)?;
        Ok(SweepPoint {
            card: outcome.card.clone(),
            psnr: utility.psnr,
            identity_painted: self.identity_painted(outcome)?,
            privacy: self.privacy(outcome)?,
        })
    }
}

impl Data {
    pub(super) fn of(sample: &Sample, protected: Option<&Path>, train: Option<&Path>) -> Data {
        Data {
            root: path_text(&sample.root),
            protected: protected.map(path_text),
            train_data: train.map(path_text),
            people: sample.people,
            photos: sample.photos.len(),
            labelled: sample.labelled,
            left_out: sample.left_out.clone(),
        }
    }
}

impl Report {
    /// With what is the same for every report.
    pub(super) fn new(data: Data, seed: u64, intervals: &Intervals) -> Report {
        let bootstrap = intervals.0;
        Report {
            format: FORMAT,
            data,
            model: None,
            seed,
            confidence: bootstrap.confidence,
            resamples: bootstrap.resamples,
            far: FAR,
            claims: Vec::new(),
            notes: Vec::new(),
            attackers: Vec::new(),
            controls: Vec::new(),
            protections: Vec::new(),
            separation: None,
            sweep: Vec::new(),
        }
    }

    /// Writes `name` in the folder `out`, beside and renamed; only its owner may read it.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub(super) fn write(out: &Path, name: &str, text: &str) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", out.join(name).escaped());
        files::Folder::at(out).write(name, text.as_bytes()).with_context(failed)
    }
}
