//! How well the model separates.

use ::page::{Axis, Chart, Page, Point, Series, Style, Table};

use super::super::attributes::AttributesRead;
use super::super::measure::Measured;
use super::super::separation::{Change, Layer, Probe, Separation};
use super::{NONE, attributes, cell, names};

pub(super) fn separation(found: &Separation, page: &mut Page) {
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
    let row = |(name, change): &(&str, &Change)| {
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
    let row = |probe: &Probe| {
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
