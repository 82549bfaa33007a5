//! Pages as a browser gets them.
#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{Rgb, RgbImage};
use page::{Axis, Chart, Page, Pictures, Point, Series, Style, Table};
use roxmltree::{Document, Node, ParsingOptions};

/// What a file may be called.
const HOSTILE: &str = "</title></style>]]><script src='http://evil/'>alert(1)</script>\
    \"onload=\"x\" & &amp; <!-- <img src=//evil> \u{202e}gpj.\u{1}\u{0}\u{ffff} ε=½ 顔.jpg";

fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}: {page}"))
}

fn named<'a>(page: &'a Document<'_>, name: &'a str) -> Vec<Node<'a, 'a>> {
    page.descendants().filter(|node| node.has_tag_name(name)).collect()
}

/// A page in which everything that can have a name has this one.
fn everything(name: &str) -> String {
    let text = || name.to_owned();
    let mut page = Page::new(name);
    for _ in 0..3 {
        page.section(name);
    }
    page.paragraph(name);
    page.table(&Table {
        caption: text(),
        columns: vec![text()],
        rows: vec![vec![text(), text()], vec![]],
    });
    let points = vec![Point::new(0.0, 1.0).between(0.5, 2.0), Point::new(1.0, f64::NAN)];
    let series = |style| Series { name: text(), points: points.clone(), style };
    for names in [vec![], vec![text(), text()]] {
        page.chart(&Chart {
            title: text(),
            x: Axis { names, ..Axis::new(name) },
            y: Axis::new(name),
            series: [Style::Line, Style::Dots, Style::Bars].map(series).into(),
        });
    }
    let picture = RgbImage::from_pixel(3, 2, Rgb([1, 2, 3]));
    let rows = vec![(text(), vec![picture, RgbImage::new(0, 0)])];
    page.pictures(&Pictures { caption: text(), columns: vec![text()], rows }).unwrap();
    page.finish()
}

#[test]
fn names_are_text_whatever_they_hold() {
    const KNOWN: &str = " html head meta title style body h1 h2 nav ul li a p figure figcaption div \
        table thead tbody tr th td img svg g path line rect circle polygon text ";
    let html = everything(HOSTILE);
    let page = parse(&html);
    for node in page.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(KNOWN.contains(&format!(" {name} ")), "<{name}>");
        for attribute in node.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            assert!(!key.starts_with("on") && key != "style", "{key}");
            match key {
                "src" => assert!(value.starts_with("data:image/png;base64,"), "{value}"),
                "href" => assert!(
                    page.descendants().any(|node| node.attribute("id") == value.strip_prefix('#')),
                    "{value}"
                ),
                _ => {}
            }
        }
    }
    // Only what cannot or should not be in a page was replaced, the rest reads as before.
    let shown: String = HOSTILE
        .chars()
        .map(|c| if "\u{202e}\u{1}\u{0}\u{ffff}".contains(c) { '\u{fffd}' } else { c })
        .collect();
    for (element, count) in [("h1", 1), ("h2", 3), ("a", 3), ("p", 1), ("th", 6), ("td", 6)] {
        let texts = named(&page, element);
        assert_eq!(texts.len(), count, "{element}");
        assert!(texts.iter().any(|node| node.text() == Some(&shown)), "{element}");
    }
    // Style sheets fetch nothing, and the browser is told not to either.
    for style in named(&page, "style") {
        let sheet = style.text().unwrap();
        assert!(!sheet.contains("url(") && !sheet.contains("@import"), "{sheet}");
    }
    assert!(!everything("name").contains("://"));
    assert!(html.contains("default-src &#39;none&#39;"));
}

#[test]
fn html_closes_what_xml_closes() {
    // In HTML `<td/>` opens a cell; only these elements have no end, and those inside SVG.
    let html = everything("name");
    let mut outside = html.as_str();
    let mut pages = String::new();
    while let Some((before, svg)) = outside.split_once("<svg") {
        pages += before;
        // Charts hold one SVG element inside the other.
        outside = svg.splitn(3, "</svg>").nth(2).unwrap();
    }
    pages += outside;
    for element in pages.split('<').filter(|element| element.contains("/>")) {
        assert!(element.starts_with("meta ") || element.starts_with("img "), "<{element}");
    }
}

#[test]
fn contents_come_with_the_third_section() {
    let sections = |count: usize| {
        let mut page = Page::new("title");
        (0..count).for_each(|i| page.section(&format!("section {i}")));
        let html = page.finish();
        let links: Vec<_> =
            named(&parse(&html), "a").iter().map(|a| a.text().unwrap().to_owned()).collect();
        links
    };
    assert!(sections(0).is_empty() && sections(2).is_empty());
    assert_eq!(sections(3), ["section 0", "section 1", "section 2"]);
}

#[test]
fn pictures_keep_their_pixels_in_cells_of_one_size() {
    let picture = |width, height, seed: u32| {
        RgbImage::from_fn(width, height, |x, y| Rgb([x * 7, y * 5, x * y + seed].map(|v| v as u8)))
    };
    let rows = vec![
        ("first".into(), vec![picture(1, 1, 3), picture(300, 20, 4)]),
        ("second".into(), vec![RgbImage::new(0, 4), picture(64, 64, 5), picture(128, 128, 6)]),
    ];
    let mut page = Page::new("pictures");
    page.pictures(&Pictures { rows: rows.clone(), ..Pictures::default() }).unwrap();
    let html = page.finish();
    let page = parse(&html);
    let images = named(&page, "img");
    let decoded: Vec<RgbImage> = images
        .iter()
        .map(|img| {
            let png = img.attribute("src").unwrap().strip_prefix("data:image/png;base64,").unwrap();
            image::load_from_memory(&STANDARD.decode(png).unwrap()).unwrap().into_rgb8()
        })
        .collect();
    let given: Vec<RgbImage> =
        rows.into_iter().flat_map(|(_, row)| row).filter(|picture| !picture.is_empty()).collect();
    assert_eq!(decoded, given);
    assert!(images.iter().all(|img| img.attribute("width") == Some("128")));
    assert!(images.iter().all(|img| img.attribute("height") == Some("128")));
    let small: Vec<_> = images.iter().map(|img| img.attribute("class")).collect();
    assert_eq!(small, [Some("small"), Some(""), Some("small"), Some("small")]);
    assert_eq!(named(&page, "td").len(), 6, "every row has all columns");
}

#[test]
fn tables_show_every_cell_and_set_numbers_to_the_right() {
    let table = Table {
        caption: String::new(),
        columns: ["name", "AUC"].map(String::from).to_vec(),
        rows: [&["a.jpg", "0.9 [0.8, 1.0]"][..], &["b.jpg", "–", "extra"], &[]]
            .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
            .to_vec(),
    };
    let mut page = Page::new("table");
    page.table(&table);
    let html = page.finish();
    let page = parse(&html);
    let cells: Vec<_> = named(&page, "td")
        .iter()
        .map(|td| (td.text().unwrap_or(""), td.attribute("class").unwrap_or("")))
        .collect();
    let wanted = [
        [("a.jpg", ""), ("0.9 [0.8, 1.0]", "number"), ("", "")],
        [("b.jpg", ""), ("–", "number"), ("extra", "")],
        [("", ""), ("", "number"), ("", "")],
    ];
    assert_eq!(cells, wanted.concat());
    assert_eq!(named(&page, "th").len(), 3);
}

#[test]
fn a_page_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    for title in ["first", "second"] {
        Page::new(title).write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), Page::new(title).finish());
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
    let error = Page::new("third").write(folder.path().join("missing/report.html")).unwrap_err();
    assert!(error.to_string().contains("missing/report.html"), "{error}");
}
