//! Pictures in rows and columns, as PNG inside the page.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use crate::Error;
use crate::markup::Markup;
use crate::table::framed;

/// Pictures, a row for each thing and a column for each view of it.
///
/// They are shown in cells of one size, small ones enlarged with their pixels visible, and are kept
/// whole in the page: shrink photos first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pictures {
    /// What they show; may be empty.
    pub caption: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Each row's name, and its pictures. A picture of no pixels leaves its cell empty.
    pub rows: Vec<(String, Vec<RgbImage>)>,
}

/// The pictures of a row.
struct Row<'a> {
    name: &'a str,
    pictures: Vec<Shown>,
}

/// A picture as the page holds it.
struct Shown {
    /// A data URI; empty for a picture without pixels.
    uri: String,
    /// Pixels along the longer side.
    side: u32,
}

impl Pictures {
    /// # Errors
    /// A picture cannot be encoded.
    pub(crate) fn draw(&self, out: &mut Markup) -> Result<(), Error> {
        let rows: Vec<Row<'_>> = self
            .rows
            .iter()
            .map(|(name, pictures)| row(name, pictures))
            .collect::<Result<_, _>>()?;
        let columns =
            rows.iter().map(|row| row.pictures.len()).fold(self.columns.len(), usize::max);
        let side = if columns > 6 { 96 } else { 128 };
        // A column of empty names would only cost room.
        let named = rows.iter().any(|row| !row.name.is_empty());
        let column = |place: usize| self.columns.get(place).map_or("", String::as_str);

        framed(out, &self.caption, "pictures", |out| {
            if !self.columns.is_empty() {
                out.element("thead", &[], |out| {
                    out.element("tr", &[], |out| {
                        let first = named.then_some("");
                        for name in first.into_iter().chain((0..columns).map(column)) {
                            out.with_text("th", &[], name);
                        }
                    });
                });
                out.line();
            }
            out.element("tbody", &[], |out| {
                for row in &rows {
                    out.element("tr", &[], |out| {
                        if named {
                            out.with_text("th", &[("scope", &"row")], row.name);
                        }
                        for place in 0..columns {
                            out.element("td", &[], |out| {
                                if let Some(picture) = row.pictures.get(place) {
                                    picture.draw(out, row.name, column(place), side);
                                }
                            });
                        }
                    });
                    out.line();
                }
            });
        });
        Ok(())
    }
}

impl Shown {
    /// The picture in a cell of `cell` by `cell` pixels.
    fn draw(&self, out: &mut Markup, row: &str, column: &str, cell: u32) {
        if self.uri.is_empty() {
            return;
        }
        let names: Vec<&str> = [row, column].into_iter().filter(|name| !name.is_empty()).collect();
        let name = names.join(", ");
        let class = if self.side <= cell { "small" } else { "" };
        out.leaf(
            "img",
            &[
                ("src", &self.uri),
                ("alt", &name),
                ("title", &name),
                ("class", &class),
                ("width", &cell),
                ("height", &cell),
            ],
        );
    }
}

fn row<'a>(name: &'a str, pictures: &[RgbImage]) -> Result<Row<'a>, Error> {
    let show = |(column, picture): (usize, &RgbImage)| {
        let uri = uri(picture).map_err(|source| Error::Picture {
            row: name.to_owned(),
            column,
            source,
        })?;
        Ok(Shown { uri, side: picture.width().max(picture.height()) })
    };
    let pictures = pictures.iter().enumerate().map(show).collect::<Result<_, Error>>()?;
    Ok(Row { name, pictures })
}

fn uri(picture: &RgbImage) -> Result<String, image::ImageError> {
    if picture.is_empty() {
        return Ok(String::new());
    }
    let mut png = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive);
    picture.write_with_encoder(encoder)?;
    Ok(format!("data:image/png;base64,{}", Base64Display::new(&png, &STANDARD)))
}
