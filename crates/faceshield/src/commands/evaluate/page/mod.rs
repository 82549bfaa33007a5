//! `report.html`: the report's numbers as tables and charts, and what the photos look like.

mod privacy;
mod separation;
mod sweep;
mod utility;

use files::Escape;
use std::path::Path;

use ::page::{Page, Pictures, Table};
use image::imageops::{self, FilterType};

use super::attributes::AttributesRead;
use super::measure::Measured;
use super::report::Report;
use super::work::{Outcome, Scope};

/// Side of a picture on the page.
const SIDE: u32 = 160;
/// What a cell says where nothing was measured.
const NONE: &str = "–";

/// Writes the page.
///
/// # Errors
///
/// When a picture cannot be encoded, or the disk refuses.
pub(super) fn write(report: &Report, outcomes: &[Outcome], path: &Path) -> anyhow::Result<()> {
    let mut page = Page::new("FaceShield: evaluation");
    about(report, &mut page);
    if outcomes.iter().any(|outcome| !outcome.pictures.is_empty()) {
        page.warning(
            "This page contains original, unprotected photos of people. Keep it private: give it \
             to nobody who may not see the originals.",
        );
    }
    page.section("Pictures");
    pictures(outcomes, &mut page)?;
    page.section("Privacy");
    privacy::privacy(report, &mut page);
    page.section("Utility");
    utility::utility(report, &mut page);
    if !report.sweep.is_empty() {
        page.section("Sweep");
        sweep::sweep(report, &mut page);
    }
    if let Some(found) = &report.separation {
        page.section("Separation");
        separation::separation(found, &mut page);
    }
    page.write(path)?;
    Ok(())
}

fn about(report: &Report, page: &mut Page) {
    let data = &report.data;
    let mut text = format!(
        "{} photos of {} people in {}. Intervals hold 95 % of {} draws of the people.",
        data.photos, data.people, data.root, report.resamples
    );
    if let Some(protected) = &data.protected {
        text += &format!(" Protected photos: {}.", protected);
    }
    if let Some(model) = &report.model {
        text += &format!(
            " Model: {} ({} fidelity, {} pixels, widths / {}).",
            model.checkpoint.escaped(),
            model.fidelity,
            model.image_size,
            model.width_divisor
        );
    }
    page.paragraph(&text);
    for claim in &report.claims {
        page.paragraph(claim);
    }
    for note in &report.notes {
        page.paragraph(&format!("Not measured: {note}."));
    }
    if !data.left_out.is_empty() {
        let row = |one: &super::sample::LeftOut| vec![one.photo.clone(), one.why.clone()];
        page.table(&Table {
            caption: format!("{} photos were left out", data.left_out.len()),
            columns: names(&["photo", "why"]),
            rows: data.left_out.iter().take(50).map(row).collect(),
        });
    }
}

fn pictures(outcomes: &[Outcome], page: &mut Page) -> anyhow::Result<()> {
    let shown: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.scope == Scope::Full).collect();
    let Some(first) = shown.first() else { return Ok(()) };
    let small = |picture: &faces::RgbImage| match picture.width() > SIDE {
        true => imageops::resize(picture, SIDE, SIDE, FilterType::Triangle),
        false => picture.clone(),
    };
    let row = |k: usize| {
        let pictures = shown.iter().filter_map(|o| o.pictures.get(k)).map(|(_, p)| small(p));
        (first.pictures[k].0.clone(), pictures.collect())
    };
    page.pictures(&Pictures {
        caption: "The same photos, protected in each way".to_owned(),
        columns: shown.iter().map(|outcome| outcome.card.name.clone()).collect(),
        rows: (0..first.pictures.len()).map(row).collect(),
    })?;
    Ok(())
}

fn attributes(caption: &str, read: &[(&str, &AttributesRead)]) -> Table {
    let factors: Vec<&str> =
        read.first().map(|(_, one)| one.factors.keys().copied().collect()).unwrap_or_default();
    let row = |(name, one): &(&str, &AttributesRead)| {
        let groups = [one.pose, one.light, one.expression].map(|group| cell(Some(group)));
        let each = factors.iter().map(|factor| match one.factors.get(factor) {
            Some(found) => format!("{:.2}", found.value()),
            None => NONE.to_owned(),
        });
        std::iter::once((*name).to_owned()).chain(groups).chain(each).collect()
    };
    let columns = ["", "pose", "light", "expression"].into_iter().chain(factors.iter().copied());
    Table {
        caption: caption.to_owned(),
        columns: columns.map(str::to_owned).collect(),
        rows: read.iter().map(row).collect(),
    }
}

/// A number with its interval.
pub(super) fn cell(found: Option<Measured>) -> String {
    let Some(Measured { interval, .. }) = found else { return NONE.to_owned() };
    // As many digits as the interval gives a meaning to, about.
    let digits = match interval.value.abs() {
        x if x >= 10.0 => 1,
        x if x >= 0.01 || x == 0.0 => 3,
        _ => 5,
    };
    let (value, low, high) = (interval.value, interval.low, interval.high);
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
