//! Charts as SVG: what they are made of.

mod draw;
mod frame;
mod legend;
mod marks;
mod numbers;
mod points;
mod scale;
mod text;
mod ticks;

use crate::markup::Markup;

/// What charts look like; of a page for all charts in it, of a file inside it.
pub(crate) const STYLE: &str = include_str!("chart.css");

/// A chart of series over two axes.
///
/// Points that cannot be drawn are left out, and the chart says how many: those that are not
/// finite (or beyond 10³⁰⁰), those not above zero on a logarithmic axis, and those outside a range
/// that was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Above the chart; may be empty.
    pub title: String,
    /// The axis to the right.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// Drawn one over the other, in the legend from the first to the last.
    pub series: Vec<Series>,
}

/// What an axis says and covers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What is along it, with the unit.
    pub label: String,
    /// Logarithmic: 1, 10, 100 are equally far apart.
    pub log: bool,
    /// The first and the last value, in this order; without it, or if nothing can be drawn on it,
    /// the axis covers the points.
    pub range: Option<(f64, f64)>,
    /// Names of the values 0, 1, 2, … of an `x` axis, which then covers these. On a `y` axis
    /// they mean nothing.
    pub names: Vec<String>,
}

/// Points that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend. A single series without one has no legend.
    pub name: String,
    /// The points. Lines connect them in this order.
    pub points: Vec<Point>,
    /// How they are drawn.
    pub style: Style,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// A line, interrupted at points that are not finite; intervals are a band.
    #[default]
    Line,
    /// A mark at each point; intervals are whiskers.
    Dots,
    /// A bar from zero (on a logarithmic axis from its lower end); intervals are whiskers.
    Bars,
}

/// A point, and the interval in which its `y` is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// To the right; on an axis with names the place of one, from 0.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// The interval's lower end.
    pub low: Option<f64>,
    /// The interval's upper end.
    pub high: Option<f64>,
}

impl Chart {
    /// The chart as an SVG file, on paper of its own, light or dark with the reader's settings.
    pub fn svg(&self) -> String {
        let mut out = Markup::default();
        draw::draw(self, &mut out, draw::Place::File);
        out.into_string() + "\n"
    }

    /// The chart as part of a page, which holds its style.
    pub(crate) fn inline(&self, out: &mut Markup) {
        draw::draw(self, out, draw::Place::Page);
    }
}

impl Axis {
    /// A linear axis that covers the points.
    pub fn new(label: &str) -> Axis {
        Axis { label: label.to_owned(), ..Axis::default() }
    }
}

impl Point {
    /// A point without an interval.
    pub fn new(x: f64, y: f64) -> Point {
        Point { x, y, low: None, high: None }
    }

    /// The point with an interval.
    pub fn between(self, low: f64, high: f64) -> Point {
        Point { low: Some(low), high: Some(high), ..self }
    }
}
