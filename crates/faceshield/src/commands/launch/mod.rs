//! `faceshield launch`: starts the ranks of a command on this machine and looks
//! after them, as torchrun does for Python programs.

mod attempt;
mod log;
mod machines;
mod outcome;
mod ranks;
mod restarts;
mod settings;
mod signals;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use files::Folder;

use crate::cli::{Cli, Command};
use crate::failure::{Stopped, misuse};
use attempt::Attempt;
use machines::{Machines, Next};
use outcome::Outcome;

pub(crate) use ranks::follow_launcher;
pub(crate) use settings::command_started;

/// After which a rank that gives no sign of life is given up, where the command does not say.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Name of the folder of logs in a run's folder.
const LOGS: &str = "logs";

/// Start several ranks of a command on this machine
///
/// Each rank runs the command after `--` with RANK, LOCAL_RANK, WORLD_SIZE,
/// LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT set, and its share of the cores in
/// OMP_NUM_THREADS. SIGINT, SIGTERM (save and stop) and SIGUSR1 (save and go on) are passed
/// on to the ranks; a second SIGINT ends them at once. When a rank fails, on whichever
/// machine, the others are stopped, it is named, and with --max-restarts all start again from
/// the last good checkpoint. Processes that do not know the run's secret cannot take part: on one
/// machine each run gets a new one, several machines must share one in FACESHIELD_RUN_SECRET or
/// FACESHIELD_RUN_SECRET_FILE.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    faceshield launch --nproc-per-node 2 -- train all --preset demo\n  \
    faceshield launch --nnodes 2 --node-rank 0 --master-addr 10.0.0.1 --nproc-per-node 8 \
    --max-restarts 3 -- train fse --preset published --data /data/faces\n\n\
    Exit codes: 0 done, 1 failed, 2 misused, 75 stopped before the end, the same command goes on.")]
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

    /// Times that all ranks are started again after a failure; those that saved a new
    /// checkpoint since do not count
    #[arg(long, value_name = "K", default_value_t = 0)]
    max_restarts: u32,

    /// Name of the run, the same on all its machines: ranks of other runs that come to the same
    /// address are refused [default: SLURM_JOB_ID, or one of its own on a single machine]
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,

    /// Go without a secret, also between machines: whoever reaches the port can control the run
    #[arg(long)]
    no_secret: bool,

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

/// Runs the command on every rank, again after failures if that is allowed.
///
/// # Errors
///
/// The first failed rank and what is known of it; a stop, from which the same command goes on.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Checked { run_dir, timeout } = check_command(&args.command)?;
    let logs = match &args.log_dir {
        Some(dir) => Folder::create(dir),
        None => Folder::create(&run_dir).and_then(|run| run.make(LOGS)),
    };
    let logs = logs.with_context(|| {
        let path = args.log_dir.clone().unwrap_or_else(|| run_dir.join(LOGS));
        format!("cannot use the log folder {}", path.display())
    })?;
    // Before the first rank, so that no signal is lost.
    let mut requests = signals::Requests::listen()?;
    let settings = settings::Settings::new(args, timeout)?;
    let grace = Duration::from_secs(args.grace);
    let machines = Machines::new(&settings, grace);
    let mut restarts = restarts::Restarts::new(args.max_restarts);
    let mut number = machines.first_attempt()?;
    loop {
        machines.begin(number)?;
        let attempt = Attempt {
            number,
            ranks: ranks::Ranks::start(&settings, number, &args.command, &logs)?,
            roll: settings.roll(number)?,
            machines: &machines,
            grace,
            silence: attempt::Silence::new(timeout),
        };
        let next = attempt
            .supervise(&mut requests)
            .and_then(|outcome| machines.conclude(number, outcome, &mut restarts, &mut requests))
            .with_context(|| settings.keeper())?;
        match next {
            Next::Start(next) => number = next,
            Next::End(Outcome::Done) => return Ok(()),
            Next::End(Outcome::Stopped(why)) => return Err(Stopped(why).into()),
            Next::End(Outcome::Failed(message)) => return Err(anyhow::Error::msg(message)),
            Next::End(Outcome::Misused(message)) => return Err(misuse(message)),
        }
    }
}

/// What the launcher learns from the command that it starts.
struct Checked {
    run_dir: PathBuf,
    /// After which a rank that gives no sign of life is given up.
    timeout: Duration,
}

/// Refuses a command that no rank could carry out, so that this is said once and
/// before anything is started.
fn check_command(command: &[String]) -> anyhow::Result<Checked> {
    let words = std::iter::once("faceshield").chain(command.iter().map(String::as_str));
    let cli = Cli::try_parse_from(words).map_err(|error| {
        if error.use_stderr() {
            misuse(crate::failure::arguments_line(&error.render().to_string()))
        } else {
            misuse(format!("nothing to launch in `{}`", command.join(" ")))
        }
    })?;
    match cli.command {
        Command::Train(train) => {
            let (run_dir, timeout) = crate::commands::train::check(&train)?;
            Ok(Checked { run_dir, timeout })
        }
        Command::Launch(_) => Err(misuse("launch cannot launch itself")),
        _ => Ok(Checked { run_dir: PathBuf::new(), timeout: TIMEOUT }),
    }
}
