//! The ranks of this machine as processes.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use files::Folder;
use rustix::process::{Pid, Signal};

use super::log;
use super::settings::Settings;
use crate::failure::TO_BE_CONTINUED;

/// Tells a rank the process id of its launcher.
const LAUNCHER: &str = "FACESHIELD_LAUNCHER";
/// How often the ranks are looked at.
pub(super) const POLL: Duration = Duration::from_millis(10);
/// A rank that breaks takes its peers along at once: so long is waited for the
/// others' ends before it is decided whose came first.
const SETTLE: Duration = Duration::from_millis(300);
/// Lines of a failed rank's log that are shown.
const TAIL_LINES: usize = 10;

pub(super) struct Rank {
    pub(super) rank: u32,
    child: Child,
    pub(super) status: Option<ExitStatus>,
    log: PathBuf,
    /// Its output has been on the terminal.
    shown: bool,
    copies: Vec<JoinHandle<()>>,
}

/// The ranks of this machine. Dropped, it ends those that still run.
pub(super) struct Ranks {
    ranks: Vec<Rank>,
    /// They have been told to stop.
    told: bool,
}

impl Ranks {
    /// Starts every rank for an attempt. Logs of earlier attempts are gone on with.
    ///
    /// # Errors
    ///
    /// A log that cannot be written, a process that cannot be started; ranks
    /// started before are ended.
    pub(super) fn start(
        settings: &Settings,
        attempt: u32,
        command: &[String],
        logs: &Folder,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot tell where this program lies")?;
        let mut this = Self { ranks: Vec::new(), told: false };
        for local_rank in 0..settings.local_size {
            let rank = settings.rank(local_rank);
            let name = format!("rank_{rank}.log");
            let log = logs.path().join(&name);
            let shown = log.display().to_string();
            let mut process = Command::new(&program);
            process
                .args(command)
                .envs(settings.environment(local_rank, attempt))
                .env(LAUNCHER, std::process::id().to_string())
                .stdin(Stdio::null())
                // A group of its own: Ctrl-C reaches it through us, once.
                .process_group(0);
            let started = open_log(logs, &name, attempt)
                .and_then(|file| start_rank(process, rank, log, file))
                .with_context(|| format!("cannot start rank {rank} (its log goes to {shown})"))?;
            this.ranks.push(started);
        }
        tracing::info!("started {} ranks, logs in {}", settings.local_size, logs.path().display());
        Ok(this)
    }

    /// Waits for what ended ranks have still to say to get into their logs.
    pub(super) fn finish_logs(&mut self) {
        for copy in self.ranks.iter_mut().flat_map(|rank| rank.copies.drain(..)) {
            // A copier that panicked has nothing more to copy.
            let _ = copy.join();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rank> {
        self.ranks.iter()
    }

    /// The rank of this number, if it is one of this machine's.
    pub(super) fn get(&self, rank: usize) -> Option<&Rank> {
        self.ranks.iter().find(|one| one.rank as usize == rank)
    }

    /// Takes note of ranks that have ended (which also reaps them).
    pub(super) fn all_ended(&mut self) -> bool {
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
    pub(super) fn first_failure(&mut self) -> Option<&Rank> {
        if !self.ranks.iter().any(|rank| self.failed(rank)) {
            return None;
        }
        let deadline = Instant::now() + SETTLE;
        while !self.all_ended() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        let ended =
            |rank: &Rank| -> Option<SystemTime> { rank.log.metadata().ok()?.modified().ok() };
        let failed = self.ranks.iter().filter(|rank| self.failed(rank));
        failed.min_by_key(|rank| (rank.ended_by().is_none(), ended(rank)))
    }

    pub(super) fn signal_all(&mut self, signal: Signal) {
        self.told |= [Signal::INT, Signal::TERM].contains(&signal);
        for rank in self.iter() {
            rank.signal(signal);
        }
    }

    /// Whether a rank has ended before its work was done, ready to go on: with the exit code
    /// for that, or told to stop before it could listen.
    pub(super) fn stopped(&self, rank: &Rank) -> bool {
        let code = rank.status.and_then(|status| status.code());
        let early = self.told && matches!(rank.ended_by(), Some("SIGINT" | "SIGTERM"));
        early || code == Some(TO_BE_CONTINUED.into())
    }

    /// Whether a rank has ended, and neither well nor stopped.
    fn failed(&self, rank: &Rank) -> bool {
        rank.status.is_some_and(|status| !status.success()) && !self.stopped(rank)
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
    /// The signal that ended it, if one did.
    pub(super) fn ended_by(&self) -> Option<&'static str> {
        self.status?.signal().map(|number| {
            signal_hook::low_level::signal_name(number).unwrap_or("an unknown signal")
        })
    }

    pub(super) fn misused(&self) -> bool {
        self.status.and_then(|status| status.code()) == Some(2)
    }

    pub(super) fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            // It has ended and is not yet reaped: the next look finds that out.
            let _ = rustix::process::kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// `rank 1 WHAT; its log is …`, after the end of its log, unless that has been seen. Where
    /// nothing better is known, `WHAT` is its exit code and the last error in its log.
    pub(super) fn describe(&self, what: Option<&str>) -> String {
        // Its words may repeat a file's name, or whatever else it was given.
        let lines: Vec<String> =
            log::tail(&self.log, TAIL_LINES).iter().map(|line| c10d::escape(line)).collect();
        if !self.shown {
            for line in &lines {
                crate::logging::print(&format!("rank {} | {line}", self.rank));
            }
        }
        let code = self.status.and_then(|status| status.code());
        let code = code.map(|code| format!("failed with exit code {code}"));
        let what = match (code, what) {
            (Some(code), Some(what)) => format!("{code} {what}"),
            (None, Some(what)) => what.to_owned(),
            (code, None) => {
                let last = lines.iter().rev().find_map(|line| line.split_once("error: "));
                let why = last.map(|(_, message)| format!(" ({message})")).unwrap_or_default();
                format!("{}{why}", code.as_deref().unwrap_or("failed"))
            }
        };
        format!("rank {} {what}; its log is {}", self.rank, self.log.display())
    }
}

/// A rank's log: a new one for a run's first attempt.
fn open_log(logs: &Folder, name: &str, attempt: u32) -> io::Result<File> {
    let mut file = logs.append(name)?;
    if attempt == 0 {
        file.set_len(0)?;
        return Ok(file);
    }
    writeln!(file, "---- restart {attempt} ----")?;
    Ok(file)
}

/// Starts one rank. Its output goes to its log; rank 0's to the terminal as well:
/// by itself where there is one (for the progress bar; then logging writes the
/// copy), else through us.
fn start_rank(mut process: Command, rank: u32, log: PathBuf, file: File) -> io::Result<Rank> {
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
