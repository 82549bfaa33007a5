//! From numbers on an axis to pixels.

use super::Axis;
use super::ticks::{self, Tick};

/// An axis with its ends and its ticks.
#[derive(Debug)]
pub(super) struct Scale {
    log: bool,
    /// The ends; of a logarithmic axis their logarithms to the base 10.
    low: f64,
    high: f64,
    /// Where the ends are, in pixels.
    from: f64,
    to: f64,
    pub(super) ticks: Vec<Tick>,
}

/// What decides where an axis ends, besides the axis itself.
pub(super) struct Cover<'a> {
    /// Numbers that have a place on the axis.
    pub(super) values: &'a [f64],
    /// Room beyond the outermost numbers: half the distance of two bars. 0 rounds the ends instead.
    pub(super) margin: f64,
    /// Ticks that there is room for.
    pub(super) want: f64,
}

/// How far beyond an end, in pixels, a number still counts as on the axis.
const SLACK: f64 = 0.01;

/// How far out pixels may be: far enough for every line to leave the chart where it should.
const FAR: f64 = 1e5;

impl Scale {
    /// The axis from pixel 0 to pixel 1; see [`Scale::across`].
    pub(super) fn new(axis: &Axis, cover: &Cover<'_>) -> Scale {
        let log = axis.log;
        let (low, high) = ends(axis, cover);
        let ticks = if log {
            ticks::logarithmic(low, high, cover.want)
        } else {
            ticks::linear(low, high, cover.want)
        };
        Scale { log, low, high, from: 0.0, to: 1.0, ticks }
    }

    /// An axis of names, at 0, 1, 2, ….
    pub(super) fn of_names(names: &[String]) -> Scale {
        let name =
            |(place, name): (usize, &String)| Tick { value: place as f64, label: name.clone() };
        let ticks = names.iter().enumerate().map(name).collect();
        let high = names.len() as f64 - 0.5;
        Scale { log: false, low: -0.5, high, from: 0.0, to: 1.0, ticks }
    }

    /// The axis from one pixel to another.
    pub(super) fn across(self, from: f64, to: f64) -> Scale {
        Scale { from, to, ..self }
    }

    /// The pixel of a number, on the axis or not. What has no place on the axis is at its lower
    /// end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = (unit(self.log, value) - self.low) / (self.high - self.low);
        let share = if share.is_finite() { share } else { 0.0 };
        (self.from + share * (self.to - self.from)).clamp(-FAR, FAR)
    }

    /// The pixel of a number, or of the end that it lies beyond.
    pub(super) fn within(&self, value: f64) -> f64 {
        self.inside(self.place(value))
    }

    /// A pixel, or that of the end that it lies beyond.
    pub(super) fn inside(&self, pixel: f64) -> f64 {
        pixel.clamp(self.from.min(self.to), self.from.max(self.to))
    }

    /// Whether a number lies between the ends.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.place(value) - self.within(value)).abs() <= SLACK
    }

    /// How many pixels a distance is long, at most the whole axis; on a logarithmic axis one between
    /// logarithms.
    pub(super) fn length(&self, distance: f64) -> f64 {
        (distance / (self.high - self.low)).min(1.0) * (self.to - self.from).abs()
    }

    /// The pixel of the lower end.
    pub(super) fn base(&self) -> f64 {
        self.from
    }
}

/// The smallest distance between numbers on an axis that differ; 1 if none do.
pub(super) fn gap(log: bool, values: impl Iterator<Item = f64>) -> f64 {
    let mut units: Vec<f64> = values.map(|value| unit(log, value)).collect();
    units.sort_by(f64::total_cmp);
    let gaps = units.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0);
    gaps.min_by(f64::total_cmp).unwrap_or(1.0)
}

fn unit(log: bool, value: f64) -> f64 {
    if log { value.log10() } else { value }
}

/// The ends of an axis; of a logarithmic one their logarithms.
fn ends(axis: &Axis, cover: &Cover<'_>) -> (f64, f64) {
    if let Some((low, high)) = axis.wanted() {
        let (low, high) = (unit(axis.log, low), unit(axis.log, high));
        if !close(low, high) {
            return (low, high);
        }
    }
    let units = || cover.values.iter().map(|&value| unit(axis.log, value));
    let (Some(low), Some(high)) = (units().reduce(f64::min), units().reduce(f64::max)) else {
        return if axis.log { (-1.0, 0.0) } else { (0.0, 1.0) };
    };
    let (low, high) = (low - cover.margin, high + cover.margin);
    let (low, high) = if close(low, high) { apart(axis.log, low) } else { (low, high) };
    match (cover.margin > 0.0, axis.log) {
        (true, _) => (low, high),
        (false, true) => ticks::round_logarithmic(low, high),
        (false, false) => ticks::round_linear(low, high, cover.want),
    }
}

/// Whether two numbers are too close to put others between them.
fn close(low: f64, high: f64) -> bool {
    high - low <= 1e-12 * low.abs().max(high.abs()) || high - low < 1e-290
}

/// Ends around a single number.
fn apart(log: bool, value: f64) -> (f64, f64) {
    let distance = match value.abs() {
        _ if log => 0.5,
        size if size < 1e-280 => 1.0,
        size => size / 2.0,
    };
    (value - distance, value + distance)
}
