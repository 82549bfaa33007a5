//! Tables of text and numbers.

use crate::markup::Markup;

/// A table. Columns that hold numbers only are set to the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What the table shows; may be empty.
    pub caption: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The cells, a row at a time. Cells that a row lacks stay empty; columns that only rows have
    /// stay without a name.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn draw(&self, out: &mut Markup) {
        let width = self.rows.iter().map(Vec::len).fold(self.columns.len(), usize::max);
        let classes: Vec<&str> =
            (0..width).map(|column| if self.numeric(column) { "number" } else { "" }).collect();
        let cells = |out: &mut Markup, tag: &str, cells: &[String]| {
            out.element("tr", &[], |out| {
                for (column, class) in classes.iter().enumerate() {
                    let text = cells.get(column).map_or("", String::as_str);
                    out.with_text(tag, &[("class", class)], text);
                }
            });
            out.line();
        };
        framed(out, &self.caption, "", |out| {
            out.element("thead", &[], |out| cells(out, "th", &self.columns));
            out.element("tbody", &[], |out| {
                for row in &self.rows {
                    cells(out, "td", row);
                }
            });
        });
    }

    /// Whether a column holds a number, and nothing else but empty cells and dashes.
    fn numeric(&self, column: usize) -> bool {
        let cells = || self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.trim());
        cells().any(is_number) && cells().all(|cell| is_number(cell) || is_absent(cell))
    }
}

/// A table under its caption, which scrolls where the page is narrower.
pub(crate) fn framed(out: &mut Markup, caption: &str, class: &str, rows: impl FnOnce(&mut Markup)) {
    out.element("figure", &[], |out| {
        if !caption.is_empty() {
            out.with_text("figcaption", &[], caption);
        }
        out.line();
        out.element("div", &[("class", &"scroll")], |out| {
            out.element("table", &[("class", &class)], rows);
        });
    });
    out.line();
}

/// Digits and what belongs to numbers, such as `0.99 [0.98, 1.00]`, `−3 ± 1` or `2×10⁻⁵`.
fn is_number(cell: &str) -> bool {
    const SIGNS: &str = ".,+-−–±×·/%‰[]()<>=≤≥~≈∞ⁿ⁻⁰¹²³⁴⁵⁶⁷⁸⁹eE";
    let belongs = |c: char| c.is_ascii_digit() || c.is_whitespace() || SIGNS.contains(c);
    cell.chars().any(|c| c.is_ascii_digit()) && cell.chars().all(belongs)
}

/// How cells say that there is no number.
fn is_absent(cell: &str) -> bool {
    let cell = cell.to_ascii_lowercase();
    ["", "-", "−", "–", "—", "n/a", "nan", "inf", "-inf", "∞", "−∞"].contains(&cell.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_numbers_are_told_from_names() {
        for cell in ["0.994", "0.99 [0.98, 1.00]", "−3 ± 1", "2×10⁻⁵", "1e-3", "12 %", "< 0.1"]
        {
            assert!(is_number(cell), "{cell}");
        }
        for cell in ["", "12.jpg", "person 7", "eE", "–", "3 photos"] {
            assert!(!is_number(cell), "{cell}");
        }
        let rows = [["a", "1"], ["b", "–"], ["3", "NaN"]].map(|row| row.map(String::from).to_vec());
        let table = Table { rows: rows.to_vec(), ..Table::default() };
        assert_eq!([0, 1, 2].map(|column| table.numeric(column)), [false, true, false]);
    }
}
