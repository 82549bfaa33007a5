//! What a run says at its end.

use std::path::Path;

use train::Summary;

use super::Plan;
use crate::output;

/// Says where everything is.
pub(super) fn print(plan: &Plan<'_>, summaries: &[(&str, Summary)]) -> anyhow::Result<()> {
    for (name, summary) in summaries {
        let losses: Vec<String> =
            summary.losses.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        output::line(format_args!(
            "{name}: {} steps, checkpoint {}",
            summary.steps,
            show(summary.checkpoint.as_deref())
        ))?;
        if !losses.is_empty() {
            output::line(format_args!("  {}", losses.join("  ")))?;
        }
        let found: Vec<String> =
            summary.validation.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        if !found.is_empty() {
            output::line(format_args!("  validation: {}", found.join("  ")))?;
        }
    }
    let run_dir = plan.run_dir.display();
    if plan.commons().any(|common| common.engine.previews() > 0) {
        output::line(format_args!("previews:  {run_dir}/preview"))?;
    }
    output::line(format_args!("metrics:   {run_dir}/metrics.jsonl"))?;
    Ok(output::line(format_args!("dashboard: tensorboard --logdir {run_dir}"))?)
}

fn show(path: Option<&Path>) -> String {
    path.map_or_else(|| "(none)".to_owned(), |path| path.display().to_string())
}
