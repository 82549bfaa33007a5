//! `report.html`: the report's numbers as tables and charts, and what the photos look like.

use std::path::Path;

use ::page::{Axis, Chart, Page, Pictures, Point, Series, Style, Table};
use image::imageops::{self, FilterType};
use metrics::Genuine;

use super::attributes::AttributesRead;
use super::measure::Measured;
use super::privacy::Privacy;
use super::report::{ProtectionReport, Report, SweepPoint};
use super::separation::{Layer, Separation};
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
    page.section("Pictures");
    pictures(outcomes, &mut page)?;
    page.section("Privacy");
    privacy(report, &mut page);
    page.section("Utility");
    utility(report, &mut page);
    if !report.sweep.is_empty() {
        page.section("Sweep");
        sweep(report, &mut page);
    }
    if let Some(found) = &report.separation {
        page.section("Separation");
        separation(found, &mut page);
    }
    page.write(path)?;
    Ok(())
}

fn about(report: &Report, page: &mut Page) {
    let data = &report.data;
    let mut text = format!(
        "{} photos of {} people in {}. Intervals hold 95 % of {} draws of the people.",
        data.photos,
        data.people,
        data.root.display(),
        report.resamples
    );
    if let Some(protected) = &data.protected {
        text += &format!(" Protected photos: {}.", protected.display());
    }
    if let Some(model) = &report.model {
        text += &format!(
            " Model: {} ({} fidelity, {} pixels, widths / {}).",
            model.checkpoint.display(),
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

fn privacy(report: &Report, page: &mut Page) {
    page.paragraph(
        "Lower is more private, but for the success rate: the share of photos whose similarity to \
         every photo compared with is below the attacker's threshold (false accept rate 0.1 % \
         among originals). An AUC of 0.5 is chance; below it, an attacker who knows how the photos \
         were protected does better by believing the contrary.",
    );
    if !report.controls.is_empty() {
        let row = |one: &Privacy| vec![one.attacker.clone(), cell(Some(one.auc)), cell(one.rank1)];
        page.table(&Table {
            caption: "Without a face: originals told apart by colours, against other photos"
                .to_owned(),
            columns: names(&["looks at", "AUC", "rank 1, one photo enrolled"]),
            rows: report.controls.iter().map(row).collect(),
        });
    }
    for attacker in &report.attackers {
        for (against, what) in [
            (Genuine::OtherPhotos, "against other photos of the person"),
            (Genuine::OwnPhoto, "against the photo's own original"),
        ] {
            let mine = |one: &&Privacy| one.attacker == attacker.name && one.against == against;
            let found: Vec<(&ProtectionReport, &Privacy)> = report
                .protections
                .iter()
                .filter_map(|p| Some((p, p.privacy.iter().find(mine)?)))
                .collect();
            if found.is_empty() {
                continue;
            }
            let row = |(protection, one): &(&ProtectionReport, &Privacy)| {
                let shares = [one.success, Some(one.auc), Some(one.eer), Some(one.tar_at_far)];
                let ranks = [one.rank1, one.rank1_enrolled, one.cosine];
                let cells = shares.into_iter().chain(ranks).map(cell);
                std::iter::once(protection.card.name.clone()).chain(cells).collect()
            };
            page.table(&Table {
                caption: format!("{}: {what}", attacker.name),
                columns: names(&[
                    "protection",
                    "success rate",
                    "AUC",
                    "EER",
                    "TAR at FAR 0.1 %",
                    "rank 1, one photo enrolled",
                    "rank 1, all enrolled",
                    "mean cosine",
                ]),
                rows: found.iter().map(row).collect(),
            });
            let series = |(protection, one): &(&ProtectionReport, &Privacy)| Series {
                name: protection.card.name.clone(),
                points: one
                    .roc
                    .iter()
                    .filter(|[far, _]| *far >= 1e-4)
                    .map(|&[far, tar]| Point::new(far, tar))
                    .collect(),
                style: Style::Line,
            };
            page.chart(&Chart {
                title: format!("{}: verification {what}", attacker.name),
                x: Axis { log: true, range: Some((1e-4, 1.0)), ..Axis::new("false accept rate") },
                y: Axis { range: Some((0.0, 1.0)), ..Axis::new("true accept rate") },
                series: found.iter().map(series).collect(),
            });
        }
    }
}

fn utility(report: &Report, page: &mut Page) {
    let row = |protection: &ProtectionReport| {
        let u = &protection.utility;
        let found = &u.findings;
        let cells = [u.psnr, u.ssim, u.colour_change_outside, u.colour_change_inside]
            .into_iter()
            .chain([found.face_found, found.landmark_shift, found.landmark_error])
            .chain([protection.identity_painted]);
        let cells = cells.map(cell);
        std::iter::once(protection.card.name.clone()).chain(cells).collect()
    };
    page.table(&Table {
        caption: "What is left of the pictures".to_owned(),
        columns: names(&[
            "protection",
            "PSNR, dB",
            "SSIM",
            "colour change outside the face",
            "inside",
            "face found",
            "landmark shift",
            "landmark error",
            "cosine with the identity painted",
        ]),
        rows: report.protections.iter().map(row).collect(),
    });
    let read = report.protections.iter();
    let read: Vec<(&str, &AttributesRead)> =
        read.filter_map(|p| Some((p.card.name.as_str(), p.utility.attributes.as_ref()?))).collect();
    if !read.is_empty() {
        page.table(&attributes("Attributes read from the pictures, R²", &read));
    }
    let worst = |protection: &ProtectionReport| {
        let aucs = protection.privacy.iter().filter(|one| one.against == Genuine::OtherPhotos);
        let auc = aucs.map(|one| one.auc).max_by(|a, b| a.value().total_cmp(&b.value()))?;
        let point = Point::new(protection.utility.psnr?.value(), auc.value());
        Some(point.between(auc.interval.low, auc.interval.high))
    };
    let series = |protection: &ProtectionReport| {
        let points = vec![worst(protection)?];
        Some(Series { name: protection.card.name.clone(), points, style: Style::Dots })
    };
    let series: Vec<Series> = report.protections.iter().filter_map(series).collect();
    if !series.is_empty() {
        page.chart(&Chart {
            title: "Privacy and utility: AUC of the best attacker, other photos".to_owned(),
            x: Axis::new("PSNR, dB"),
            y: Axis::new("AUC"),
            series,
        });
    }
}

fn sweep(report: &Report, page: &mut Page) {
    let attacker = report.attackers.last().map_or("", |attacker| attacker.name.as_str());
    let auc = |point: &SweepPoint| {
        let mine = |one: &&Privacy| one.attacker == attacker && one.against == Genuine::OtherPhotos;
        Some(point.privacy.iter().find(mine)?.auc)
    };
    let row = |point: &SweepPoint| {
        let mut cells = vec![point.card.name.clone(), cell(auc(point)), cell(point.psnr)];
        cells.push(cell(point.identity_painted));
        cells
    };
    page.table(&Table {
        caption: format!("AUC of {attacker}, other photos, and what is left"),
        columns: names(&["mechanism", "AUC", "PSNR, dB", "cosine with the identity painted"]),
        rows: report.sweep.iter().map(row).collect(),
    });
    let mut mechanisms: Vec<&str> =
        report.sweep.iter().filter_map(|point| point.card.mechanism.as_deref()).collect();
    mechanisms.dedup();
    let series = |of: &dyn Fn(&SweepPoint) -> Option<Measured>| -> Vec<Series> {
        let one = |mechanism: &&str| {
            let points = report.sweep.iter();
            let mine = |point: &&SweepPoint| {
                point.card.mechanism.as_deref() == Some(*mechanism)
                    && point.card.epsilon.is_some_and(|epsilon| epsilon > 0.0)
            };
            let points: Vec<Point> = points
                .filter(mine)
                .filter_map(|point| {
                    let found = of(point)?;
                    let at = Point::new(point.card.epsilon?, found.value());
                    Some(at.between(found.interval.low, found.interval.high))
                })
                .collect();
            let some = !points.is_empty();
            some.then(|| Series { name: (*mechanism).to_owned(), points, style: Style::Line })
        };
        mechanisms.iter().filter_map(one).collect()
    };
    let psnr = |point: &SweepPoint| point.psnr;
    let charts: [(&str, &str, Vec<Series>); 2] = [
        ("Verification, other photos", "AUC", series(&auc)),
        ("What is left of the picture", "PSNR, dB", series(&psnr)),
    ];
    for (title, label, series) in charts {
        page.chart(&Chart {
            title: title.to_owned(),
            x: Axis { log: true, ..Axis::new("ε") },
            y: Axis::new(label),
            series,
        });
    }
    page.paragraph(
        "ε means what each mechanism says of it (docs/privacy.md); of angular it is a noise scale \
         and proves nothing. With ε = 0, independent is not on a logarithmic axis.",
    );
}

fn separation(found: &Separation, page: &mut Page) {
    page.paragraph(&format!(
        "Independence of the identity and the perceptual part of each layer in {} photos, \
         standardised, by stage I's own terms; at the start, separation layers are fresh.",
        found.photos
    ));
    let changes = [
        ("unbiased HSIC · ln C", &found.hsic),
        ("mean |cos| of channels", &found.alignment),
        ("angle, degrees", &found.angle_degrees),
        ("identity kept, cos(z_id, E)", &found.retention),
    ];
    let row = |(name, change): &(&str, &super::separation::Change)| {
        let cells = [Some(change.trained), Some(change.start), Some(change.ratio)];
        let cells = cells.into_iter().chain([change.masks_alone, change.ratio_to_masks_alone]);
        std::iter::once((*name).to_owned()).chain(cells.map(cell)).collect()
    };
    page.table(&Table {
        caption: "Means over layers".to_owned(),
        columns: names(&[
            "",
            "trained",
            "at the start",
            "ratio",
            "fresh masks alone",
            "ratio to them",
        ]),
        rows: changes.iter().map(row).collect(),
    });
    let layers: Vec<String> = found.layers.iter().map(|layer| layer.layer.to_string()).collect();
    type Pick = fn(&Layer) -> Measured;
    let charts: [(&str, Pick, Pick); 2] = [
        ("unbiased HSIC · ln C", |l| l.hsic, |l| l.hsic_start),
        ("mean |cos| of channels", |l| l.alignment, |l| l.alignment_start),
    ];
    for (label, trained, start) in charts {
        let series = |name: &str, of: Pick| Series {
            name: name.to_owned(),
            points: (0u32..)
                .zip(&found.layers)
                .map(|(k, layer)| {
                    let one = of(layer);
                    Point::new(f64::from(k), one.value())
                        .between(one.interval.low, one.interval.high)
                })
                .collect(),
            style: Style::Bars,
        };
        page.chart(&Chart {
            title: label.to_owned(),
            x: Axis { names: layers.clone(), ..Axis::new("layer") },
            y: Axis::new(label),
            series: vec![series("at the start", start), series("trained", trained)],
        });
    }
    let row = |probe: &super::separation::Probe| {
        vec![
            probe.features.to_owned(),
            probe.dimensions.to_string(),
            cell(probe.identity),
            probe.chance.map_or(NONE.to_owned(), |chance| format!("{chance:.3}")),
        ]
    };
    page.table(&Table {
        caption: "Identity read by a linear probe: share of photos".to_owned(),
        columns: names(&["read from", "numbers", "identity", "chance"]),
        rows: found.probes.iter().map(row).collect(),
    });
    let read: Vec<(&str, &AttributesRead)> = found
        .probes
        .iter()
        .filter_map(|probe| Some((probe.features, probe.attributes.as_ref()?)))
        .collect();
    if !read.is_empty() {
        page.table(&attributes("Attributes read by linear probes, R²", &read));
    }
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
