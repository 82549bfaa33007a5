//! `faceshield compare`: several evaluations beside each other.

mod page;
mod read;

use files::Escape;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;

use crate::commands::evaluate::{number, r_squared};
use crate::failure::misuse;
use crate::output;
use read::{Attributes, Report};

/// Put several evaluations beside each other: what each gives up for the other
///
/// Reads report.json files that `faceshield evaluate` left, of several models (other weights,
/// seeds, terms left out) measured on the same photos. FILE gets one page: a table of each
/// protection and charts of privacy over what is left of the picture, a point a model; and the
/// same of the separation. A model that none beats in both is on the frontier.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    faceshield compare light=a/report/report.json private=b/report/report.json \
    --out comparison.html")]
pub(crate) struct Args {
    /// The reports, and what to call each; without a name it is its path
    #[arg(value_name = "[NAME=]REPORT.json", required = true)]
    reports: Vec<Named>,

    /// The page
    #[arg(long, value_name = "FILE.html")]
    out: PathBuf,

    /// Folder for the charts as SVG files of their own
    #[arg(long, value_name = "DIR")]
    charts: Option<PathBuf>,
}

/// A report, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: String,
    file: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = text.split_once('=').unwrap_or((text, text));
        match name.is_empty() || file.is_empty() {
            true => Err("give NAME=REPORT.json, or REPORT.json alone".to_owned()),
            false => Ok(Named { name: name.to_owned(), file: file.into() }),
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut found: Vec<(String, Report)> = Vec::new();
    for Named { name, file } in &args.reports {
        if found.iter().any(|(other, _)| other == name) {
            return Err(misuse(format!("two reports are called {name}: give each its own NAME=")));
        }
        found.push((name.clone(), Report::read(file)?));
    }
    let (first, one) = &found[0];
    if let Some((name, _)) = found.iter().find(|(_, other)| !one.same_photos(other)) {
        tracing::warn!(
            "{first} and {name} were measured on other photos: their numbers do not compare"
        );
    }
    let charts = page::write(&found, &args.out)?;
    if let Some(folder) = &args.charts {
        let files = files::Folder::create(folder)
            .with_context(|| format!("cannot create {}", folder.escaped()))?;
        for (name, chart) in charts {
            // Names come from the reports: one that is a path is refused there.
            let name = format!("{name}.svg");
            files
                .write(&name, chart.svg().as_bytes())
                .with_context(|| format!("cannot write {}", folder.join(&name).escaped()))?;
        }
    }
    for (name, report) in &found {
        tell(name, report)?;
    }
    Ok(output::line(format_args!("page: {}", args.out.escaped()))?)
}

/// # Errors
///
/// When standard output refuses.
fn tell(name: &str, report: &Report) -> anyhow::Result<()> {
    output::line(format_args!("{name}:"))?;
    for one in &report.protections {
        let Some(auc) = one.worst() else { continue };
        output::line(format_args!(
            "  {}: AUC {:.3}, PSNR {}, SSIM {}, {}",
            one.name,
            auc.value(),
            number(one.utility.psnr, 1),
            number(one.utility.ssim, 3),
            r_squared(Attributes::groups(one.utility.attributes.as_ref()))
        ))?;
    }
    if let Some(found) = &report.separation {
        let Some(probe) = found.perception() else { return Ok(()) };
        output::line(format_args!(
            "  perception: identity {}, {}",
            number(probe.identity, 3),
            r_squared(Attributes::groups(probe.attributes.as_ref()))
        ))?;
    }
    Ok(())
}
