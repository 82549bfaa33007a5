//! What rank 0 shows while it works: a bar on a terminal, plain lines elsewhere.

use crate::metrics::Line;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// The run's progress; silent on ranks other than 0.
pub(crate) struct Progress {
    stage: &'static str,
    epochs: u64,
    /// `None` where there is no terminal.
    bar: Option<ProgressBar>,
    silent: bool,
}

impl Progress {
    pub(crate) fn new(stage: &'static str, epochs: u64, end: u64, silent: bool) -> Self {
        let bar = (!silent && std::io::stderr().is_terminal()).then(|| {
            let template = "{prefix} {bar:30} {pos}/{len} steps, {eta} left  {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(end).with_style(style).with_prefix(stage)
        });
        Self { stage, epochs, bar, silent }
    }

    /// After a step; `done` counts all steps of the run.
    pub(crate) fn step(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// After a flush of the log.
    pub(crate) fn logged(&self, line: &Line) {
        let totals = line.losses.iter().filter(|(name, _)| !line.terms.contains(name));
        let losses: Vec<String> = totals.map(|(name, x)| format!("{name} {x:.4}")).collect();
        let losses = losses.join("  ");
        let rate = line.images_per_second;
        match &self.bar {
            Some(bar) => bar.set_message(format!("{losses}  {rate:.1} images/s")),
            None if self.silent => {}
            None => tracing::info!(
                "{} epoch {}/{} batch {}/{} step {}: {losses}  {rate:.1} images/s",
                self.stage,
                line.epoch + 1,
                self.epochs,
                line.batch + 1,
                line.of_batches,
                line.step,
            ),
        }
    }

    /// One line about something that has happened; rank 0 only.
    pub(crate) fn say(&self, text: &str) {
        if self.silent {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| tracing::info!("{text}")),
            None => tracing::info!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
