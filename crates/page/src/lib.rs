//! Reports as one HTML page: tables, charts and pictures, with nothing to fetch and no scripts.
//!
//! - [`Page`]: a title, sections and what is in them; [`Page::write`] leaves a whole file or none.
//! - [`Table`]: rows of text; columns of numbers are set to the right.
//! - [`Chart`]: lines with bands, dots and bars with whiskers, on linear, logarithmic and named
//!   axes. [`Chart::svg`] is the chart as a file of its own.
//! - [`Pictures`]: photos in rows and columns, as PNG inside the page.
//!
//! Names may be anything, since they come from file names: all text is escaped, and the page forbids
//! the browser to load anything from elsewhere. Light and dark follow the reader's settings.
//!
//! ```
//! use page::{Axis, Chart, Page, Point, Series, Style};
//!
//! let chart = Chart {
//!     title: "Verification".into(),
//!     x: Axis { log: true, range: Some((1e-3, 1.0)), ..Axis::new("false accept rate") },
//!     y: Axis { range: Some((0.0, 1.0)), ..Axis::new("true accept rate") },
//!     series: vec![Series {
//!         name: "original".into(),
//!         points: vec![Point::new(1e-3, 0.6).between(0.5, 0.7), Point::new(1.0, 1.0)],
//!         style: Style::Line,
//!     }],
//! };
//! let mut page = Page::new("Evaluation");
//! page.section("Recognition");
//! page.paragraph("100 people, 2000 photos.");
//! page.chart(&chart);
//! assert!(page.finish().contains("<svg"));
//! assert!(chart.svg().starts_with("<svg"));
//! ```
//!
//! Charts are drawn here and not by `plotters`: its SVG has fixed colours, so it cannot follow a
//! dark page, draws the legend over the data, has no tooltips, and crowds logarithmic axes with
//! grid lines.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chart;
mod error;
mod markup;
mod page;
mod pictures;
mod table;

pub use chart::{Axis, Chart, Point, Series, Style};
pub use error::Error;
pub use page::Page;
pub use pictures::Pictures;
pub use table::Table;
