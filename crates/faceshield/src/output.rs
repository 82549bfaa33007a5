//! What commands print on stdout: text lines, or one JSON object.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// Prints one line; unlike `println!` it reports a closed pipe instead of panicking.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints one JSON object on one line.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    Ok(line(text)?)
}

/// Bytes as people read them: `1.5 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / (1 << 20) as f64;
    if megabytes < 10.0 {
        format!("{megabytes:.2} MB")
    } else if megabytes < 10_240.0 {
        format!("{megabytes:.0} MB")
    } else {
        format!("{:.1} GB", megabytes / 1024.0)
    }
}
