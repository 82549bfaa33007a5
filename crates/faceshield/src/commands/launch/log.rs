//! What ranks print: copied to their log files, and read back when one fails.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread::JoinHandle;

/// How much of a log's end is looked at.
const TAIL_BYTES: u64 = 8 << 10;

/// What a line is cut to when it does not end.
const LONGEST_LINE: u64 = 64 << 10;

/// Copies what comes out of `from` to `file` and to `terminal` until its end, line by line: a rank
/// prints its own lines safe for terminals, but libraries in it print what they like.
pub(super) fn tee(
    from: impl Read + Send + 'static,
    mut file: File,
    mut terminal: impl Write + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut from).take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = format!("{}\n", files::escape::escape_bytes(text));
            // A full disk or a closed terminal must not block the rank: go on reading.
            let _ = file.write_all(text.as_bytes());
            let _ = terminal.write_all(text.as_bytes());
            let _ = terminal.flush();
        }
    })
}

/// The last `count` lines of a log, without the empty ones.
pub(super) fn tail(path: &Path, count: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let folder = files::Folder::at(path.parent().unwrap_or(Path::new("")));
        let mut file = folder.open(path.file_name().unwrap_or_default())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // A log that cannot be read has no last lines; the failure itself is reported anyway.
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // A progress bar redraws its line after a carriage return: its last state counts.
    let lines = text.lines().map(|line| line.rsplit('\r').next().unwrap_or_default().trim_end());
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|&line| line.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_tail_is_short_whatever_the_log() {
        let path = std::env::temp_dir().join(format!("faceshield-tail-{}", std::process::id()));
        assert!(tail(&path, 3).is_empty());
        let long = "x\n".repeat(10_000) + "step 1\rstep 2\n\nerror: boom\n";
        std::fs::write(&path, long).unwrap();
        assert_eq!(tail(&path, 3), ["x", "step 2", "error: boom"]);
        std::fs::remove_file(&path).unwrap();
    }
}
