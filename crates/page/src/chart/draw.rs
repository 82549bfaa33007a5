//! A chart from top to bottom: title, legend, axes, what is between them, notes.

use super::frame::{self, Below, Plot};
use super::legend;
use super::marks::Marks;
use super::points::Drawable;
use super::scale::{Cover, Scale, gap};
use super::{Chart, STYLE, Style, text};
use crate::markup::Markup;

/// Where a chart is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a page, which has the style.
    Page,
    /// In a file of its own.
    File,
}

/// The whole picture is this wide, and the room between the axes this high.
pub(super) const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
/// Room around everything.
pub(super) const EDGE: f64 = 12.0;
/// Room at the right for half of the last number below the axis.
const RIGHT: f64 = 28.0;

pub(super) fn draw(chart: &Chart, out: &mut Markup, place: Place) {
    let drawable = Drawable::new(chart);
    let (x, slot) = across(chart, &drawable);
    let heights = drawable.heights(chart);
    let y = Scale::new(&chart.y, &Cover { values: &heights, margin: 0.0, want: 6.0 });

    let room = WIDTH - 2.0 * EDGE;
    let title = text::wrapped(&chart.title, room, 16.0);
    let legend_top = EDGE + title.len() as f64 * 20.0 + 4.0;
    let label = if chart.y.label.is_empty() { 0.0 } else { 20.0 };
    let top = legend_top + legend::height(chart, room) + 8.0;
    let left = (EDGE + label + frame::numbers(&y) + 8.0).min(WIDTH / 2.0);
    let left = left.max(frame::lean(&chart.x.names, WIDTH - RIGHT - left));
    let plot = Plot { left, top, right: WIDTH - RIGHT, bottom: top + HEIGHT };
    let (x, y) = (x.across(plot.left, plot.right), y.across(plot.bottom, plot.top));
    let marks = Marks { chart, drawable: &drawable, slot: x.length(slot), x: &x, y: &y };
    let notes = drawable.notes(marks.outside());
    let below = Below::new(chart, &x, &plot, &notes);

    let (width, height) = (WIDTH, below.end.ceil());
    let view = format!("0 0 {width} {height}");
    let attributes: crate::markup::Attributes<'_> = &[
        ("xmlns", &"http://www.w3.org/2000/svg"),
        ("class", &"chart"),
        ("width", &width),
        ("height", &height),
        ("viewBox", &view),
        ("role", &"img"),
        ("aria-label", &chart.title),
    ];
    let skip = usize::from(place == Place::Page);
    out.element("svg", &attributes[skip..], |out| {
        if place == Place::File {
            out.style(STYLE);
            out.leaf("rect", &[("class", &"paper"), ("width", &width), ("height", &height)]);
        }
        out.line();
        for (line, words) in title.iter().enumerate() {
            let y = EDGE + 14.0 + line as f64 * 20.0;
            frame::label(out, "title", "start", [EDGE, y], words);
        }
        legend::draw(chart, out, [EDGE, legend_top], room);
        frame::grid(out, &plot, [&x, &y], chart);
        if drawable.points().next().is_none() {
            frame::label(out, "note", "middle", plot.middle(), "no points");
        }
        marks.bars(out);
        frame::clipped(out, &plot, |out| marks.lines(out));
        marks.dots(out);
        frame::y_axis(out, chart, &plot, &y);
        below.draw(out, chart, &plot);
    });
}

/// The x axis, and the room of one name or one place with bars on it.
fn across(chart: &Chart, drawable: &Drawable) -> (Scale, f64) {
    if !chart.x.names.is_empty() {
        return (Scale::of_names(&chart.x.names), 1.0);
    }
    let values: Vec<f64> = drawable.points().map(|point| point.x).collect();
    let bars = chart.series.iter().zip(&drawable.series);
    let bars = bars.filter(|(series, _)| series.style == Style::Bars);
    let mut places = bars.flat_map(|(_, points)| points).flatten().map(|point| point.x).peekable();
    let slot = if places.peek().is_some() { gap(chart.x.log, places) } else { 0.0 };
    (Scale::new(&chart.x, &Cover { values: &values, margin: slot / 2.0, want: 8.0 }), slot)
}
