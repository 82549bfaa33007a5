//! A conformance case on disk, and the comparison with what was computed.
use files::Escape;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use weights::Tensors;

use super::fill::Fill;

/// Largest error allowed, in units of the tensor's spread.
const TOLERANCE: f64 = 1e-4;
const GRADIENT_TOLERANCE: f64 = 1e-3;
/// Elements of a sample.
const SAMPLE: i64 = 512;
/// Side of a block that a thumbnail averages.
const BLOCK: i64 = 16;

#[derive(Debug, Deserialize)]
struct Description {
    op: String,
    fill_seed: u64,
    #[serde(default)]
    rows: Vec<[f64; 3]>,
}

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) op: String,
    pub(super) fill: Fill,
    /// ε, U and θ of the rows of a perturbation case.
    pub(super) rows: Vec<[f64; 3]>,
    tensors: Tensors,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) tensor: String,
    /// Largest error relative to the spread of what is expected.
    pub(super) error: f64,
    pub(super) tolerance: f64,
    pub(super) pass: bool,
}

impl Case {
    pub(super) fn read(path: &Path, device: Device) -> Result<Self> {
        let archive = weights::read(path)?;
        let text = archive.metadata.get("case").with_context(|| {
            format!("{}: no metadata key `case`: this is not a conformance case", path.escaped())
        })?;
        let description: Description = serde_json::from_str(text)
            .with_context(|| format!("{}: the metadata key `case` is damaged", path.escaped()))?;
        Ok(Case {
            op: description.op,
            fill: Fill { seed: description.fill_seed, device },
            rows: description.rows,
            tensors: archive.tensors,
        })
    }

    /// The tensor `in.{name}`.
    pub(super) fn input(&self, name: &str) -> Result<Tensor> {
        let tensor = self.find(&format!("in.{name}"));
        let tensor = tensor.with_context(|| format!("the case has no tensor in.{name}"))?;
        Ok(tensor.to_device(self.fill.device))
    }

    /// Whether the case holds this input itself.
    pub(super) fn has_input(&self, name: &str) -> bool {
        self.find(&format!("in.{name}")).is_some()
    }

    fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Compares every expected tensor with what was computed under its name.
    pub(super) fn compare(&self, computed: &Tensors) -> Result<Vec<Comparison>> {
        let mut lines = Vec::new();
        for (key, expected) in &self.tensors {
            let Some(name) = key.strip_prefix("out.") else { continue };
            let (base, form) = ["sample", "stats", "thumb"]
                .iter()
                .find_map(|form| Some((name.strip_suffix(&format!(".{form}"))?, *form)))
                .unwrap_or((name, "whole"));
            let Some(actual) = computed.get(base) else {
                bail!("the case expects {base}, which this program does not compute");
            };
            let actual = actual.detach().to_device(Device::Cpu).to_kind(Kind::Double);
            // Statistics are judged by the spread they state.
            let (actual, spread) = match form {
                "sample" => (sample(&actual), spread(expected)),
                "thumb" => (
                    actual.avg_pool2d([BLOCK; 2], [BLOCK; 2], [0; 2], false, true, None),
                    spread(expected),
                ),
                "stats" => (stats(&actual), expected.to_kind(Kind::Double).double_value(&[1])),
                _ => (actual, spread(expected)),
            };
            let error = if actual.numel() == expected.numel() {
                let expected = expected.to_kind(Kind::Double).view_as(&actual);
                (actual - expected).abs().max().double_value(&[]) / spread
            } else {
                f64::INFINITY
            };
            let tolerance = if base.starts_with("grad") { GRADIENT_TOLERANCE } else { TOLERANCE };
            // Written so that a NaN fails.
            let pass = error <= tolerance;
            lines.push(Comparison { tensor: name.to_string(), error, tolerance, pass });
        }
        if lines.is_empty() {
            bail!("the case expects nothing (no tensor out.*)");
        }
        Ok(lines)
    }
}

/// Standard deviation; of a single number, its size.
fn spread(t: &Tensor) -> f64 {
    let t = t.to_kind(Kind::Double);
    let spread = match t.numel() {
        1 => t.abs().max().double_value(&[]),
        _ => t.std(true).double_value(&[]),
    };
    spread.max(f64::MIN_POSITIVE)
}

/// Elements at floor(k·(numel−1)/511), or all.
fn sample(t: &Tensor) -> Tensor {
    let flat = t.flatten(0, -1);
    let n = flat.size()[0];
    if n <= SAMPLE {
        return flat;
    }
    let places: Vec<i64> = (0..SAMPLE).map(|k| k * (n - 1) / (SAMPLE - 1)).collect();
    flat.index_select(0, &Tensor::from_slice(&places))
}

/// Mean, unbiased standard deviation, smallest, largest.
fn stats(t: &Tensor) -> Tensor {
    Tensor::stack(&[t.mean(Kind::Double), t.std(true), t.min(), t.max()], 0)
}
