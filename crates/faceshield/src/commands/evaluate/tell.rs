//! What is said of a report on standard output: the numbers that decide.

use files::Escape;
use std::path::Path;

use metrics::Genuine;

use super::attributes::AttributesRead;
use super::measure::{Measured, number};
use super::report::{ProtectionReport, Report};
use super::separation::Separation;
use super::{PAGE, REPORT};
use crate::output;

/// # Errors
///
/// When standard output refuses.
pub(super) fn tell(out: &Path, report: &Report) -> anyhow::Result<()> {
    for one in &report.protections {
        protection(one)?;
    }
    for one in &report.controls {
        let (name, auc) = (&one.attacker, one.auc.value());
        output::line(format_args!("{name} alone: AUC {auc:.3}"))?;
    }
    if let Some(found) = &report.separation {
        separation(found)?;
    }
    let left_out = report.data.left_out.len();
    if left_out > 0 {
        output::line(format_args!("{left_out} photos left out: see the report"))?;
    }
    for note in &report.notes {
        output::line(format_args!("note: {note}"))?;
    }
    for claim in &report.claims {
        output::line(claim)?;
    }
    let out = out.escaped();
    Ok(output::line(format_args!("report: {out}/{REPORT} and {out}/{PAGE}"))?)
}

fn protection(one: &ProtectionReport) -> anyhow::Result<()> {
    let (name, utility) = (&one.card.name, &one.utility);
    let psnr = utility.psnr.map_or("–".to_owned(), |one| format!("{:.1} dB", one.value()));
    let mut line = format!("{name}: PSNR {psnr}, SSIM {}", number(utility.ssim, 3));
    if one.identity_painted.is_some() {
        line += &format!(", cosine with its identity {}", number(one.identity_painted, 3));
    }
    if utility.findings.face_found.is_some() {
        line += &format!(", faces found {}", number(utility.findings.face_found, 3));
    }
    output::line(line)?;
    if let Some(read) = &utility.attributes {
        output::line(format_args!("  {}", attributes(read)))?;
    }
    for one in &one.privacy {
        let against = match one.against {
            Genuine::OwnPhoto => "own original",
            _ => "other photos",
        };
        output::line(format_args!(
            "  {} against {against}: AUC {:.3}, rank 1 {}, success {}",
            one.attacker,
            one.auc.value(),
            number(one.rank1, 3),
            number(one.success, 3)
        ))?;
    }
    Ok(())
}

fn attributes(read: &AttributesRead) -> String {
    r_squared([read.pose, read.light, read.expression].map(Some))
}

/// R² of pose, light and expression.
pub(crate) fn r_squared(read: [Option<Measured>; 3]) -> String {
    let [pose, light, expression] = read.map(|group| number(group, 3));
    format!("R² of pose {pose}, light {light}, expression {expression}")
}

fn separation(found: &Separation) -> anyhow::Result<()> {
    output::line(format_args!("separation: cos(z_id, E) {:.3}", found.retention.trained.value()))?;
    for (name, change) in [("HSIC", &found.hsic), ("alignment", &found.alignment)] {
        let of_masks = change.ratio_to_masks_alone;
        let of_masks = of_masks.map_or(String::new(), |ratio| {
            format!(" ({:.3} of that of masks alone)", ratio.value())
        });
        let (trained, ratio) = (change.trained.value(), change.ratio.value());
        output::line(format_args!("  {name} {trained:.5}, {ratio:.3} of its start{of_masks}"))?;
    }
    for probe in &found.probes {
        let read = probe.attributes.as_ref();
        let read = read.map_or(String::new(), |read| format!(", {}", attributes(read)));
        let (name, identity) = (probe.features, number(probe.identity, 3));
        output::line(format_args!("  from {name}: identity {identity}{read}"))?;
    }
    Ok(())
}
