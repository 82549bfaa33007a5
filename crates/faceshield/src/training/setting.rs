//! What a run shares between its stages: the ranks, this rank's device, the wish to stop.

use std::time::Duration;

use anyhow::Context;
use c10d::{Backend, World};
use signal_hook::consts::{SIGINT, SIGTERM};
use tch::Device;
use train::StopFlag;

use crate::failure::{Stopped, misuse, one_line};

/// This process as a rank.
pub(crate) struct Setting {
    pub(crate) world: World,
    pub(crate) device: Device,
    pub(crate) stop: StopFlag,
}

impl Setting {
    /// Joins the ranks that the environment names, and listens to SIGINT and SIGTERM:
    /// the first asks for a stop at the next step boundary, a second one ends the
    /// process at once.
    ///
    /// # Errors
    ///
    /// An environment that names no rank, ranks that do not come in time, a device
    /// that is not there.
    pub(crate) fn join(engine: &train::Config) -> anyhow::Result<Self> {
        // Needed before there is a world, to choose between NCCL and Gloo.
        let local_rank = std::env::var("LOCAL_RANK").ok().and_then(|text| text.parse().ok());
        let device =
            engine.device(local_rank.unwrap_or(0)).map_err(|error| misuse(error.to_string()))?;
        let backend = if device.is_cuda() { Backend::Nccl } else { Backend::Gloo };
        let stop = StopFlag::new();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds the flag that the first has set.
            signal_hook::flag::register_conditional_shutdown(signal, 1, stop.shared())
                .and_then(|_| signal_hook::flag::register(signal, stop.shared()))
                .context("cannot receive signals")?;
        }
        if engine.threads > 0 {
            tch::set_num_threads(i32::try_from(engine.threads).unwrap_or(i32::MAX));
        }
        let timeout = Duration::from_secs(engine.timeout_seconds);
        let world = World::from_env(backend, timeout).map_err(|error| match error {
            c10d::Error::BadEnvironment(text) => misuse(text),
            other => other.into(),
        })?;
        Ok(Self { world, device, stop })
    }

    /// # Errors
    ///
    /// A stop has been asked for.
    pub(crate) fn check_stop(&self) -> anyhow::Result<()> {
        if self.stop.is_set() {
            anyhow::bail!("stopped by a signal before training began: run the same command again");
        }
        Ok(())
    }

    /// Tells the other ranks of this one's failure; of one that they have caused, which of
    /// them.
    pub(crate) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        use c10d::Error::{PeerLost, Timeout};
        let has = |is: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(is);
        let left_alone = has(|cause| {
            matches!(cause.downcast_ref::<c10d::Error>(), Some(PeerLost(_) | Timeout(_)))
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
