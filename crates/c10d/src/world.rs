//! The ranks of a run.

use std::ffi::CString;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tch::{Device, Kind, Tensor};

use crate::environment::{self, Place};
use crate::ffi::{self, ShimGroup, ShimStore};
use crate::{Error, Result};

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
/// ranks must call the same collectives in the same order; a `World` therefore stays on one
/// thread (it is neither `Send` nor `Sync`).
#[derive(Debug, Clone)]
pub struct World {
    rank: usize,
    local_rank: usize,
    size: usize,
    backend: Option<Backend>,
    group: Option<Rc<Group>>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) pointer: *mut ShimGroup,
    // After `pointer` in order of drop: rank 0's store serves the others while the group lives.
    _store: Store,
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::c10d_group_free(self.pointer) }
    }
}

#[derive(Debug)]
struct Store(*mut ShimStore);

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::c10d_store_free(self.0) }
    }
}

impl World {
    /// One process alone.
    pub fn solo() -> World {
        World { rank: 0, local_rank: 0, size: 1, backend: None, group: None }
    }

    /// Joins the run that `RANK`, `LOCAL_RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`
    /// describe, and returns when all ranks have joined. With none of them set, or with
    /// `WORLD_SIZE=1` and no `MASTER_ADDR`, it is [`World::solo`].
    ///
    /// Rank 0 keeps the store that the ranks meet at and listens on `MASTER_PORT`, unless
    /// `TORCHELASTIC_USE_AGENT_STORE=True` says that the launcher already does. Gloo talks
    /// over loopback when `MASTER_ADDR` is a loopback address or `LOCAL_WORLD_SIZE` equals
    /// `WORLD_SIZE`; otherwise over the address that the host's name resolves to. The
    /// interfaces in `GLOO_SOCKET_IFNAME`, if any, win over both.
    ///
    /// `timeout` bounds the meeting and every later collective.
    ///
    /// # Errors
    /// [`Error::BadEnvironment`] names the variables that are missing or wrong;
    /// [`Error::AddressInUse`] when rank 0 cannot listen; [`Error::Timeout`] when a rank does
    /// not come, naming the missing ranks; [`Error::Rendezvous`] when `MASTER_ADDR` does not
    /// resolve; [`Error::Unsupported`] for NCCL in a build without the feature `cuda`.
    pub fn from_env(backend: Backend, timeout: Duration) -> Result<World> {
        match environment::read(|name| std::env::var(name).ok())? {
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

    /// The backend of the group; `None` for a process alone.
    pub fn backend(&self) -> Option<Backend> {
        self.backend
    }

    pub(crate) fn group(&self) -> Option<&Rc<Group>> {
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
    let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX / 1_000_000).max(1);
    let store = meet(place, timeout_ms)?;
    let code = |pointer| {
        // SAFETY: a live store and an out-pointer for the length of the call. The numbers
        // were read as i32.
        unsafe {
            ffi::c10d_group_new(
                store.0,
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
    let group = Group { pointer: ffi::receive(&doing, code)?, _store: store };
    let world = World {
        rank: place.rank,
        local_rank: place.local_rank,
        size: place.size,
        backend: Some(backend),
        group: Some(Rc::new(group)),
    };
    // Nobody leaves, and rank 0's store stays, before all are connected.
    let one = Tensor::ones([1], (Kind::Int64, Device::Cpu));
    world.all_reduce(&one, crate::ReduceOp::Sum)?;
    Ok(world)
}

/// Opens the store and waits for the roll call.
fn meet(place: &Place, timeout_ms: i64) -> Result<Store> {
    // A process's second group must not read the first one's keys in an agent's store.
    static GROUPS: AtomicU64 = AtomicU64::new(0);
    let count = GROUPS.fetch_add(1, Ordering::Relaxed);
    let (size, rank) = (place.size, place.rank);
    let address = format!("{}:{}", place.host, place.port);
    let seconds = timeout_ms as f64 / 1000.0;
    let text = |s: String| {
        CString::new(s).map_err(|_| Error::BadEnvironment("MASTER_ADDR contains a NUL".into()))
    };
    let host = text(place.host.clone())?;
    let prefix = text(format!("c10d/{}/{count}", place.attempt))?;

    let doing = if place.keeps_store {
        format!("rank 0 listening on {address} (MASTER_ADDR:MASTER_PORT)")
    } else {
        format!("rank {rank} of {size} connecting to the store at {address}")
    };
    let opened = ffi::receive(&doing, |out| {
        // SAFETY: NUL-terminated strings and an out-pointer for the length of the call.
        unsafe {
            ffi::c10d_store_new(
                host.as_ptr(),
                place.port,
                place.keeps_store,
                timeout_ms,
                prefix.as_ptr(),
                out,
            )
        }
    });
    let store = Store(opened.map_err(|error| match error {
        Error::AddressInUse(_) => Error::AddressInUse(format!(
            "rank 0 cannot listen on port {}: it is in use; set MASTER_PORT to a free port, or \
             end the program that holds this one",
            place.port
        )),
        Error::Timeout(_) | Error::PeerLost(_) => Error::Timeout(format!(
            "rank {rank} of {size} found no rank 0 at {address} within {seconds} s; see rank \
             0's log, and check MASTER_ADDR and MASTER_PORT"
        )),
        other => other,
    })?);

    let mut joined = vec![0_u8; size];
    // SAFETY: a live store; `joined` has room for one byte per rank.
    let code = unsafe {
        ffi::c10d_store_join(store.0, rank as i32, size as i32, timeout_ms, joined.as_mut_ptr())
    };
    ffi::check(code, "waiting for the other ranks").map_err(|error| match error {
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
    Ok(store)
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
