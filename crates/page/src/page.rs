//! The page: parts one below the other, put together at the end.

use std::path::Path;

use crate::markup::Markup;
use crate::{Chart, Error, Pictures, Table, chart};

/// Nothing may be fetched, whatever a name in the page holds.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// Sections from which on there is a table of contents.
const CONTENTS_FROM: usize = 3;

/// An HTML page that needs nothing but itself: no scripts, nothing to fetch.
///
/// Everything given to it is text: it is escaped, and never read as markup.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    warning: Option<String>,
    sections: Vec<String>,
    body: Markup,
}

impl Page {
    /// A page with a title and nothing else.
    pub fn new(title: &str) -> Page {
        Page {
            title: title.to_owned(),
            warning: None,
            sections: Vec::new(),
            body: Markup::default(),
        }
    }

    /// A text at the very top, set apart: what one must know before the page is passed on.
    pub fn warning(&mut self, text: &str) {
        self.warning = Some(text.to_owned());
    }

    /// Begins a section. From three on the page begins with a table of contents.
    pub fn section(&mut self, title: &str) {
        self.sections.push(title.to_owned());
        self.body.with_text("h2", &[("id", &anchor(self.sections.len()))], title);
        self.body.line();
    }

    /// A paragraph of text. Line breaks in it are kept.
    pub fn paragraph(&mut self, text: &str) {
        self.body.with_text("p", &[], text);
        self.body.line();
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        table.draw(&mut self.body);
    }

    /// A chart.
    pub fn chart(&mut self, chart: &Chart) {
        self.body.element("figure", &[("class", &"scroll")], |out| chart.inline(out));
        self.body.line();
    }

    /// Pictures in rows and columns.
    ///
    /// # Errors
    /// A picture cannot be encoded; the page is then as before.
    pub fn pictures(&mut self, pictures: &Pictures) -> Result<(), Error> {
        let mut drawn = Markup::default();
        pictures.draw(&mut drawn)?;
        self.body.append(&drawn);
        Ok(())
    }

    /// The page as text.
    pub fn finish(self) -> String {
        let mut out = Markup::default();
        out.element("html", &[("lang", &"en")], |out| {
            out.line();
            out.element("head", &[], |out| {
                out.leaf("meta", &[("charset", &"utf-8")]);
                let policy = ("content", &POLICY as _);
                out.leaf("meta", &[("http-equiv", &"Content-Security-Policy"), policy]);
                let width = ("content", &"width=device-width, initial-scale=1" as _);
                out.leaf("meta", &[("name", &"viewport"), width]);
                out.with_text("title", &[], &self.title);
                out.style(include_str!("page.css"));
                out.style(chart::STYLE);
            });
            out.line();
            out.element("body", &[], |out| {
                out.with_text("h1", &[], &self.title);
                out.line();
                if let Some(warning) = &self.warning {
                    out.with_text("p", &[("class", &"warning"), ("role", &"note")], warning);
                    out.line();
                }
                if self.sections.len() >= CONTENTS_FROM {
                    self.contents(out);
                }
                out.append(&self.body);
            });
        });
        format!("<!DOCTYPE html>\n{}\n", out.into_string())
    }

    /// Writes the page to a file beside `path`, syncs it and renames it to `path`. Only its owner
    /// may read it: it is about people, and may show them.
    ///
    /// # Errors
    /// The file cannot be written; what was at `path` is then still there.
    pub fn write(self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        files::output::write(path, self.finish().as_bytes())
            .map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    fn contents(&self, out: &mut Markup) {
        out.element("nav", &[], |out| {
            out.element("ul", &[], |out| {
                for (place, section) in self.sections.iter().enumerate() {
                    let target = format!("#{}", anchor(place + 1));
                    out.element("li", &[], |out| out.with_text("a", &[("href", &target)], section));
                }
            });
        });
        out.line();
    }
}

fn anchor(section: usize) -> String {
    format!("section-{section}")
}
