//! The page: a table and charts for each protection that more than one report has, and for the
//! separation.

use std::path::Path;

use ::page::{Axis, Chart, Page, Point, Series, Style, Table};

use super::read::{Attributes, Protection, Report, Separation};
use crate::commands::evaluate::{Measured, number};

/// A chart and the name of its file.
type Drawn = (String, Chart);

/// What is left of a picture: names of files and of axes.
const LEFT: [(&str, &str); 5] = [
    ("psnr", "PSNR, dB"),
    ("ssim", "SSIM"),
    ("pose", "pose, R²"),
    ("light", "light, R²"),
    ("expression", "expression, R²"),
];

/// The numbers of [`LEFT`].
fn left(one: &Protection) -> [Option<Measured>; 5] {
    let [pose, light, expression] = Attributes::groups(one.utility.attributes.as_ref());
    [one.utility.psnr, one.utility.ssim, pose, light, expression]
}

/// Writes the page; gives its charts back.
///
/// # Errors
///
/// When the disk refuses.
pub(super) fn write(found: &[(String, Report)], path: &Path) -> anyhow::Result<Vec<Drawn>> {
    let mut page = Page::new("FaceShield: evaluations compared");
    page.paragraph(
        "AUC and rank 1 are those of the attacker that does best, against own originals; an AUC of \
         0.5 is chance. Whiskers are 95 % intervals.",
    );
    let mut charts = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for one in found.iter().flat_map(|(_, report)| &report.protections) {
        if !names.contains(&one.name.as_str()) && one.utility.psnr.is_some() {
            names.push(&one.name);
        }
    }
    for name in names {
        let rows: Vec<(&str, &Protection)> = found
            .iter()
            .filter_map(|(of_report, report)| {
                let found = report.protections.iter().find(|one| one.name == name)?;
                Some((of_report.as_str(), found))
            })
            .collect();
        page.section(name);
        protection(name, &rows, &mut page, &mut charts);
    }
    let rows: Vec<(&str, &Separation)> = found
        .iter()
        .filter_map(|(name, report)| Some((name.as_str(), report.separation.as_ref()?)))
        .collect();
    if !rows.is_empty() {
        page.section("Separation");
        separation(&rows, &mut page, &mut charts);
    }
    page.write(path)?;
    Ok(charts)
}

fn protection(name: &str, rows: &[(&str, &Protection)], page: &mut Page, charts: &mut Vec<Drawn>) {
    let row = |(report, one): &(&str, &Protection)| {
        let [psnr, ssim, pose, light, expression] = left(one);
        let shares = [one.rank1(), one.identity_painted, ssim, pose, light, expression];
        let mut cells = vec![(*report).to_owned(), number(one.worst(), 3)];
        cells.extend(shares.map(|share| number(share, 3)));
        cells.push(number(psnr, 1));
        cells.push(number(one.utility.face_found, 3));
        cells
    };
    page.table(&table(
        name,
        &[
            "",
            "AUC",
            "rank 1",
            "cosine with its identity",
            "SSIM",
            "pose, R²",
            "light, R²",
            "expression, R²",
            "PSNR, dB",
            "face found",
        ],
        rows.iter().map(row).collect(),
    ));
    for (k, (file, label)) in LEFT.into_iter().enumerate() {
        let points = rows.iter().map(|(report, one)| (*report, left(one)[k], one.worst()));
        let title = format!("{name}: privacy and {label}");
        charts.extend(chart(page, format!("{}-{file}", slug(name)), title, label, "AUC", points));
    }
}

fn separation(rows: &[(&str, &Separation)], page: &mut Page, charts: &mut Vec<Drawn>) {
    let of = |one: &Separation| {
        let probe = one.perception();
        let groups = Attributes::groups(probe.and_then(|probe| probe.attributes.as_ref()));
        (probe.and_then(|probe| probe.identity), groups)
    };
    let row = |(report, one): &(&str, &Separation)| {
        let (identity, groups) = of(one);
        let kept = number(Some(one.retention.trained), 3);
        let mut cells = vec![(*report).to_owned(), kept];
        cells.push(number(Some(one.hsic.trained), 5));
        cells.push(number(Some(one.alignment.trained), 3));
        cells.push(number(identity, 3));
        cells.extend(groups.map(|group| number(group, 3)));
        cells
    };
    page.table(&table(
        "Stage I, and what linear probes read from perception",
        &[
            "",
            "cos(z_id, E)",
            "unbiased HSIC · ln C",
            "mean |cos| of channels",
            "identity",
            "pose, R²",
            "light, R²",
            "expression, R²",
        ],
        rows.iter().map(row).collect(),
    ));
    for (k, attribute) in ["pose", "light", "expression"].into_iter().enumerate() {
        let points = rows.iter().map(|(report, one)| {
            let (identity, groups) = of(one);
            (*report, groups[k], identity)
        });
        let title = format!("What perception tells: identity and {attribute}");
        let label = format!("{attribute}, R²");
        let file = format!("perception-{attribute}");
        charts.extend(chart(page, file, title, &label, "identity, share of photos", points));
    }
}

/// A point a report, those whose numbers are known; without any there is no chart.
fn chart<'a>(
    page: &mut Page,
    file: String,
    title: String,
    x: &str,
    y: &str,
    points: impl Iterator<Item = (&'a str, Option<Measured>, Option<Measured>)>,
) -> Option<Drawn> {
    let series = |(name, x, y): (&str, Option<Measured>, Option<Measured>)| {
        let (x, y) = (x?, y?);
        let point = Point::new(x.value(), y.value()).between(y.interval.low, y.interval.high);
        Some(Series { name: name.to_owned(), points: vec![point], style: Style::Dots })
    };
    let series: Vec<Series> = points.filter_map(series).collect();
    if series.is_empty() {
        return None;
    }
    let chart = Chart { title, x: Axis::new(x), y: Axis::new(y), series };
    page.chart(&chart);
    Some((file, chart))
}

fn table(caption: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    let columns = columns.iter().map(|&column| column.to_owned()).collect();
    Table { caption: caption.to_owned(), columns, rows }
}

/// A name as part of a file's name.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(plain).collect()
}
