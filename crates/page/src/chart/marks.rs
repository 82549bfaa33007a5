//! The points of series: lines and bands, marks, bars and whiskers.

use super::legend::{Look, px};
use super::numbers::short;
use super::points::Drawable;
use super::scale::Scale;
use super::{Chart, Point, Style};
use crate::markup::Markup;

/// Points from which on marks have no tooltip and are small.
const MANY: usize = 500;

/// How much of the room of a name or a bar its marks take.
const FILLED: f64 = 0.8;

/// The room of marks that others need not stand beside.
const ROOM: f64 = 16.0;

const STROKE: (&str, &dyn std::fmt::Display) = ("stroke", &"currentColor");

/// What marks are drawn with.
pub(super) struct Marks<'a> {
    pub(super) chart: &'a Chart,
    pub(super) drawable: &'a Drawable,
    pub(super) x: &'a Scale,
    pub(super) y: &'a Scale,
    /// The room of a name or a bar, in pixels.
    pub(super) slot: f64,
}

/// A point on the axes.
struct Place<'a> {
    point: &'a Point,
    /// Its pixel, beside those of other series at the same place.
    x: f64,
    /// The room there is for it across.
    width: f64,
    radius: f64,
    /// Its tooltip.
    title: String,
}

impl Marks<'_> {
    /// How many points lie outside the axes.
    pub(super) fn outside(&self) -> usize {
        self.drawable.points().filter(|point| !self.holds(point)).count()
    }

    /// Bands and lines, which need cutting off at the axes.
    pub(super) fn lines(&self, out: &mut Markup) {
        let of_lines = || self.all().filter(|(_, look, _)| look.style == Style::Line);
        for (_, look, points) in of_lines() {
            for run in runs(points).filter(|run| run.len() > 1) {
                self.band(out, look, &run);
            }
        }
        for (_, look, points) in of_lines() {
            for run in runs(points).filter(|run| run.len() > 1) {
                let path = path(run.iter().map(|point| self.at(point, point.y)));
                out.leaf(
                    "path",
                    &[
                        ("class", &look.class()),
                        ("d", &path),
                        ("fill", &"none"),
                        STROKE,
                        ("stroke-width", &2),
                        ("stroke-linejoin", &"round"),
                        ("stroke-dasharray", &look.dash()),
                    ],
                );
                out.line();
            }
        }
    }

    /// Bars and their whiskers, none of which leaves the axes.
    pub(super) fn bars(&self, out: &mut Markup) {
        self.each(out, Style::Bars, |out, look, place, _| {
            self.bar(out, look, place);
        });
    }

    /// Marks and their whiskers, none of which leaves the axes.
    pub(super) fn dots(&self, out: &mut Markup) {
        self.each(out, Style::Line, |out, look, place, alone| {
            if alone {
                self.whisker(out, place, "");
            }
            if alone || look.marked {
                look.mark(out, [place.x, self.y.place(place.point.y)], place.radius, &place.title);
            }
        });
        self.each(out, Style::Dots, |out, look, place, _| {
            self.whisker(out, place, "");
            look.mark(out, [place.x, self.y.place(place.point.y)], place.radius, &place.title);
        });
    }

    /// Draws each point of a style that is on the axes; told whether its line has no other.
    fn each(
        &self,
        out: &mut Markup,
        style: Style,
        draw: impl Fn(&mut Markup, Look, &Place<'_>, bool),
    ) {
        let beside: Vec<usize> =
            self.all().filter(|(_, look, _)| self.side_by_side(*look)).map(|(i, ..)| i).collect();
        let width = self.slot * FILLED / beside.len().max(1) as f64;
        for (series, look, points) in self.all().filter(|(_, look, _)| look.style == style) {
            let middle = (beside.len() as f64 - 1.0) / 2.0;
            let slot = beside.iter().position(|&slot| slot == series);
            let aside = slot.map_or(0.0, |slot| (slot as f64 - middle) * width);
            let few = points.len() <= MANY;
            out.element("g", &[("class", &look.class()), ("fill", &"currentColor")], |out| {
                for run in runs(points) {
                    for point in run.iter().filter(|point| self.holds(point)) {
                        let place = Place {
                            point,
                            x: self.x.inside(self.x.place(point.x) + aside),
                            width: slot.map_or(ROOM, |_| width),
                            radius: if few { 4.0 } else { 2.0 },
                            title: if few { self.title(series, point) } else { String::new() },
                        };
                        draw(out, look, &place, run.len() == 1);
                    }
                }
            });
            out.line();
        }
    }

    /// All series with their places, looks and points.
    fn all(&self) -> impl Iterator<Item = (usize, Look, &[Option<Point>])> {
        let looks = Look::all(self.chart).into_iter().zip(&self.drawable.series);
        looks.enumerate().map(|(place, (look, points))| (place, look, points.as_slice()))
    }

    /// Whether points of several series at one place stand side by side.
    fn side_by_side(&self, look: Look) -> bool {
        let named = !self.chart.x.names.is_empty();
        look.style == Style::Bars || (look.style == Style::Dots && named)
    }

    fn holds(&self, point: &Point) -> bool {
        self.x.holds(point.x) && self.y.holds(point.y)
    }

    fn at(&self, point: &Point, y: f64) -> [f64; 2] {
        [self.x.place(point.x), self.y.place(y)]
    }

    fn band(&self, out: &mut Markup, look: Look, run: &[Point]) {
        if run.iter().all(|point| point.low.is_none() && point.high.is_none()) {
            return;
        }
        let high = run.iter().map(|point| self.at(point, point.high.unwrap_or(point.y)));
        let low = run.iter().map(|point| self.at(point, point.low.unwrap_or(point.y)));
        let path = path(high) + &path(low.rev()).replacen('M', "L", 1) + "Z";
        out.leaf(
            "path",
            &[
                ("class", &look.class()),
                ("d", &path),
                ("fill", &"currentColor"),
                ("fill-opacity", &0.16),
            ],
        );
        out.line();
    }

    fn bar(&self, out: &mut Markup, look: Look, place: &Place<'_>) {
        let base = if self.chart.y.log { self.y.base() } else { self.y.within(0.0) };
        let end = self.y.within(place.point.y);
        // Bars of one place touch, but for a pixel. Where a range cuts one it ends with the axis.
        let half = (place.width - 1.0).max(1.0) / 2.0;
        let (left, right) = (self.x.inside(place.x - half), self.x.inside(place.x + half));
        let attributes: crate::markup::Attributes<'_> = &[
            ("x", &px(left)),
            ("y", &px(base.min(end))),
            ("width", &px(right - left)),
            ("height", &px((base - end).abs())),
            ("fill-opacity", &look.density()),
            STROKE,
        ];
        out.element("rect", attributes, |out| {
            if !place.title.is_empty() {
                out.with_text("title", &[], &place.title);
            }
        });
        self.whisker(out, place, "ink");
    }

    /// The interval of a point in the colour of a class.
    fn whisker(&self, out: &mut Markup, place: &Place<'_>, class: &str) {
        let (point, x) = (place.point, place.x);
        if point.low.is_none() && point.high.is_none() {
            return;
        }
        let low = self.y.within(point.low.unwrap_or(point.y));
        let high = self.y.within(point.high.unwrap_or(point.y));
        let cap = (place.width / 4.0).clamp(1.0, 4.0);
        let (left, right) = (px(x - cap), px(x + cap));
        let (x, low, high) = (px(x), px(low), px(high));
        let path = format!("M{left},{low}H{right}M{x},{low}V{high}M{left},{high}H{right}");
        out.element("g", &[("class", &class)], |out| {
            let width = ("stroke-width", &1.5 as _);
            out.leaf("path", &[("d", &path), ("fill", &"none"), STROKE, width]);
        });
    }

    /// What a tooltip says of a point.
    fn title(&self, series: usize, point: &Point) -> String {
        let chart = self.chart;
        let name = chart.x.names.get(point.x.round().max(0.0) as usize);
        let x = name.cloned().unwrap_or_else(|| short(point.x));
        let mut title = format!("{}\n{}: {x}\n", chart.series[series].name, chart.x.label);
        title += &format!("{}: {}", chart.y.label, short(point.y));
        if point.low.is_some() || point.high.is_some() {
            let end = |end: Option<f64>| end.map_or("…".into(), short);
            title += &format!(" [{}, {}]", end(point.low), end(point.high));
        }
        title.trim_start().to_owned()
    }
}

/// The stretches between missing points.
fn runs(points: &[Option<Point>]) -> impl Iterator<Item = Vec<Point>> {
    let runs = points.split(Option::is_none).filter(|run| !run.is_empty());
    runs.map(|run| run.iter().flatten().copied().collect())
}

/// A line through points, without those that cannot be told from the one before.
fn path(points: impl DoubleEndedIterator<Item = [f64; 2]> + ExactSizeIterator) -> String {
    let last = points.len().saturating_sub(1);
    let mut path = String::new();
    let mut before: Option<[f64; 2]> = None;
    for (place, [x, y]) in points.enumerate() {
        let near = before.is_some_and(|[a, b]| (x - a).abs() < 0.4 && (y - b).abs() < 0.4);
        if near && place != last {
            continue;
        }
        let command = if path.is_empty() { 'M' } else { 'L' };
        path += &format!("{command}{},{}", px(x), px(y));
        before = Some([x, y]);
    }
    path
}
