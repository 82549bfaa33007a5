//! `faceshield launch`: starts the ranks of a command on this machine and looks
//! after them, as torchrun does for Python programs.

mod log;
mod ranks;
mod settings;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::cli::{Cli, Command};
use crate::failure::misuse;

pub(crate) use ranks::follow_launcher;

/// Start several ranks of a command on this machine
///
/// Each rank runs the command after `--` with RANK, LOCAL_RANK, WORLD_SIZE,
/// LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT set, and its share of the cores in
/// OMP_NUM_THREADS. SIGINT and SIGTERM are passed on to the ranks; a second one ends
/// them at once. When a rank fails the others are stopped and it is named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    faceshield launch --nproc-per-node 2 -- train all --preset demo\n  \
    faceshield launch --nnodes 2 --node-rank 0 --master-addr 10.0.0.1 --nproc-per-node 8 \
    -- train fse --preset published --data /data/faces")]
pub(crate) struct Args {
    /// Ranks to start on this machine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    nproc_per_node: u32,

    /// Machines in the run; each starts its own launcher
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    nnodes: u32,

    /// Which of the machines this is, from 0
    #[arg(long, value_name = "K", default_value_t = 0)]
    node_rank: u32,

    /// Address of machine 0 [default: MASTER_ADDR, or 127.0.0.1 on a single machine]
    #[arg(long, value_name = "ADDRESS")]
    master_addr: Option<String>,

    /// Port of rank 0 [default: MASTER_PORT, or a free one on a single machine, or 29500]
    #[arg(long, value_name = "PORT")]
    master_port: Option<u16>,

    /// Folder of the ranks' logs [default: `logs` in the run's folder]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,

    /// Seconds that ranks are given to end after another has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    grace: u64,

    /// The command to run on every rank
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command on every rank and waits for all of them.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let log_dir = match (&args.log_dir, check_command(&args.command)?) {
        (Some(dir), _) => dir.clone(),
        (None, Some(run_dir)) => run_dir.join("logs"),
        (None, None) => PathBuf::from("logs"),
    };
    std::fs::create_dir_all(&log_dir)
        .with_context(|| format!("cannot create the log folder {}", log_dir.display()))?;
    let settings = settings::Settings::new(args)?;
    ranks::Ranks::start(&settings, &args.command, &log_dir)?
        .supervise(Duration::from_secs(args.grace))
}

/// Refuses a command that no rank could carry out, so that this is said once and
/// before anything is started. Returns the run's folder when there is one.
fn check_command(command: &[String]) -> anyhow::Result<Option<PathBuf>> {
    let words = std::iter::once("faceshield").chain(command.iter().map(String::as_str));
    let cli = Cli::try_parse_from(words).map_err(|error| {
        if error.use_stderr() {
            misuse(crate::failure::arguments_line(&error.render().to_string()))
        } else {
            misuse(format!("nothing to launch in `{}`", command.join(" ")))
        }
    })?;
    match cli.command {
        Command::Train(train) => Ok(Some(crate::commands::train::check(&train)?)),
        Command::Launch(_) => Err(misuse("launch cannot launch itself")),
        _ => Ok(None),
    }
}
