//! The ranks as processes: started, watched, stopped together.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::log;
use super::settings::Settings;
use crate::failure::misuse;

/// Tells a rank the process id of its launcher.
const LAUNCHER: &str = "FACESHIELD_LAUNCHER";
/// How often the ranks are looked at.
const POLL: Duration = Duration::from_millis(10);
/// A rank that breaks takes its peers along at once: so long is waited for the
/// others' ends before it is decided whose came first.
const SETTLE: Duration = Duration::from_millis(300);
/// Lines of a failed rank's log that are shown.
const TAIL_LINES: usize = 10;

struct Rank {
    rank: u32,
    child: Child,
    status: Option<ExitStatus>,
    log: PathBuf,
    /// Its output has been on the terminal.
    shown: bool,
    copies: Vec<JoinHandle<()>>,
}

/// The ranks of this machine. Dropped, it ends those that still run.
pub(super) struct Ranks {
    ranks: Vec<Rank>,
    signals: Signals,
}

impl Ranks {
    /// Starts every rank.
    ///
    /// # Errors
    ///
    /// A log that cannot be written, a process that cannot be started; ranks
    /// started before are ended.
    pub(super) fn start(
        settings: &Settings,
        command: &[String],
        log_dir: &Path,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot tell where this program lies")?;
        // Before the first rank, so that no signal is lost.
        let signals = Signals::new([SIGINT, SIGTERM]).context("cannot receive signals")?;
        let mut this = Self { ranks: Vec::new(), signals };
        for local_rank in 0..settings.local_size {
            let rank = settings.rank(local_rank);
            let log = log_dir.join(format!("rank_{rank}.log"));
            let mut process = Command::new(&program);
            process
                .args(command)
                .envs(settings.environment(local_rank))
                .env(LAUNCHER, std::process::id().to_string())
                .stdin(Stdio::null())
                // A group of its own: Ctrl-C reaches it through us, once.
                .process_group(0);
            let started = start_rank(process, rank, log).with_context(|| {
                format!("cannot start rank {rank} (its log goes to {})", log_dir.display())
            })?;
            this.ranks.push(started);
        }
        tracing::info!("started {} ranks, logs in {}", settings.local_size, log_dir.display());
        Ok(this)
    }

    /// Waits for all ranks to end; passes signals on; after a failure stops the others.
    ///
    /// # Errors
    ///
    /// The first failed rank, its exit code and the last line of its log.
    pub(super) fn supervise(mut self, grace: Duration) -> anyhow::Result<()> {
        let mut stop: Option<i32> = None;
        let mut failed: Option<usize> = None;
        let mut kill_at: Option<Instant> = None;
        while !self.all_ended() {
            for number in self.signals.pending().collect::<Vec<_>>() {
                if stop.replace(number).is_none() {
                    tracing::info!("{}: asking the ranks to stop; again ends them", name(number));
                    self.signal_all(if number == SIGINT { Signal::INT } else { Signal::TERM });
                } else {
                    self.signal_all(Signal::KILL);
                }
            }
            if failed.is_none()
                && let Some(first) = self.first_failure()
            {
                failed = Some(first);
                if !self.all_ended() {
                    tracing::warn!("rank {} failed: stopping the others", self.ranks[first].rank);
                    self.signal_all(Signal::TERM);
                    kill_at = Some(Instant::now() + grace);
                }
            }
            if kill_at.is_some_and(|time| Instant::now() >= time) {
                tracing::warn!("ranks did not end within {} s: killing them", grace.as_secs());
                self.signal_all(Signal::KILL);
                kill_at = None;
            }
            std::thread::sleep(POLL);
        }
        let failed = failed.or_else(|| self.first_failure());
        for rank in &mut self.ranks {
            for copy in rank.copies.drain(..) {
                // A copier that panicked has nothing more to copy.
                let _ = copy.join();
            }
        }
        match (failed, stop) {
            (Some(_), Some(number)) => {
                Err(anyhow::anyhow!("stopped by {}: run the same command to resume", name(number)))
            }
            (Some(first), None) => Err(self.ranks[first].describe()),
            (None, _) => Ok(()),
        }
    }

    /// Takes note of ranks that have ended (which also reaps them).
    fn all_ended(&mut self) -> bool {
        for rank in self.ranks.iter_mut().filter(|rank| rank.status.is_none()) {
            // An error means that there is no such child any more: counts as failed.
            rank.status = match rank.child.try_wait() {
                Ok(status) => status,
                Err(_) => Some(ExitStatus::from_raw(1 << 8)),
            };
        }
        self.ranks.iter().all(|rank| rank.status.is_some())
    }

    /// The rank whose failure came first, if one has failed. Its peers fail soon
    /// after, some before it is quite gone: one that a signal ended is named first, then
    /// the one whose log ended first.
    fn first_failure(&mut self) -> Option<usize> {
        let failed = |rank: &Rank| rank.status.is_some_and(|status| !status.success());
        if !self.ranks.iter().any(failed) {
            return None;
        }
        let deadline = Instant::now() + SETTLE;
        while !self.all_ended() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        let ended =
            |rank: &Rank| -> Option<SystemTime> { rank.log.metadata().ok()?.modified().ok() };
        (0..self.ranks.len()).filter(|&i| failed(&self.ranks[i])).min_by_key(|&i| {
            let rank = &self.ranks[i];
            let by_signal = rank.status.is_some_and(|status| status.signal().is_some());
            (!by_signal, ended(rank))
        })
    }

    fn signal_all(&self, signal: Signal) {
        for rank in self.ranks.iter().filter(|rank| rank.status.is_none()) {
            // It has ended and is not yet reaped: the next look finds that out.
            let _ = rustix::process::kill_process(Pid::from_child(&rank.child), signal);
        }
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        for rank in self.ranks.iter_mut().filter(|rank| rank.status.is_none()) {
            // Both fail only when the process is gone already.
            let _ = rank.child.kill();
            let _ = rank.child.wait();
        }
    }
}

impl Rank {
    /// Shows the end of its log, unless that has been seen, and says what became of it.
    fn describe(&self) -> anyhow::Error {
        let lines = log::tail(&self.log, TAIL_LINES);
        if !self.shown {
            for line in &lines {
                eprintln!("rank {} | {line}", self.rank);
            }
        }
        let status = self.status.unwrap_or_default();
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("failed with exit code {code}"),
            (None, Some(signal)) => format!("was ended by {}", name(signal)),
            (None, None) => "failed".to_owned(),
        };
        let last = lines.iter().rev().find_map(|line| line.split_once("error: "));
        let why = last.map(|(_, message)| format!(" ({message})")).unwrap_or_default();
        let message = format!("rank {} {how}{why}; its log is {}", self.rank, self.log.display());
        if status.code() == Some(2) { misuse(message) } else { anyhow::Error::msg(message) }
    }
}

/// Starts one rank. Its output goes to its log; rank 0's to the terminal as well:
/// by itself where there is one (for the progress bar; then logging writes the
/// copy), else through us.
fn start_rank(mut process: Command, rank: u32, log: PathBuf) -> io::Result<Rank> {
    let file = File::create(&log)?;
    let shown = rank == 0;
    let terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
    if shown && terminal {
        process.env(crate::logging::LOG_FILE, &log);
    } else if shown {
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
    } else {
        process.stdout(file.try_clone()?).stderr(file.try_clone()?);
    }
    let mut child = process.spawn()?;
    let mut copies = Vec::new();
    if let Some(out) = child.stdout.take() {
        copies.push(log::tee(out, file.try_clone()?, io::stdout()));
    }
    if let Some(err) = child.stderr.take() {
        copies.push(log::tee(err, file, io::stderr()));
    }
    Ok(Rank { rank, child, status: None, log, shown, copies })
}

/// `SIGTERM` for 15.
fn name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal)
        .map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// Called by every process at its start: a rank of ours asks to be stopped when
/// its launcher dies, however that happens.
///
/// # Errors
///
/// The launcher is gone already.
pub(crate) fn follow_launcher() -> anyhow::Result<()> {
    let Some(launcher) = std::env::var(LAUNCHER).ok().and_then(|text| text.parse::<i32>().ok())
    else {
        return Ok(());
    };
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .context("cannot watch the launcher")?;
    match rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get()) {
        Some(parent) if parent == launcher => Ok(()),
        _ => Err(anyhow::anyhow!("the launcher (process {launcher}) has ended")),
    }
}
