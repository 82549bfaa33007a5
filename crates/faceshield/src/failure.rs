//! Errors as users see them: one line on stderr, and an exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

/// The command was understood and did not succeed.
pub(crate) const FAILED: ExitCode = ExitCode::FAILURE;

/// The command cannot be carried out as it was given.
fn misused() -> ExitCode {
    ExitCode::from(2)
}

/// An error in what the user typed or set, as opposed to one met while working.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// The exit code of a command that was stopped and goes on when it is given again:
/// `EX_TEMPFAIL` of sysexits.h, which schedulers' scripts can requeue on.
pub(crate) const TO_BE_CONTINUED: u8 = 75;

/// A stop from which the same command goes on, as opposed to a failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Stopped(pub(crate) String);

/// A [`Misuse`] as an [`anyhow::Error`].
pub(crate) fn misuse(message: impl Into<String>) -> anyhow::Error {
    Misuse(message.into()).into()
}

/// Prints `error: …` on one line and returns the exit code that goes with it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // `faceshield weights inspect FILE | head` is no failure.
    if error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    }) {
        return ExitCode::SUCCESS;
    }
    crate::logging::print_error(&one_line(error.chain()));
    if error.chain().any(|cause| cause.is::<Misuse>()) {
        misused()
    } else if error.chain().any(|cause| cause.is::<Stopped>()) {
        ExitCode::from(TO_BE_CONTINUED)
    } else {
        FAILED
    }
}

/// Prints clap's message: help and version in full, an error on one line.
pub(crate) fn report_arguments(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Printing can only fail when nobody reads.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    crate::logging::print_error(&arguments_line(&error.render().to_string()));
    misused()
}

/// Clap's paragraphs (what is wrong, a list, a tip) without its usage text.
pub(crate) fn arguments_line(rendered: &str) -> String {
    let parts: Vec<&str> = rendered
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let text = parts.join(" ").replace(" tip: ", "; ");
    let usage = rendered.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let text = text.strip_prefix("error: ").unwrap_or(&text).to_owned();
    match usage.and_then(|usage| usage.split(['[', '<', '-']).next()) {
        Some(command) if command.starts_with("faceshield") => {
            format!("{text}; see `{} --help`", command.trim())
        }
        _ => text,
    }
}

/// An error and its causes, joined by colons. A cause that the text before it already quotes is
/// left out, and so is the trace of C++ frames that libtorch adds. Other line breaks are those of
/// names: they are escaped.
pub(crate) fn one_line<'a>(chain: impl Iterator<Item = &'a (dyn Error + 'static)>) -> String {
    let mut text = String::new();
    for cause in chain {
        let message = cause.to_string();
        let cause = files::escape(without_trace(&message)).to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// A message without the C++ frames that libtorch adds in lines of their own.
fn without_trace(message: &str) -> &str {
    let ends = ["\nException raised from ", "\nframe #", "\nC++ CapturedTraceback:"];
    let end = ends.iter().filter_map(|end| message.find(end)).min();
    message[..end.unwrap_or(message.len())].trim()
}

/// The first line of a message, be its line breaks real or escaped (as a panic
/// that quotes an error with `{:?}` has them).
fn first_line(message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default();
    line.split("\\n").next().unwrap_or_default().trim_end().to_owned()
}

/// A panic is a fault of ours: it is said in one line as well, with its place.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let place = panic.location().map(|l| format!(" ({}:{})", l.file(), l.line()));
        crate::logging::print_error(&format!(
            "internal error, please report it: {}{}",
            first_line(message),
            place.unwrap_or_default()
        ));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_joined_once_and_cut_to_a_line() {
        let error = anyhow::anyhow!("shape mismatch\nException raised from x at y:1\nframe #0")
            .context("cannot load a.safetensors");
        assert_eq!(one_line(error.chain()), "cannot load a.safetensors: shape mismatch");
        let quoted = anyhow::anyhow!("not found").context("a.toml: not found");
        assert_eq!(one_line(quoted.chain()), "a.toml: not found");
        let named = anyhow::anyhow!("a\nb.png: no picture");
        assert_eq!(one_line(named.chain()), "a\\nb.png: no picture");
        assert_eq!(first_line("called on an `Err` value: Torch(\"bad\\nframe\")"), {
            "called on an `Err` value: Torch(\"bad"
        });
    }

    #[test]
    fn clap_errors_fit_on_a_line() {
        use clap::Parser;
        let line = |arguments: &[&str]| match crate::cli::Cli::try_parse_from(arguments) {
            Err(error) => arguments_line(&error.render().to_string()),
            Ok(_) => panic!("{arguments:?} was accepted"),
        };
        assert_eq!(
            line(&["faceshield", "stats", "--data", "x"]),
            "the following required arguments were not provided: --out <FILE.safetensors>; \
             see `faceshield stats --help`"
        );
        let text = line(&["faceshield", "trian"]);
        assert!(text.starts_with("unrecognized subcommand 'trian'"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}
