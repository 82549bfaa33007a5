//! Charts, read back from their SVG.
#![allow(clippy::unwrap_used)]

use page::{Axis, Chart, Point, Series, Style};
use proptest::prelude::*;
use roxmltree::{Document, Node};

fn series(style: Style, points: &[Point]) -> Series {
    Series { name: "series".into(), points: points.to_vec(), style }
}

fn chart(log: [bool; 2], series: Vec<Series>) -> Chart {
    let [x, y] = log.map(|log| Axis { log, ..Axis::new("axis") });
    Chart { title: "chart".into(), x, y, series }
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap().parse().unwrap()
}

fn texts(svg: &Document<'_>, class: &str) -> Vec<String> {
    let of_class = |node: &Node<'_, '_>| node.attribute("class") == Some(class);
    svg.descendants().filter(of_class).filter_map(|node| node.text()).map(String::from).collect()
}

/// What the numbers along an axis say of a pixel: a line through the first and the last of them.
fn reading(svg: &Document<'_>, anchor: &str, log: bool) -> impl Fn(f64) -> f64 {
    let (attribute, shift) = if anchor == "end" { ("y", -4.0) } else { ("x", 0.0) };
    let ticks: Vec<(f64, f64)> = svg
        .descendants()
        .filter(|node| node.attribute("class") == Some("tick"))
        .filter(|node| node.attribute("text-anchor") == Some(anchor))
        .map(|node| (number(node, attribute) + shift, value(node.text().unwrap())))
        .map(|(pixel, value)| (pixel, if log { value.log10() } else { value }))
        .collect();
    let (&(a, from), &(b, to)) = (ticks.first().unwrap(), ticks.last().unwrap());
    assert!(ticks.len() >= 3, "{ticks:?}");
    move |pixel| {
        let read = from + (pixel - a) / (b - a) * (to - from);
        if log { 10f64.powf(read) } else { read }
    }
}

/// A number as axes write it.
fn value(text: &str) -> f64 {
    let plain: String = text
        .chars()
        .map(|c| match c {
            '−' | '⁻' => '-',
            c => "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|d| d == c).map_or(c, |d| (b'0' + d as u8) as char),
        })
        .collect();
    let raised = text.contains(|c| "⁻⁰¹²³⁴⁵⁶⁷⁸⁹".contains(c));
    match plain.split_once("×10") {
        Some((digits, power)) => format!("{digits}e{power}").parse().unwrap(),
        None if raised => format!("1e{}", plain.strip_prefix("10").unwrap()).parse().unwrap(),
        None => plain.parse().unwrap(),
    }
}

#[test]
fn points_and_whiskers_land_where_the_axes_say() {
    let linear = [(-3.0, 0.02), (12.5, 0.41), (40.0, 0.73)];
    let log = [(2e-5, 3e-7), (0.004, 1.0), (0.9, 2e4)];
    for (log_x, log_y) in [(false, false), (true, false), (false, true), (true, true)] {
        let point = |i: usize| {
            let x = if log_x { log[i].0 } else { linear[i].0 };
            let y = if log_y { log[i].1 } else { linear[i].1 };
            Point::new(x, y).between(y * 0.5, y * 1.2)
        };
        let points = [0, 1, 2].map(point);
        let text = chart([log_x, log_y], vec![series(Style::Dots, &points)]).svg();
        let svg = Document::parse(&text).unwrap();
        let (x, y) = (reading(&svg, "middle", log_x), reading(&svg, "end", log_y));
        // The first circle is the legend's.
        let circles =
            svg.descendants().filter(|node| node.has_tag_name("circle") && node.has_children());
        let drawn: Vec<_> = circles.map(|c| (x(number(c, "cx")), y(number(c, "cy")))).collect();
        let whiskers: Vec<_> = svg
            .descendants()
            .filter_map(|node| node.attribute("d"))
            .filter(|d| {
                d.matches(['M', 'H', 'V']).count() == 6
                    && d.contains('V')
                    && d.matches('H').count() == 2
            })
            .map(|d| {
                let low = d.split(['M', ',', 'H']).nth(2).unwrap().parse().unwrap();
                let high = d.split(['V', 'M']).nth(3).unwrap().parse().unwrap();
                (y(low), y(high))
            })
            .collect();
        assert_eq!((drawn.len(), whiskers.len()), (3, 3));
        let near = |found: f64, given: f64, log: bool, span: f64| {
            let off = if log { (found / given).log10() / 10.0 } else { (found - given) / span };
            assert!(off.abs() < 1e-4, "{found} for {given}");
        };
        for ((point, drawn), whisker) in points.iter().zip(drawn).zip(whiskers) {
            near(drawn.0, point.x, log_x, 43.0);
            near(drawn.1, point.y, log_y, 0.71);
            near(whisker.0, point.low.unwrap(), log_y, 0.71);
            near(whisker.1, point.high.unwrap(), log_y, 0.71);
        }
    }
}

#[test]
fn bars_stand_on_zero_beside_each_other() {
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let heights = [2.0, -1.0, 0.5];
    let points: Vec<Point> = (0..3).map(|i| Point::new(i as f64, heights[i])).collect();
    let mut chart = chart([false; 2], vec![series(Style::Bars, &points); 2]);
    chart.x.names = names.clone();
    let text = chart.svg();
    let svg = Document::parse(&text).unwrap();
    let y = reading(&svg, "end", false);
    let bars: Vec<_> =
        svg.descendants().filter(|n| n.has_tag_name("rect") && n.has_children()).collect();
    assert_eq!(bars.len(), 6);
    for (bar, height) in bars.iter().zip(heights.iter().cycle()) {
        let (top, bottom) = (number(*bar, "y"), number(*bar, "y") + number(*bar, "height"));
        assert!(
            (y(top) - height.max(0.0)).abs() < 1e-3 && (y(bottom) - height.min(0.0)).abs() < 1e-3
        );
    }
    let mut spans: Vec<(f64, f64)> = bars
        .iter()
        .map(|bar| (number(*bar, "x"), number(*bar, "x") + number(*bar, "width")))
        .collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
    assert_eq!(texts(&svg, "tick")[texts(&svg, "tick").len() - 3..], names);
}

#[test]
fn lines_stop_at_missing_points_and_the_chart_says_what_is_missing() {
    let mut points: Vec<Point> = (1..=50).map(|i| Point::new(f64::from(i), f64::from(i))).collect();
    points[20].y = f64::NAN;
    points[40].x = f64::INFINITY;
    points[30] = points[30].between(f64::NAN, 60.0);
    points[49].y = 1000.0;
    points[0].y = 0.0;
    let mut chart = chart([false, true], vec![series(Style::Line, &points)]);
    chart.y.range = Some((1.0, 100.0));
    let text = chart.svg();
    let svg = Document::parse(&text).unwrap();
    let lines = svg.descendants().filter(|node| node.attribute("stroke-linejoin").is_some());
    assert_eq!(lines.count(), 3);
    assert_eq!(
        texts(&svg, "note"),
        [
            "2 points left out: not finite.",
            "1 point left out: not above zero, and the axis is logarithmic.",
            "1 point not shown: outside the axes.",
            "1 interval left out: an end of it is not finite.",
        ]
    );
}

#[test]
fn long_lines_stay_small() {
    let points: Vec<Point> =
        (0..200_000).map(|i| Point::new(f64::from(i), f64::from(i).sqrt())).collect();
    let svg = chart([false; 2], vec![series(Style::Line, &points)]).svg();
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
}

#[test]
fn many_series_look_different_and_are_all_in_the_legend() {
    let names: Vec<String> = (0..28).map(|i| format!("a method with settings {i}")).collect();
    let points: Vec<Point> = (0..40).map(|i| Point::new(f64::from(i), 1.0)).collect();
    let named = |name: &String| Series { name: name.clone(), ..series(Style::Line, &points) };
    let text = chart([false; 2], names.iter().map(named).collect()).svg();
    let svg = Document::parse(&text).unwrap();
    let lines = svg.descendants().filter(|node| node.attribute("stroke-linejoin").is_some());
    let looks: std::collections::HashSet<_> =
        lines.map(|line| (line.attribute("class"), line.attribute("stroke-dasharray"))).collect();
    assert_eq!(looks.len(), 28);
    for name in &names {
        assert!(svg.descendants().any(|node| node.text() == Some(name)), "{name}");
    }
}

/// A chart is well-formed, and all its numbers are within reach.
fn check(chart: &Chart) {
    let text = chart.svg();
    let svg = Document::parse(&text).unwrap();
    for node in svg.descendants().filter(|node| !node.has_tag_name("title")) {
        for attribute in node.attributes().filter(|a| !["aria-label", "class"].contains(&a.name()))
        {
            let value = attribute.value();
            assert!(!value.contains("NaN") && !value.contains("inf"), "{value}");
            let numbers = value.split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-');
            for number in numbers.filter_map(|number| number.parse::<f64>().ok()) {
                assert!(number.abs() <= 1e5, "{} {value}", attribute.name());
            }
        }
    }
    let end = svg.root_element().attribute("height").unwrap().parse::<f64>().unwrap();
    assert!((300.0..1500.0).contains(&end), "{end}");
}

#[test]
fn charts_of_nothing_and_of_one_value_are_charts() {
    for style in [Style::Line, Style::Dots, Style::Bars] {
        for log in [[false; 2], [true; 2]] {
            for value in [0.0, 1.0, -5.0, 1e300, 1e-300, 5e-324, f64::MAX, f64::NAN, f64::INFINITY]
            {
                let point = Point::new(value, value);
                for points in [vec![], vec![point], vec![point; 3]] {
                    check(&chart(log, vec![series(style, &points)]));
                }
            }
            let empty = chart(log, vec![]).svg();
            assert_eq!(texts(&Document::parse(&empty).unwrap(), "note"), ["no points"]);
        }
    }
    check(&Chart::default());
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        proptest::num::f64::ANY,
        -3.0..3.0,
        (-20i32..20).prop_map(|e| 10f64.powi(e)),
        Just(1e16),
        Just(1e16 + 2.0),
    ]
}

fn any_axis() -> impl Strategy<Value = Axis> {
    let names = prop_oneof![Just(0usize), 0usize..80];
    let range = proptest::option::of((any_number(), any_number()));
    (any::<bool>(), range, names, "\\PC{0,60}").prop_map(|(log, range, names, label)| Axis {
        names: vec![label.clone(); names],
        label,
        log,
        range,
    })
}

fn any_series() -> impl Strategy<Value = Series> {
    let style = prop_oneof![Just(Style::Line), Just(Style::Dots), Just(Style::Bars)];
    let end = || proptest::option::of(any_number());
    let point = (any_number(), any_number(), end(), end());
    let point = point.prop_map(|(x, y, low, high)| Point { x, y, low, high });
    (".{0,50}", proptest::collection::vec(point, 0..40), style)
        .prop_map(|(name, points, style)| Series { name, points, style })
}

proptest! {
    #[test]
    fn any_numbers_make_a_chart(
        title in ".{0,100}",
        x in any_axis(),
        y in any_axis(),
        series in proptest::collection::vec(any_series(), 0..12),
    ) {
        check(&Chart { title, x, y, series });
    }
}
