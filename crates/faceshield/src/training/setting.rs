//! What a run shares between its stages: the ranks, this rank's device, what it is asked for.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context;
use c10d::{Backend, World};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;
use tch::Device;
use train::Requests;

use crate::failure::{Stopped, misuse, one_line};

/// This process as a rank.
pub(crate) struct Setting {
    pub(crate) world: World,
    pub(crate) device: Device,
    pub(crate) requests: Requests,
    /// Whether the log is to name no person and no image.
    pub(crate) private: bool,
}

impl Setting {
    /// Joins the ranks that the environment names, and listens to signals: SIGINT and SIGTERM
    /// ask for a stop with a checkpoint at the next step boundary, SIGUSR1 for a checkpoint.
    /// A second SIGINT ends the process at once; a second SIGTERM does not, as schedulers and
    /// launchers may each send theirs. Training stops by `deadline`, if there is one.
    ///
    /// # Errors
    ///
    /// An environment that names no rank, ranks that do not come in time, a device
    /// that is not there.
    pub(crate) fn join(engine: &train::Config, deadline: Option<Instant>) -> anyhow::Result<Self> {
        let requests = Requests::new().until(deadline);
        // First of all: until then a signal means what it means to any process.
        listen(&requests).context("cannot receive signals")?;
        // Needed before there is a world, to choose between NCCL and Gloo.
        let local_rank = std::env::var("LOCAL_RANK").ok().and_then(|text| text.parse().ok());
        let device =
            engine.device(local_rank.unwrap_or(0)).map_err(|error| misuse(error.to_string()))?;
        let backend = if device.is_cuda() { Backend::Nccl } else { Backend::Gloo };
        // Before anything is computed: the statistics of stage I come before its session.
        engine.apply()?;
        let timeout = Duration::from_secs(engine.timeout_seconds);
        let world = World::from_env(backend, timeout).map_err(|error| match error {
            c10d::Error::BadEnvironment(text) => misuse(text),
            other => other.into(),
        })?;
        if !world.is_authenticated() && world.is_main() {
            tracing::warn!(
                "the ranks have no secret in common: whoever reaches {} can end the run and write \
                 into its log; give all ranks the same FACESHIELD_RUN_SECRET to prevent that, or \
                 use `faceshield launch`",
                std::env::var("MASTER_ADDR").map_or("the run's port".to_owned(), |address| {
                    let port = std::env::var("MASTER_PORT").unwrap_or_default();
                    c10d::escape(&format!("{address}:{port}"))
                })
            );
        }
        Ok(Self { world, device, requests, private: engine.private })
    }

    /// Before training, while nothing is to be saved; called by all ranks together.
    ///
    /// # Errors
    ///
    /// A stop has been asked for on some rank, or time is over; another rank is lost.
    pub(crate) fn check_stop(&self) -> anyhow::Result<()> {
        let late = self.requests.deadline().is_some_and(|deadline| Instant::now() >= deadline);
        match self.all_agree(!late && !self.requests.stop_asked())? {
            true => Ok(()),
            false => Err(Stopped(
                "stopped while computing layer statistics: run the same command again".to_owned(),
            )
            .into()),
        }
    }

    /// Tells the other ranks of this one's failure; of one that they have caused, which of
    /// them.
    pub(crate) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        use c10d::Error::{PeerLost, Timeout};
        let has = |is: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(is);
        let left_alone = has(|cause| {
            let alone = cause.downcast_ref::<c10d::Error>();
            // Where the engine passes one on, it is not a cause of its own.
            let passed_on = match cause.downcast_ref() {
                Some(train::Error::World(error)) => Some(error),
                _ => None,
            };
            matches!(alone.or(passed_on), Some(PeerLost(_) | Timeout(_)))
        });
        let follows = has(|cause| {
            cause.is::<Stopped>()
                || matches!(cause.downcast_ref(), Some(train::Error::OtherRank { .. }))
        });
        let error = match left_alone.then(|| self.world.blame()) {
            None | Some(Ok(None)) => error,
            Some(Ok(Some(found))) => error.context(format!("rank {} {}", found.rank, found.what)),
            Some(Err(store)) => error.context(format!(
                "{store}, which is kept by the launcher of rank 0 or by rank 0 itself"
            )),
        };
        if !follows {
            // Without the store, nobody is left to be told.
            let _ = self.world.fail(&one_line(error.chain()));
        }
        error
    }

    /// Whether `ok` holds on every rank.
    ///
    /// # Errors
    ///
    /// Another rank could not be reached.
    pub(crate) fn all_agree(&self, ok: bool) -> anyhow::Result<bool> {
        let bad = self.world.sum_scalar(if ok { 0.0 } else { 1.0 })?;
        Ok(bad == 0.0)
    }
}

/// Signals only set flags; the loop looks at them where all ranks meet.
fn listen(requests: &Requests) -> std::io::Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    // In this order: the second SIGINT finds the flag that the first has set.
    flag::register_conditional_default(SIGINT, interrupted.clone())?;
    flag::register(SIGINT, interrupted)?;
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, requests.stop_flag())?;
    }
    flag::register(SIGUSR1, requests.save_flag())?;
    // A limit on the size of files (`ulimit -f`) is then an error of the write, as a full disk
    // is, and not the end of the process.
    flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}
