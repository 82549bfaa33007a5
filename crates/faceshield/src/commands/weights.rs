//! `faceshield weights`: what is in a weight file, and from one format to another.

use files::Escape;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use files::Folder;
use serde::Serialize;
use tch::{Kind, Tensor};

use crate::failure::misuse;
use crate::output;

/// Look into weight files and convert them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List names, shapes, types and sums
    ///
    /// Reads safetensors and both .pth formats, told by content; for a checkpoint folder,
    /// its model.safetensors.
    #[command(after_help = "Example:\n  \
        faceshield weights inspect checkpoints_FSE/step_00002000/model.safetensors")]
    Inspect {
        /// The file, or a checkpoint folder
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Convert between published .pth files and safetensors
    ///
    /// The ending of OUT (.safetensors, .pth or .pt) says which format is written. Nested
    /// names are joined with dots and `module.` prefixes dropped.
    #[command(
        after_help = "Example:\n  faceshield weights convert released.pth released.safetensors"
    )]
    Convert {
        /// The file to read
        #[arg(value_name = "IN")]
        input: PathBuf,
        /// The file to write
        #[arg(value_name = "OUT")]
        output: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Inspect { file, json } => inspect(file, *json),
        Command::Convert { input, output, json } => convert(input, output, *json),
    }
}

/// What `inspect --json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "crate::output::path")]
    file: PathBuf,
    format: String,
    bytes: u64,
    parameters: u64,
    tensors: BTreeMap<String, Row>,
    metadata: BTreeMap<String, String>,
    other: BTreeMap<String, String>,
}

/// One tensor. Sum and root mean square are taken in float64; absent for an empty tensor.
#[derive(Serialize)]
struct Row {
    shape: Vec<i64>,
    dtype: String,
    sum: Option<f64>,
    rms: Option<f64>,
    finite: bool,
}

impl Row {
    fn new(tensor: &Tensor) -> anyhow::Result<Self> {
        let (mut sum, mut rms, mut finite) = (None, None, true);
        if tensor.numel() > 0 {
            let x = tensor.f_to_kind(Kind::Double)?;
            let (s, q) = (x.f_sum(Kind::Double)?, x.f_square()?.f_mean(Kind::Double)?.f_sqrt()?);
            (sum, rms) = (Some(s.f_double_value(&[])?), Some(q.f_double_value(&[])?));
            // JSON has no word for infinity.
            finite = sum.is_some_and(f64::is_finite) && rms.is_some_and(f64::is_finite);
            if !finite {
                (sum, rms) = (None, None);
            }
        }
        Ok(Self { shape: tensor.size(), dtype: dtype(tensor.kind()).to_owned(), sum, rms, finite })
    }
}

fn inspect(file: &Path, json: bool) -> anyhow::Result<()> {
    let (file, archive) = if file.is_dir() {
        // What a checkpoint holds is not the user's choice: no link in it is followed.
        let path = file.join(train::checkpoint::MODEL);
        let model = Folder::at(file).of_anybody().open(train::checkpoint::MODEL);
        let model = model.with_context(|| format!("cannot read {}", path.display()))?;
        let archive = ::weights::read_open(model, &path)?;
        (path, archive)
    } else {
        (file.to_path_buf(), ::weights::read(file)?)
    };
    let mut report = Report {
        bytes: std::fs::metadata(&file).map_or(0, |meta| meta.len()),
        format: archive.format.to_string(),
        file,
        parameters: archive.tensors.values().map(|tensor| tensor.numel() as u64).sum(),
        tensors: BTreeMap::new(),
        metadata: archive.metadata,
        other: archive
            .other
            .iter()
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect(),
    };
    for (name, tensor) in &archive.tensors {
        report.tensors.insert(name.clone(), Row::new(tensor)?);
    }
    if json { output::json(&report) } else { print(&report) }
}

fn print(report: &Report) -> anyhow::Result<()> {
    let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.6e}"));
    let width = report.tensors.keys().map(String::len).max().unwrap_or(4);
    output::line(format_args!(
        "{}: {}, {}, {} tensors, {} numbers",
        report.file.escaped(),
        report.format,
        output::megabytes(report.bytes),
        report.tensors.len(),
        report.parameters
    ))?;
    for (name, value) in &report.metadata {
        output::line(format_args!("# {name}: {value}"))?;
    }
    for (name, value) in &report.other {
        output::line(format_args!("= {name}: {value}"))?;
    }
    output::line(format_args!(
        "{:width$}  {:8} {:>14} {:>14}  shape",
        "name", "type", "sum", "rms"
    ))?;
    for (name, row) in &report.tensors {
        output::line(format_args!(
            "{name:width$}  {:8} {:>14} {:>14}  {:?}{}",
            row.dtype,
            number(row.sum),
            number(row.rms),
            row.shape,
            if row.finite { "" } else { "  NOT FINITE" },
        ))?;
    }
    Ok(())
}

fn convert(input: &Path, output: &Path, json: bool) -> anyhow::Result<()> {
    let ending = output.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !["safetensors", "pth", "pt"].contains(&ending) {
        return Err(misuse(format!(
            "cannot tell the format of {}: end it in .safetensors or .pth",
            output.escaped()
        )));
    }
    let archive = ::weights::read(input)?;
    if ending == "safetensors" {
        let mut metadata = archive.metadata;
        metadata
            .extend(archive.other.iter().map(|(name, value)| (name.clone(), value.to_string())));
        ::weights::write_safetensors(output, &archive.tensors, &metadata)?;
    } else {
        ::weights::write_pth(output, &archive.tensors)?;
    }
    let tensors = archive.tensors.len();
    if json {
        let [input, output] = [input, output].map(output::path_text);
        output::json(&serde_json::json!({ "input": input, "output": output, "tensors": tensors }))
    } else {
        Ok(output::line(format_args!("{}: {tensors} tensors", output.escaped()))?)
    }
}

/// PyTorch's name of an element type.
fn dtype(kind: Kind) -> &'static str {
    match kind {
        Kind::Uint8 => "uint8",
        Kind::Int8 => "int8",
        Kind::Int16 => "int16",
        Kind::Int => "int32",
        Kind::Int64 => "int64",
        Kind::Half => "float16",
        Kind::Float => "float32",
        Kind::Double => "float64",
        Kind::BFloat16 => "bfloat16",
        Kind::Bool => "bool",
        _ => "other",
    }
}
