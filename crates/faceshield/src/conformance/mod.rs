//! Conformance cases: numbers that the published mathematics gives on known
//! weights and inputs, recomputed and compared.
mod case;
mod fill;
mod ops;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tch::Device;

use files::Escape;

use crate::output;
use case::{Case, Comparison};

/// The report of one case.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(serialize_with = "crate::output::path")]
    case: PathBuf,
    op: String,
    pass: bool,
    tensors: Vec<Comparison>,
}

/// Runs every case in `paths` (files, or folders of `.safetensors` files) on `device` and
/// prints the largest error of each tensor. True when all passed.
///
/// # Errors
/// When a path holds no case or a file is none.
pub(crate) fn run(paths: &[PathBuf], device: Device, json: bool) -> Result<bool> {
    let mut outcomes = Vec::new();
    for path in expand(paths)? {
        let case = Case::read(&path, device)?;
        let tensors = ops::compute(&case)
            .and_then(|computed| case.compare(&computed))
            .with_context(|| path.escaped().to_string())?;
        let pass = tensors.iter().all(|line| line.pass);
        let outcome = Outcome { case: path, op: case.op, pass, tensors };
        if !json {
            show(&outcome)?;
        }
        outcomes.push(outcome);
    }
    let passed = outcomes.iter().filter(|outcome| outcome.pass).count();
    if json {
        output::json(&serde_json::json!({ "cases": outcomes, "passed": passed }))?;
    } else {
        output::line(format_args!("{passed} of {} cases pass", outcomes.len()))?;
    }
    Ok(passed == outcomes.len())
}

fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut cases = Vec::new();
    for path in paths {
        if !path.is_dir() {
            cases.push(path.clone());
            continue;
        }
        let before = cases.len();
        let read = || -> std::io::Result<Vec<PathBuf>> {
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
        };
        let mut files = read().with_context(|| path.escaped().to_string())?;
        files.retain(|file| file.extension().is_some_and(|e| e == "safetensors"));
        files.sort();
        cases.extend(files);
        if cases.len() == before {
            bail!("{}: no .safetensors file in this folder", path.escaped());
        }
    }
    Ok(cases)
}

fn show(outcome: &Outcome) -> std::io::Result<()> {
    let name = outcome.case.file_stem().unwrap_or_default();
    let verdict = if outcome.pass { "pass" } else { "FAIL" };
    output::line(format_args!("{} ({}): {verdict}", Path::new(name).escaped(), outcome.op))?;
    for line in &outcome.tensors {
        let mark = if line.pass { " " } else { "!" };
        output::line(format_args!(
            "{mark} {:<36} error {:.1e} of its spread (allowed {:.0e})",
            line.tensor, line.error, line.tolerance
        ))?;
    }
    Ok(())
}
