//! Which points can be drawn, and what is said of the others.

use super::{Axis, Chart, Point, Style};

/// Beyond this, and below its inverse on a logarithmic axis, numbers count as not finite: the
/// distance of two such numbers may not be a number.
const LARGEST: f64 = 1e300;

/// Whether a number has a place on an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has.
    Fits,
    /// It is infinite, nearly so, or not a number.
    NotFinite,
    /// It is not above zero, and the axis is logarithmic.
    NotPositive,
}

impl Axis {
    /// Whether a number has a place on this axis, its range aside.
    pub(super) fn fit(&self, value: f64) -> Fit {
        match value {
            _ if !value.is_finite() || value.abs() > LARGEST => Fit::NotFinite,
            _ if self.log && value <= 0.0 => Fit::NotPositive,
            _ if self.log && value < 1.0 / LARGEST => Fit::NotFinite,
            _ => Fit::Fits,
        }
    }

    /// The range that was asked for, if the axis can have it.
    pub(super) fn wanted(&self) -> Option<(f64, f64)> {
        let fits = |value| self.fit(value) == Fit::Fits;
        self.range.filter(|&(low, high)| low < high && fits(low) && fits(high))
    }
}

/// The points of all series, and how many of them are missing.
#[derive(Default)]
pub(super) struct Drawable {
    /// For each series its points in order; `None` where one is missing.
    pub(super) series: Vec<Vec<Option<Point>>>,
    not_finite: usize,
    not_positive: usize,
    intervals: usize,
}

impl Drawable {
    pub(super) fn new(chart: &Chart) -> Drawable {
        let mut drawable = Drawable::default();
        for series in &chart.series {
            let points = series.points.iter().map(|point| drawable.check(chart, point)).collect();
            drawable.series.push(points);
        }
        drawable
    }

    /// All points that can be drawn.
    pub(super) fn points(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flatten().flatten()
    }

    /// All numbers that the y axis should cover.
    pub(super) fn heights(&self, chart: &Chart) -> Vec<f64> {
        let ends = |point: &Point| [Some(point.y), point.low, point.high];
        let mut heights: Vec<f64> = self
            .points()
            .flat_map(ends)
            .flatten()
            .filter(|&y| chart.y.fit(y) == Fit::Fits)
            .collect();
        if chart.series.iter().any(|series| series.style == Style::Bars) {
            // On a logarithmic axis the lowest bar too should be seen.
            let lowest = heights.iter().copied().reduce(f64::min);
            heights.extend(if chart.y.log { lowest.map(|y| y / 2.0) } else { Some(0.0) });
            heights.retain(|&y| chart.y.fit(y) == Fit::Fits);
        }
        heights
    }

    /// What is to be said below the chart, given how many points lie outside the axes.
    pub(super) fn notes(&self, outside: usize) -> Vec<String> {
        let notes = [
            (self.not_finite, "left out", "not finite"),
            (self.not_positive, "left out", "not above zero, and the axis is logarithmic"),
            (outside, "not shown", "outside the axes"),
        ];
        let say = |(count, what, why): (usize, &str, &str)| {
            let points = if count == 1 { "point" } else { "points" };
            (count > 0).then(|| format!("{count} {points} {what}: {why}."))
        };
        let intervals = match self.intervals {
            0 => None,
            1 => Some("1 interval left out: an end of it is not finite.".into()),
            count => Some(format!("{count} intervals left out: an end of them is not finite.")),
        };
        notes.into_iter().filter_map(say).chain(intervals).collect()
    }

    /// The point, if it has a place, with the ends of its interval that have one.
    fn check(&mut self, chart: &Chart, point: &Point) -> Option<Point> {
        let fits = [chart.x.fit(point.x), chart.y.fit(point.y)];
        if fits.contains(&Fit::NotFinite) {
            self.not_finite += 1;
            return None;
        }
        if fits.contains(&Fit::NotPositive) {
            self.not_positive += 1;
            return None;
        }
        // An end not above zero reaches the lower end of a logarithmic axis.
        let lost = [point.low, point.high]
            .into_iter()
            .flatten()
            .any(|end| chart.y.fit(end) == Fit::NotFinite);
        if lost {
            self.intervals += 1;
            return Some(Point::new(point.x, point.y));
        }
        Some(*point)
    }
}
