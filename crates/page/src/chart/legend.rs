//! How series look, and the legend that says which is which.

use super::text;
use super::{Chart, Style};
use crate::markup::Markup;

/// Colours in the style sheet: those of Okabe and Ito without yellow, which colour-blind people
/// tell apart.
const COLOURS: usize = 7;

/// Dashes of lines: another one for each round of colours.
const DASHES: [&str; 4] = ["none", "7 3", "2 3", "9 3 2 3"];

/// Shapes of marks. With [`COLOURS`] shared by no factor, 35 series differ.
const SHAPES: usize = 5;

/// Points up to which a line has marks.
const MARKED: usize = 30;

/// The room of a key and its distance to the name.
const KEY: f64 = 30.0;

/// The height of a row.
const ROW: f64 = 18.0;

/// What one series looks like.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) style: Style,
    /// Whether its line has marks.
    pub(super) marked: bool,
    place: usize,
}

impl Look {
    /// The looks of all series of a chart.
    pub(super) fn all(chart: &Chart) -> Vec<Look> {
        let look = |(place, series): (usize, &super::Series)| {
            let marked = series.style == Style::Line && series.points.len() <= MARKED;
            Look { style: series.style, marked, place }
        };
        chart.series.iter().enumerate().map(look).collect()
    }

    /// Its colour, as a class of the style sheet.
    pub(super) fn class(&self) -> String {
        format!("c{}", self.place % COLOURS)
    }

    pub(super) fn dash(&self) -> &'static str {
        DASHES[self.place / COLOURS % DASHES.len()]
    }

    /// How dense its bars are: paler for each round of colours.
    pub(super) fn density(&self) -> f64 {
        [0.85, 0.5, 0.25][self.place / COLOURS % 3]
    }

    /// A mark of about radius `r`, in the current colour, with a title if there is one.
    pub(super) fn mark(&self, out: &mut Markup, [x, y]: [f64; 2], r: f64, title: &str) {
        let title = |out: &mut Markup| {
            if !title.is_empty() {
                out.with_text("title", &[], title);
            }
        };
        // Corners at x and y in units of r.
        let corners: &[[f64; 2]] = match self.place % SHAPES {
            0 => {
                let circle: crate::markup::Attributes<'_> =
                    &[("cx", &px(x)), ("cy", &px(y)), ("r", &r)];
                return out.element("circle", circle, title);
            }
            1 => &[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
            2 => &[[0.0, -1.2], [1.15, 0.85], [-1.15, 0.85]],
            3 => &[[0.0, -1.3], [1.3, 0.0], [0.0, 1.3], [-1.3, 0.0]],
            _ => &[[0.0, 1.2], [1.15, -0.85], [-1.15, -0.85]],
        };
        let corner =
            |[across, down]: &[f64; 2]| format!("{},{}", px(x + across * r), px(y + down * r));
        let points = corners.iter().map(corner).collect::<Vec<_>>().join(" ");
        out.element("polygon", &[("points", &points)], title);
    }
}

/// The legend's height; 0 without one.
pub(super) fn height(chart: &Chart, room: f64) -> f64 {
    if !needed(chart) {
        return 0.0;
    }
    chart.series.len().div_ceil(columns(chart, room)) as f64 * ROW + 4.0
}

/// Keys and names in columns, from `left` and `top` on.
pub(super) fn draw(chart: &Chart, out: &mut Markup, [left, top]: [f64; 2], room: f64) {
    if !needed(chart) {
        return;
    }
    let columns = columns(chart, room);
    let width = (room / columns as f64).min(widest(chart) + KEY + 18.0);
    for (place, (series, look)) in chart.series.iter().zip(Look::all(chart)).enumerate() {
        let x = left + (place % columns) as f64 * width;
        let y = top + (place / columns) as f64 * ROW + ROW / 2.0;
        let coloured: crate::markup::Attributes<'_> =
            &[("class", &look.class()), ("fill", &"currentColor")];
        out.element("g", coloured, |out| key(out, look, [x, y]));
        let name = text::fitted(&series.name, width - KEY - 6.0, 12.0);
        out.element("text", &[("x", &px(x + KEY)), ("y", &px(y + 4.0))], |out| {
            out.text(&name);
            if name != series.name {
                out.with_text("title", &[], &series.name);
            }
        });
        out.line();
    }
}

/// A pixel's number: hundredths are fine enough.
pub(super) fn px(pixel: f64) -> f64 {
    // The sum turns −0 into 0.
    (pixel * 100.0).round() / 100.0 + 0.0
}

fn needed(chart: &Chart) -> bool {
    chart.series.len() > 1 || chart.series.iter().any(|series| !series.name.is_empty())
}

fn widest(chart: &Chart) -> f64 {
    let widths = chart.series.iter().map(|series| text::width(&series.name, 12.0));
    widths.fold(0.0, f64::max)
}

fn columns(chart: &Chart, room: f64) -> usize {
    let most = (room / (widest(chart) + KEY + 18.0)).floor().max(1.0) as usize;
    most.min(chart.series.len().max(1))
}

fn key(out: &mut Markup, look: Look, [x, y]: [f64; 2]) {
    match look.style {
        Style::Line => {
            line(out, [x, y], [x + 24.0, y], look.dash());
            if look.marked {
                look.mark(out, [x + 12.0, y], 3.5, "");
            }
        }
        Style::Dots => look.mark(out, [x + 12.0, y], 4.0, ""),
        Style::Bars => out.leaf(
            "rect",
            &[
                ("x", &px(x + 6.0)),
                ("y", &px(y - 6.0)),
                ("width", &12),
                ("height", &12),
                ("fill-opacity", &look.density()),
                ("stroke", &"currentColor"),
            ],
        ),
    }
}

/// A stretch of a line in the current colour.
fn line(out: &mut Markup, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], dash: &str) {
    out.leaf(
        "line",
        &[
            ("x1", &px(x1)),
            ("y1", &px(y1)),
            ("x2", &px(x2)),
            ("y2", &px(y2)),
            ("stroke", &"currentColor"),
            ("stroke-width", &2),
            ("stroke-dasharray", &dash),
        ],
    );
}
