//! The ranks of a run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tch::{Device, Kind, Tensor};

use crate::environment::{self, Place};
use crate::ffi::{self, ShimGroup};
use crate::pulse::Heart;
use crate::roll::{self, Report, Roll};
use crate::secret;
use crate::store::{RawStore, StoreKind, milliseconds};
use crate::{Doing, Error, Position, Result, Store};

/// Which library carries the collectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Gloo: CPU tensors, over TCP.
    Gloo,
    /// NCCL for CUDA tensors (feature `cuda`), and Gloo beside it for CPU tensors.
    Nccl,
}

/// The ranks of this run: one process alone, or a process group.
///
/// Alone, collectives do nothing, so a program is written once. Clones share the group. All
/// ranks must call the same collectives in the same order. Any thread may call them (a
/// [checkpointed segment](crate::torch::checkpoint) does in the backward pass), but not two at a
/// time: then there is no order.
#[derive(Debug, Clone)]
pub struct World {
    rank: usize,
    local_rank: usize,
    size: usize,
    authenticated: bool,
    backend: Option<Backend>,
    group: Option<Arc<Group>>,
}

/// libtorch's process group.
#[derive(Debug)]
struct RawGroup(*mut ShimGroup);

// SAFETY: it is counted atomically, and the shim's lock (csrc/group.cpp) lets one thread at a
// time start a collective, be it from here, from a reducer or from a backward pass.
unsafe impl Send for RawGroup {}
// SAFETY: as above.
unsafe impl Sync for RawGroup {}

impl Drop for RawGroup {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::c10d_group_free(self.0) }
    }
}

#[derive(Debug)]
pub(crate) struct Group {
    raw: RawGroup,
    // After `raw` in order of drop: rank 0's store serves the others while the group lives.
    // The locks only make them ones that threads can share.
    heart: Mutex<Heart>,
    roll: Roll,
    keeps_store: bool,
    _raw_store: Mutex<RawStore>,
    _keeper: Store,
}

impl Group {
    /// Valid as long as the group is borrowed.
    pub(crate) fn pointer(&self) -> *mut ShimGroup {
        self.raw.0
    }

    fn heart(&self) -> MutexGuard<'_, Heart> {
        self.heart.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// One process alone.
    pub fn solo() -> World {
        World { rank: 0, local_rank: 0, size: 1, authenticated: true, backend: None, group: None }
    }

    /// Joins the run that `RANK`, `LOCAL_RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`
    /// describe, and returns when all ranks have joined. With none of them set, or with
    /// `WORLD_SIZE=1` and no `MASTER_ADDR`, it is [`World::solo`].
    ///
    /// Rank 0 keeps the store that the ranks meet at and listens on `MASTER_ADDR` and
    /// `MASTER_PORT` (on no other address; `MASTER_LISTEN_ADDR` names another one), unless
    /// `TORCHELASTIC_USE_AGENT_STORE=True` says that the launcher already does. Ranks whose
    /// `TORCHELASTIC_RUN_ID` or `TORCHELASTIC_RESTART_COUNT` differ are no peers. Gloo talks
    /// over loopback when `MASTER_ADDR` is a loopback address or `LOCAL_WORLD_SIZE` equals
    /// `WORLD_SIZE`; otherwise over the address that the host's name resolves to. The
    /// interfaces in `GLOO_SOCKET_IFNAME`, if any, win over both.
    ///
    /// With a secret in `FACESHIELD_RUN_SECRET`, or in a file that `FACESHIELD_RUN_SECRET_FILE`
    /// names, rank 0's store serves only processes that know it; in a store that another launcher
    /// keeps, messages without its code are ignored.
    ///
    /// `timeout` bounds the meeting and every later collective.
    ///
    /// # Errors
    /// [`Error::BadEnvironment`] names the variables that are missing or wrong;
    /// [`Error::AddressInUse`] when rank 0 cannot listen; [`Error::Timeout`] when a rank does
    /// not come, naming the missing ranks; [`Error::Rendezvous`] when `MASTER_ADDR` does not
    /// resolve, is no address of rank 0's machine, or when another run meets there; [`Error::Unsupported`] for NCCL in a build without the feature `cuda`.
    pub fn from_env(backend: Backend, timeout: Duration) -> Result<World> {
        match environment::read(secret::variable)? {
            None => Ok(World::solo()),
            Some(place) => join(&place, backend, timeout),
        }
    }

    /// This process's number, from 0 to `size() - 1`.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// This process's number among those on its machine: the CUDA device to use.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// Whether this is rank 0, the one that writes files and logs.
    pub fn is_main(&self) -> bool {
        self.rank == 0
    }

    /// Whether messages between the ranks come from none but them: the run has a secret.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// The backend of the group; `None` for a process alone.
    pub fn backend(&self) -> Option<Backend> {
        self.backend
    }

    /// Says where this rank stands, for the others to know should they miss it. Costs nothing.
    pub fn stands(&self, step: u64, doing: Doing) {
        if let Some(group) = &self.group {
            group.heart().set(Position { step, doing });
        }
    }

    /// After an [`Error::PeerLost`] or [`Error::Timeout`]: the rank that is to blame, if that
    /// can be told. One that failed before and said so ([`World::fail`]); one that has ended;
    /// one that gives no sign of life; or the one that is furthest behind. Takes some seconds.
    ///
    /// # Errors
    /// When the store does not answer: then it is the one who keeps it.
    pub fn blame(&self) -> Result<Option<Report>> {
        let Some(group) = &self.group else { return Ok(None) };
        let position = group.heart().position();
        let found = group.roll.blame(self.rank, position);
        if group.keeps_store {
            // The others ask the same, of the store that goes with this process.
            let missing = found.as_ref().ok().and_then(Option::as_ref).map(|found| found.rank);
            group.roll.outlast(self.rank, missing);
        }
        found
    }

    /// Tells the others, before this rank leaves, that it has failed and why (one line).
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn fail(&self, why: &str) -> Result<()> {
        let report = |group: &Group| Report {
            rank: self.rank,
            what: format!("{}: {why}", group.heart().position()),
        };
        self.group.as_deref().map_or(Ok(()), |group| group.roll.fail(&report(group)))
    }

    /// Tells a launcher how far the run has come, in any words that differ from those before:
    /// failures without progress between them are not worth a restart.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn note_progress(&self, progress: &str) -> Result<()> {
        self.group.as_deref().map_or(Ok(()), |group| group.roll.note_progress(progress))
    }

    pub(crate) fn group(&self) -> Option<&Arc<Group>> {
        self.group.as_ref()
    }

    /// The device whose tensors the group's main backend takes.
    pub(crate) fn device(&self) -> Device {
        match self.backend {
            Some(Backend::Nccl) => Device::Cuda(self.local_rank),
            _ => Device::Cpu,
        }
    }
}

fn join(place: &Place, backend: Backend, timeout: Duration) -> Result<World> {
    if backend == Backend::Nccl && cfg!(not(feature = "cuda")) {
        return Err(Error::Unsupported(
            "NCCL was asked for, but this program was built without the feature `cuda`; \
             build with it, or use Gloo"
                .into(),
        ));
    }
    let Meeting { keeper, raw, messages } = meet(place, timeout)?;
    let timeout_ms = milliseconds(timeout);
    let code = |pointer| {
        // SAFETY: a live store and an out-pointer for the length of the call. The numbers
        // were read as i32.
        unsafe {
            ffi::c10d_group_new(
                raw.pointer(),
                place.rank as i32,
                place.size as i32,
                timeout_ms,
                place.loopback,
                backend == Backend::Nccl,
                pointer,
            )
        }
    };
    let doing = format!("connecting rank {} to the others", place.rank);
    let pointer = ffi::receive(&doing, code)?;
    let heart = Heart::start(Arc::clone(&messages), place.rank)?;
    let roll = Roll::new(messages, place.size);
    let keeps_store = place.keeps_store;
    let group = Group {
        raw: RawGroup(pointer),
        heart: Mutex::new(heart),
        roll,
        keeps_store,
        _raw_store: Mutex::new(raw),
        _keeper: keeper,
    };
    let world = World {
        rank: place.rank,
        local_rank: place.local_rank,
        size: place.size,
        authenticated: !matches!(place.store, StoreKind::Open(None)),
        backend: Some(backend),
        group: Some(Arc::new(group)),
    };
    // Nobody leaves, and rank 0's store stays, before all are connected.
    let one = Tensor::ones([1], (Kind::Int64, Device::Cpu));
    world.all_reduce(&one, crate::ReduceOp::Sum)?;
    Ok(world)
}

/// A store in which all ranks have met.
struct Meeting {
    /// As the process sees the whole store; rank 0's is the store, unless a launcher keeps it.
    keeper: Store,
    /// For the process group.
    raw: RawStore,
    /// For signs of life and other messages.
    messages: Arc<Store>,
}

/// Opens the store and waits for the roll call.
fn meet(place: &Place, timeout: Duration) -> Result<Meeting> {
    // A process's second group must not read the first one's keys in an agent's store.
    static GROUPS: AtomicU64 = AtomicU64::new(0);
    let count = GROUPS.fetch_add(1, Ordering::Relaxed);
    let (size, rank) = (place.size, place.rank);
    let (host, port, run) = (place.host.as_str(), place.port, place.run.as_str());
    let address = format!("{host}:{port}");
    let seconds = timeout.as_secs_f64();

    let keeper = if place.keeps_store {
        let secret = match &place.store {
            StoreKind::Authenticated(secret) => Some(secret),
            StoreKind::Open(_) => None,
        };
        Store::keep(host, port, run, !place.loopback, secret)?
    } else {
        Store::reach(host, port, run, timeout, &place.store).map_err(|error| match error {
            Error::Timeout(_) | Error::PeerLost(_) => Error::Timeout(format!(
                "rank {rank} of {size} found no rank 0 at {address} within {seconds} s; see rank \
                 0's log, and check MASTER_ADDR and MASTER_PORT, and FACESHIELD_RUN_SECRET if the \
                 run has one"
            )),
            other => other,
        })?
    };
    // Rank 0's store tells whose it is; a launcher's need not.
    keeper.check_run(run, !place.agent, timeout)?;
    let prefix = roll::prefix(run, &place.attempt, count);
    let (raw, messages) = (keeper.raw(&prefix)?, Arc::new(keeper.below(&prefix, &place.attempt)?));

    let mut joined = vec![0_u8; size];
    // SAFETY: a live store; `joined` has room for one byte per rank.
    let code = unsafe {
        let timeout_ms = milliseconds(timeout);
        let joined = joined.as_mut_ptr();
        ffi::c10d_store_join(raw.pointer(), rank as i32, size as i32, timeout_ms, joined)
    };
    let doing = format!("joining rank {rank} of {size} at {address}");
    ffi::check(code, &doing).map_err(|error| match error {
        Error::Timeout(_) if joined[rank] == 1 => {
            Error::Timeout(missing_ranks(&joined, &address, seconds))
        }
        // Rank 0 gave up a moment earlier and took the store with it.
        Error::Timeout(_) | Error::PeerLost(_) => Error::PeerLost(format!(
            "rank {rank} of {size} met rank 0 at {address}, but rank 0 went away before all \
             ranks had joined; see rank 0's log"
        )),
        other => other,
    })?;
    Ok(Meeting { keeper, raw, messages })
}

fn missing_ranks(joined: &[u8], address: &str, seconds: f64) -> String {
    const NAMED: usize = 16;
    let missing: Vec<usize> = (0..joined.len()).filter(|&rank| joined[rank] == 0).collect();
    let mut names: Vec<String> = missing.iter().take(NAMED).map(usize::to_string).collect();
    if missing.len() > NAMED {
        names.push("…".into());
    }
    format!(
        "only {} of {} ranks joined at {address} within {seconds} s; missing: rank {}; see the \
         logs of the missing ranks, or allow more time",
        joined.len() - missing.len(),
        joined.len(),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_ranks_are_counted_and_named() {
        let text = missing_ranks(&[1, 0, 1, 0], "node7:29500", 1.5);
        assert!(text.starts_with(
            "only 2 of 4 ranks joined at node7:29500 within 1.5 s; missing: rank 1, 3;"
        ));
        assert!(missing_ranks(&[0; 40], "a:1", 1.0).contains(" 14, 15, …;"));
    }
}
