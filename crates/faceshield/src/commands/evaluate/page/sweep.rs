//! Mechanisms over ε.

use ::page::{Axis, Chart, Page, Point, Series, Style, Table};
use metrics::Genuine;

use super::super::measure::Measured;
use super::super::privacy::Privacy;
use super::super::report::{Report, SweepPoint};
use super::{cell, names};

pub(super) fn sweep(report: &Report, page: &mut Page) {
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
