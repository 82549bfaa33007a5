//! Logs: lines on stderr, and in a file as well when the launcher asks for one.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use files::Folder;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Names a file that gets a copy of every log line. The launcher sets it for
/// rank 0 where that one writes to the terminal itself.
pub(crate) const LOG_FILE: &str = "FACESHIELD_LOG_FILE";

static COPY: OnceLock<Mutex<File>> = OnceLock::new();

/// Starts logging; called once, before anything is logged.
pub(crate) fn start(verbose: bool, quiet: bool) {
    if let Some(path) = std::env::var_os(LOG_FILE).map(PathBuf::from)
        // The launcher has just made it.
        && let Ok(file) = Folder::at(path.parent().unwrap_or(Path::new("")))
            .append(path.file_name().unwrap_or_default())
    {
        // A second call would find it set, and keeps the first.
        let _ = COPY.set(Mutex::new(file));
    }
    let level = match (verbose, quiet) {
        (true, _) => Level::DEBUG,
        (_, true) => Level::WARN,
        _ => Level::INFO,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .event_format(Plain { with_time: !io::stderr().is_terminal() })
        .with_writer(Stderr);
    // Only fails when logging has been started before.
    let _ = subscriber.try_init();
}

/// Prints `error: …` where the logs go.
pub(crate) fn print_error(message: &str) {
    print(&format!("error: {message}"));
}

/// Prints one line where the logs go, without time and level.
pub(crate) fn print(line: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = Stderr.write_all(format!("{}\n", files::escape(line)).as_bytes());
}

/// stderr, past a progress bar where one is drawn, and the copy.
#[derive(Clone, Copy)]
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(copy) = COPY.get() {
            // A full disk must not silence the terminal.
            let _ = copy.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes);
        }
        io::stderr().lock().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Stderr;

    fn make_writer(&'a self) -> Stderr {
        *self
    }
}

/// `[time] [rank N:] [warning:] message`: time off terminals, rank where there are several.
struct Plain {
    with_time: bool,
}

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.with_time {
            SystemTime.format_time(&mut writer)?;
            writer.write_char(' ')?;
        }
        match *event.metadata().level() {
            Level::ERROR => writer.write_str("error: ")?,
            Level::WARN => writer.write_str("warning: ")?,
            _ => {}
        }
        // Names and texts that others chose are in it: it is one line, whatever they hold.
        let mut message = String::new();
        context.field_format().format_fields(Writer::new(&mut message), event)?;
        writeln!(writer, "{}", files::escape(&message))
    }
}
