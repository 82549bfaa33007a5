//! What a comparison takes from a `report.json` (docs/evaluate.md).

use files::Escape;
use std::path::Path;

use anyhow::Context;
use metrics::Genuine;
use serde::Deserialize;

use crate::commands::evaluate::{FORMAT, Measured};
use crate::failure::misuse;

/// Bytes of a report that are read: one of 10,000 photos left out by name has one.
const LONGEST: u64 = 64 << 20;

#[derive(Debug, Deserialize)]
pub(super) struct Report {
    format: u32,
    data: Data,
    pub(super) protections: Vec<Protection>,
    #[serde(default)]
    pub(super) separation: Option<Separation>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Data {
    people: usize,
    photos: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct Protection {
    pub(super) name: String,
    privacy: Vec<Attack>,
    pub(super) utility: Utility,
    #[serde(default)]
    pub(super) identity_painted: Option<Measured>,
}

#[derive(Debug, Deserialize)]
struct Attack {
    against: Genuine,
    auc: Measured,
    #[serde(default)]
    rank1: Option<Measured>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Utility {
    #[serde(default)]
    pub(super) psnr: Option<Measured>,
    #[serde(default)]
    pub(super) ssim: Option<Measured>,
    #[serde(default)]
    pub(super) face_found: Option<Measured>,
    #[serde(default)]
    pub(super) attributes: Option<Attributes>,
}

/// R² of each group.
#[derive(Debug, Deserialize)]
pub(super) struct Attributes {
    pose: Measured,
    light: Measured,
    expression: Measured,
}

#[derive(Debug, Deserialize)]
pub(super) struct Separation {
    pub(super) hsic: Change,
    pub(super) alignment: Change,
    pub(super) retention: Change,
    probes: Vec<Probe>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    pub(super) trained: Measured,
}

#[derive(Debug, Deserialize)]
pub(super) struct Probe {
    features: String,
    #[serde(default)]
    pub(super) identity: Option<Measured>,
    #[serde(default)]
    pub(super) attributes: Option<Attributes>,
}

impl Report {
    /// # Errors
    ///
    /// A file that cannot be read or is no report of this format.
    pub(super) fn read(path: &Path) -> anyhow::Result<Report> {
        let text = files::input::read_to_string(path, LONGEST)
            .with_context(|| format!("cannot read {}", path.escaped()))?;
        let report: Report = serde_json::from_str(&text).map_err(|error| {
            misuse(format!("{}: no report.json of `faceshield evaluate`: {error}", path.escaped()))
        })?;
        match report.format {
            FORMAT => Ok(report),
            other => Err(misuse(format!(
                "{}: a report of format {other}, this program reads {FORMAT}: evaluate again",
                path.escaped()
            ))),
        }
    }

    /// Whether both are of as many photos of as many people: of a data set, that is as much as
    /// reports say.
    pub(super) fn same_photos(&self, other: &Report) -> bool {
        self.data == other.data
    }
}

impl Protection {
    /// AUC of the attacker that knows most people again by their own originals.
    pub(super) fn worst(&self) -> Option<Measured> {
        self.own().map(|one| one.auc).max_by(|a, b| a.value().total_cmp(&b.value()))
    }

    /// Rank 1 of the attacker that finds most people.
    pub(super) fn rank1(&self) -> Option<Measured> {
        self.own().filter_map(|one| one.rank1).max_by(|a, b| a.value().total_cmp(&b.value()))
    }

    fn own(&self) -> impl Iterator<Item = &Attack> {
        self.privacy.iter().filter(|one| one.against == Genuine::OwnPhoto)
    }
}

impl Attributes {
    /// Of pose, light and expression.
    pub(super) fn groups(read: Option<&Attributes>) -> [Option<Measured>; 3] {
        read.map_or([None; 3], |one| [one.pose, one.light, one.expression].map(Some))
    }
}

impl Separation {
    /// The probe of perception.
    pub(super) fn perception(&self) -> Option<&Probe> {
        self.probes.iter().find(|probe| probe.features == "perception")
    }
}
