//! Writes a page with something of everything: `cargo run -p page --example sample -- sample.html`.

use image::{Rgb, RgbImage};
use page::{Axis, Chart, Page, Pictures, Point, Series, Style, Table};

fn main() -> Result<(), page::Error> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "sample.html".into());
    let mut page = Page::new("A sample of everything");
    page.paragraph("Numbers are made up.\nNames are escaped: <b>holiday & beach</b>.jpg");

    page.section("Table");
    let row = |name: &str, auc: &str, photos: &str| vec![name.into(), auc.into(), photos.into()];
    page.table(&Table {
        caption: "Verification of 100 people".into(),
        columns: row("method", "AUC", "photos"),
        rows: vec![
            row("original", "0.994 [0.991, 0.997]", "2000"),
            row("blur", "0.81 [0.78, 0.84]", "1987"),
            row("faceshield, ε = 1", "–", "0"),
        ],
    });

    page.section("Charts");
    page.chart(&roc());
    page.chart(&bars());
    page.chart(&many());
    page.chart(&loss());

    page.section("Pictures");
    let picture =
        |side: u32, seed: u32| {
            RgbImage::from_fn(side, side, |x, y| {
                Rgb([x * 4 + seed, y * 4, 128 + seed].map(|v| v as u8))
            })
        };
    let row = |name: &str, seed| (name.into(), vec![picture(32, seed), picture(300, seed)]);
    page.pictures(&Pictures {
        caption: "Before and after".into(),
        columns: vec!["32 pixels".into(), "300 pixels".into()],
        rows: vec![row("person 1/photo 1.jpg", 0), row("person 2/photo 7.jpg", 90)],
    })?;
    page.write(path)
}

fn series(name: &str, style: Style, points: Vec<Point>) -> Series {
    Series { name: name.into(), points, style }
}

fn roc() -> Chart {
    let curve = |power: f64, spread: f64| {
        let point = |i: i32| {
            let x = 10f64.powf(f64::from(i) / 50.0);
            let y = x.powf(power);
            Point::new(x, y).between(y * (1.0 - spread), (y * (1.0 + spread)).min(1.0))
        };
        (-200..=0).map(point).collect()
    };
    Chart {
        title: "Receiver operating characteristic".into(),
        x: Axis { log: true, range: Some((1e-4, 1.0)), ..Axis::new("false accept rate") },
        y: Axis { range: Some((0.0, 1.0)), ..Axis::new("true accept rate") },
        series: vec![
            series("original", Style::Line, curve(0.03, 0.02)),
            series("blur, σ = 8", Style::Line, curve(0.2, 0.1)),
            series("faceshield, ε = 1", Style::Line, curve(0.9, 0.2)),
        ],
    }
}

fn bars() -> Chart {
    let names = ["none", "blur", "mosaic", "dp-pix at b = 16", "dp-blur", "faceshield, ε = 1"];
    let values = |scale: f64| {
        let y = |i: usize| 1.0 - scale * i as f64;
        let point = |i: usize| Point::new(i as f64, y(i)).between(y(i) - 0.05, y(i) + 0.04);
        (0..names.len()).map(point).collect()
    };
    Chart {
        title: "Re-identification and utility by method".into(),
        x: Axis { names: names.map(String::from).into(), ..Axis::new("method") },
        y: Axis::new("share of photos"),
        series: vec![
            series("re-identified", Style::Bars, values(0.18)),
            series("expression kept", Style::Bars, values(0.06)),
        ],
    }
}

fn many() -> Chart {
    let names: Vec<String> =
        (0..9).map(|i| format!("folder with a long name {i}/photo.jpg")).collect();
    let points = |k: usize| {
        let y = |i: usize| 10f64.powf(-(((i * 7 + k * 3) % 9) as f64) / 2.0);
        (0..names.len())
            .map(|i| Point::new(i as f64, y(i)).between(y(i) / 1.5, y(i) * 1.5))
            .collect()
    };
    Chart {
        title: "Many series of dots over names, on a logarithmic axis".into(),
        x: Axis { names: names.clone(), ..Axis::default() },
        y: Axis { log: true, ..Axis::new("distance") },
        series: (0..5).map(|k| series(&format!("measure {k}"), Style::Dots, points(k))).collect(),
    }
}

fn loss() -> Chart {
    let points = |k: i32| {
        let y = |i: i32| f64::from(k) + 6.0 * (-f64::from(i) / 8.0).exp();
        let value = |i: i32| if (i, k) == (9, 3) { f64::NAN } else { y(i) };
        (0..=24).map(|i| Point::new(f64::from(i * 500), value(i))).collect()
    };
    Chart {
        title: "Losses".into(),
        x: Axis::new("step"),
        y: Axis::new("loss"),
        series: (0..12).map(|k| series(&format!("run {k}"), Style::Line, points(k))).collect(),
    }
}
