//! What is around the points: axes, grid, numbers, names, labels and notes.

use super::draw::{EDGE, WIDTH};
use super::legend::px;
use super::scale::Scale;
use super::ticks::Tick;
use super::{Chart, text};
use crate::markup::{Attributes, Markup};

/// Font size of numbers and names along axes, and of notes.
pub(super) const SMALL: f64 = 11.0;
/// The height of a line of these.
const LINE: f64 = 15.0;
/// Room for names that are written aslant, along them; and cosine and sine of the slant.
const ASLANT: f64 = 200.0;
const SLANT: (f64, f64) = (0.819, 0.574);
/// Lines that a name may take below the axis.
const MOST_LINES: usize = 3;

/// The room between the axes.
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Plot {
    pub(super) fn middle(&self) -> [f64; 2] {
        [(self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0]
    }
}

/// Text of a class of the style sheet; `anchor` is the part of it that is at the place.
pub(super) fn label(out: &mut Markup, class: &str, anchor: &str, [x, y]: [f64; 2], text: &str) {
    let place: Attributes<'_> =
        &[("class", &class), ("text-anchor", &anchor), ("x", &px(x)), ("y", &px(y))];
    out.with_text("text", place, text);
}

/// Draws what must not leave the axes; half a line's width may.
pub(super) fn clipped(out: &mut Markup, plot: &Plot, inner: impl FnOnce(&mut Markup)) {
    let (x, y) = (px(plot.left - 1.0), px(plot.top - 1.0));
    let (width, height) = (px(plot.right - plot.left + 2.0), px(plot.bottom - plot.top + 2.0));
    let view = format!("{x} {y} {width} {height}");
    let window: Attributes<'_> = &[
        ("x", &x),
        ("y", &y),
        ("width", &width),
        ("height", &height),
        ("viewBox", &view),
        ("overflow", &"hidden"),
    ];
    out.element("svg", window, inner);
    out.line();
}

/// Lines at all ticks, but for those at names; the axes.
pub(super) fn grid(out: &mut Markup, plot: &Plot, [x, y]: [&Scale; 2], chart: &Chart) {
    let mut line = |class: &str, d: String| {
        let path: Attributes<'_> = &[("class", &class), ("d", &d), ("fill", &"none")];
        out.leaf("path", path);
    };
    let (left, right) = (px(plot.left), px(plot.right));
    let (top, bottom) = (px(plot.top), px(plot.bottom));
    let upright = |tick: &Tick| format!("M{},{top}V{bottom}", px(x.place(tick.value)));
    let flat = |tick: &Tick| format!("M{left},{}H{right}", px(y.place(tick.value)));
    for (class, labelled) in [("faint", false), ("grid", true)] {
        let of_class = |tick: &&Tick| tick.label.is_empty() != labelled;
        if chart.x.names.is_empty() {
            line(class, x.ticks.iter().filter(of_class).map(upright).collect());
        }
        line(class, y.ticks.iter().filter(of_class).map(flat).collect());
    }
    // Bars stand on zero, which need not be the lower end.
    let zero = if chart.y.log { y.base() } else { y.within(0.0) };
    line("frame", format!("M{left},{top}V{bottom}M{left},{}H{right}", px(zero)));
    line("frame", format!("M{left},{bottom}H{right}"));
    out.line();
}

/// The room that the numbers of an axis take beside it.
pub(super) fn numbers(y: &Scale) -> f64 {
    y.ticks.iter().map(|tick| text::width(&tick.label, SMALL)).fold(0.0, f64::max)
}

/// The numbers and the label of the y axis.
pub(super) fn y_axis(out: &mut Markup, chart: &Chart, plot: &Plot, y: &Scale) {
    for tick in y.ticks.iter().filter(|tick| !tick.label.is_empty()) {
        label(out, "tick", "end", [plot.left - 6.0, y.place(tick.value) + 4.0], &tick.label);
    }
    out.line();
    let (beside, middle) = (plot.left - numbers(y) - 16.0, plot.middle()[1]);
    let turn = format!("translate({},{}) rotate(-90)", px(beside), px(middle));
    let words = text::fitted(&chart.y.label, plot.bottom - plot.top, 12.0);
    out.with_text("text", &[("text-anchor", &"middle"), ("transform", &turn)], &words);
    out.line();
}

/// How far right the y axis must be for names, if they are written aslant on an axis this wide.
pub(super) fn lean(names: &[String], width: f64) -> f64 {
    let slot = width / names.len().max(1) as f64;
    if !is_aslant(names, slot) {
        return 0.0;
    }
    let reach = |(place, name): (usize, &String)| {
        text::width(name, SMALL).min(ASLANT) * SLANT.0 - (place as f64 + 0.5) * slot
    };
    EDGE + names.iter().enumerate().map(reach).fold(0.0, f64::max)
}

/// Whether names do not fit below an axis each in its slot.
fn is_aslant(names: &[String], slot: f64) -> bool {
    let cut = |line: &String| line.contains('…');
    let tight = |lines: Vec<String>| lines.len() > MOST_LINES || lines.iter().any(cut);
    names.iter().any(|name| tight(wrapped(name, slot)))
}

/// A name in lines that fit a slot.
fn wrapped(name: &str, slot: f64) -> Vec<String> {
    text::wrapped(name, slot - 6.0, SMALL)
}

/// What is below the axes.
pub(super) struct Below {
    /// Numbers or names: pixel, lines of text.
    ticks: Vec<(f64, Vec<String>)>,
    aslant: bool,
    label: f64,
    notes: Vec<String>,
    /// Where everything ends.
    pub(super) end: f64,
}

impl Below {
    pub(super) fn new(chart: &Chart, x: &Scale, plot: &Plot, notes: &[String]) -> Below {
        let names = !chart.x.names.is_empty();
        let slot = x.length(1.0);
        let labelled = || x.ticks.iter().filter(|tick| !tick.label.is_empty());
        let lines = |tick: &Tick| match names {
            true => wrapped(&tick.label, slot),
            false => vec![tick.label.clone()],
        };
        let mut ticks: Vec<_> = labelled().map(|t| (x.place(t.value), lines(t))).collect();
        let aslant = names && is_aslant(&chart.x.names, slot);
        if aslant {
            let every = (LINE / slot).ceil().max(1.0) as usize;
            let slanted = |tick: &Tick| {
                let pixel = x.place(tick.value);
                let room = ASLANT.min((pixel - EDGE) / SLANT.0);
                (pixel, vec![text::fitted(&tick.label, room, SMALL)])
            };
            ticks = labelled().step_by(every).map(slanted).collect();
        }
        let lines = ticks.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
        let along = ticks.iter().flat_map(|(_, lines)| lines).map(|line| text::width(line, SMALL));
        let room =
            if aslant { along.fold(0.0, f64::max) * SLANT.1 + LINE } else { lines as f64 * LINE };
        let label = plot.bottom + 6.0 + room + if chart.x.label.is_empty() { 0.0 } else { 18.0 };
        let notes: Vec<String> =
            notes.iter().flat_map(|note| text::wrapped(note, WIDTH - 2.0 * EDGE, SMALL)).collect();
        let end = label + EDGE + notes.len() as f64 * LINE;
        Below { ticks, aslant, label, notes, end }
    }

    pub(super) fn draw(&self, out: &mut Markup, chart: &Chart, plot: &Plot) {
        for (pixel, lines) in &self.ticks {
            if self.aslant {
                let turn = format!(
                    "translate({},{}) rotate(-35)",
                    px(pixel + 4.0),
                    px(plot.bottom + 14.0)
                );
                let place: Attributes<'_> =
                    &[("class", &"tick"), ("text-anchor", &"end"), ("transform", &turn)];
                lines.iter().for_each(|line| out.with_text("text", place, line));
                continue;
            }
            for (number, line) in lines.iter().enumerate() {
                let y = plot.bottom + 16.0 + number as f64 * LINE;
                label(out, "tick", "middle", [*pixel, y], line);
            }
        }
        out.line();
        let words = text::fitted(&chart.x.label, WIDTH - 2.0 * EDGE, 12.0);
        label(out, "", "middle", [plot.middle()[0], self.label], &words);
        for (number, note) in self.notes.iter().enumerate() {
            let y = self.label + 8.0 + (number + 1) as f64 * LINE;
            label(out, "note", "start", [EDGE, y], note);
        }
        out.line();
    }
}
