//! What attackers know.

use ::page::{Axis, Chart, Page, Point, Series, Style, Table};
use metrics::Genuine;

use super::super::privacy::Privacy;
use super::super::report::{ProtectionReport, Report};
use super::{cell, names};

pub(super) fn privacy(report: &Report, page: &mut Page) {
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
