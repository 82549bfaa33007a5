//! What is left of the pictures, and what it costs in privacy.

use ::page::{Axis, Chart, Page, Point, Series, Style, Table};
use metrics::Genuine;

use super::super::attributes::AttributesRead;
use super::super::report::{ProtectionReport, Report};
use super::{attributes, cell, names};

pub(super) fn utility(report: &Report, page: &mut Page) {
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
