//! The store that ranks meet at, and leave each other messages in.
//!
//! A key-value store that one process keeps and the others reach over TCP. None of its own calls can be trusted to return when the keeper hangs, so they run on a
//! thread that is waited for only so long.
//!
//! In a run with a [`Secret`] the store is our own ([`crate::keeper`]) and serves only those who
//! know the secret. Otherwise, and where torchrun keeps it, it is libtorch's TCPStore, which
//! knows no passwords: whoever can reach the port can read and write, and only a run's id keeps
//! strangers of good will apart. Messages in torchrun's store are sealed ([`crate::seal`]) if
//! the run has a secret.

use std::ffi::CString;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::connection::{CALLS, Connection};
use crate::escape::escape;
use crate::ffi::{self, ShimStore};
use crate::keeper::Keeper;
use crate::listen::listen;
use crate::seal::Seal;
use crate::{Error, Result, Secret};

/// How long a keeper may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages are cut to so many bytes when they are written,
const LONGEST: usize = 4096;
/// and to so many, which is more than a sealed one has, when they are read.
const LONGEST_READ: usize = LONGEST + 128;
/// Holds the id of the keeper's run.
const RUN: &str = "run";

/// Who keeps the store that a process comes to.
#[derive(Debug, Clone)]
pub(crate) enum StoreKind {
    /// libtorch's TCPStore; with a secret, messages in it are sealed.
    Open(Option<Secret>),
    /// Our own, which asks for the secret.
    Authenticated(Secret),
}

impl StoreKind {
    /// That of a store which this program keeps for a run with this secret.
    pub(crate) fn ours(secret: Option<&Secret>) -> StoreKind {
        secret.map_or(StoreKind::Open(None), |secret| StoreKind::Authenticated(secret.clone()))
    }

    fn seal(&self, run: &str) -> Option<Seal> {
        match self {
            StoreKind::Open(secret) => secret.clone().map(|secret| Seal::new(secret, run)),
            // Nobody else writes to it, and every request carries a code.
            StoreKind::Authenticated(_) => None,
        }
    }
}

/// libtorch's object. Calls may take for ever.
#[derive(Debug)]
pub(crate) struct RawStore(*mut ShimStore);

// SAFETY: TCPStore and PrefixStore guard their connection with a mutex.
unsafe impl Send for RawStore {}

impl Drop for RawStore {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::c10d_store_free(self.0) }
    }
}

impl RawStore {
    pub(crate) fn pointer(&self) -> *mut ShimStore {
        self.0
    }

    /// The same store over a connection of its own, keys below `prefix`.
    fn below(&self, prefix: &str) -> Result<RawStore> {
        let prefix = text(prefix)?;
        ffi::receive("connecting to the store", |out| {
            // SAFETY: a live store, a NUL-terminated string and an out-pointer.
            unsafe { ffi::c10d_store_below(self.0, prefix.as_ptr(), out) }
        })
        .map(RawStore)
    }

    /// One whose keeper is reached through `connection`.
    fn authenticated(connection: Connection) -> Result<RawStore> {
        let connection = connection.into_raw();
        ffi::receive("opening the store", |out| {
            // SAFETY: the connection is given away, and goes with its calls.
            unsafe { ffi::c10d_store_authenticated(connection, &CALLS, out) }
        })
        .map(RawStore)
    }

    fn set(&self, key: &str, value: &[u8], once: bool) -> Result<()> {
        let (key, length) = (text(key)?, value.len() as i64);
        let set = if once { ffi::c10d_store_set_once } else { ffi::c10d_store_set };
        // SAFETY: a live store; key and value are borrowed for the call.
        let code = unsafe { set(self.0, key.as_ptr(), value.as_ptr(), length) };
        ffi::check(code, "writing to the store")
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let (key, mut value, mut length) = (text(key)?, vec![0; LONGEST_READ], 0);
        // SAFETY: a live store; `value` has room for as many bytes as are announced.
        let code = unsafe {
            let (buffer, room) = (value.as_mut_ptr(), LONGEST_READ as i64);
            ffi::c10d_store_get(self.0, key.as_ptr(), buffer, room, &mut length)
        };
        ffi::check(code, "reading from the store")?;
        value.truncate(usize::try_from(length).unwrap_or(0));
        Ok((length >= 0).then_some(value))
    }

    fn wait(&self, key: &str, timeout: Duration) -> Result<()> {
        let key = text(key)?;
        // SAFETY: a live store and a NUL-terminated string.
        let code = unsafe { ffi::c10d_store_wait(self.0, key.as_ptr(), milliseconds(timeout)) };
        ffi::check(code, "waiting for the store")
    }
}

type Job = Box<dyn FnOnce(&RawStore) + Send>;

/// A store as one process sees it. Keeping it alive keeps the keeper's store open.
#[derive(Debug)]
pub struct Store {
    /// `None` only while it is dropped.
    jobs: Option<Sender<Job>>,
    /// Ends with its thread. The lock only makes it one that threads can share.
    ended: Mutex<Receiver<()>>,
    address: String,
    port: u16,
    seal: Option<Seal>,
    /// Ends after this process's own connection.
    keeper: Option<Keeper>,
}

impl Store {
    /// Opens a store that other processes can reach at `host` and `port` (0: a free one), on
    /// that address of this machine only, for a run called `run`. With a secret it serves only
    /// those who know it too.
    ///
    /// # Errors
    /// [`Error::AddressInUse`]; [`Error::Rendezvous`] when `host` is no address of this machine
    /// that the others can reach.
    pub fn keep(
        host: &str,
        port: u16,
        run: &str,
        several_machines: bool,
        secret: Option<&Secret>,
    ) -> Result<Store> {
        let listener = listen(host, port, several_machines)?;
        let address = listener.local_addr().map_err(|e| Error::Rendezvous(e.to_string()))?;
        // To itself over the very address, whatever else the name may mean.
        let (host, port) = (address.ip().to_string(), address.port());
        let store = match secret {
            None => Store::open(&host, port, Some(listener), PATIENCE)?,
            Some(secret) => {
                let keeper = Keeper::start(listener, secret.clone())?;
                let mut store = Store::enter(&host, port, secret, PATIENCE)?;
                store.keeper = Some(keeper);
                store
            }
        };
        store.set(RUN, run)?;
        Ok(store)
    }

    /// Reaches the store that another process keeps for the run called `run`, with the same
    /// secret, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// [`Error::Timeout`] when nobody keeps one there; [`Error::Rendezvous`] when `host` does
    /// not resolve, or the store is another run's or has another secret.
    pub fn connect(
        host: &str,
        port: u16,
        run: &str,
        timeout: Duration,
        secret: Option<&Secret>,
    ) -> Result<Store> {
        let store = Store::reach(host, port, run, timeout, &StoreKind::ours(secret))?;
        store.check_run(run, true, timeout)?;
        Ok(store)
    }

    /// As [`Store::connect`], whichever run's it is.
    pub(crate) fn reach(
        host: &str,
        port: u16,
        run: &str,
        timeout: Duration,
        kind: &StoreKind,
    ) -> Result<Store> {
        let mut store = match kind {
            StoreKind::Open(_) => Store::open(host, port, None, timeout),
            StoreKind::Authenticated(secret) => Store::enter(host, port, secret, timeout),
        }?;
        store.seal = kind.seal(run);
        Ok(store)
    }

    /// libtorch's store.
    fn open(
        host: &str,
        port: u16,
        listener: Option<TcpListener>,
        timeout: Duration,
    ) -> Result<Store> {
        let address = format!("{host}:{port}");
        let host = text(host)?;
        let listener = listener.map_or(-1, IntoRawFd::into_raw_fd);
        let open = move || {
            let limit = milliseconds(timeout);
            ffi::receive("opening the store", |out| {
                // SAFETY: a NUL-terminated string and an out-pointer for the length of the call;
                // the listening socket, if any, is given away.
                unsafe { ffi::c10d_store_new(host.as_ptr(), port, listener, limit, out) }
            })
            .map(RawStore)
        };
        // A little longer than its own limit, to prefer its own message.
        Store::start(address, port, timeout + Duration::from_millis(500), open)
    }

    /// A store that asks for the secret.
    fn enter(host: &str, port: u16, secret: &Secret, timeout: Duration) -> Result<Store> {
        let (address, host, secret) = (format!("{host}:{port}"), host.to_owned(), secret.clone());
        let open = move || {
            Connection::open(&host, port, &secret, timeout).and_then(RawStore::authenticated)
        };
        Store::start(address, port, timeout + Duration::from_millis(500), open)
    }

    /// A store with a thread of its own, which opens it.
    fn start(
        address: String,
        port: u16,
        timeout: Duration,
        open: impl FnOnce() -> Result<RawStore> + Send + 'static,
    ) -> Result<Store> {
        let (opened, outcome) = channel();
        let (jobs, queue) = channel::<Job>();
        let (ending, ended) = channel();
        let work = move || {
            // Nobody listens to what comes too late.
            match open() {
                Ok(store) => {
                    let _ = opened.send(Ok(()));
                    for job in queue {
                        job(&store);
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            }
            // After the store.
            drop(ending);
        };
        std::thread::Builder::new()
            .name("store".into())
            .spawn(work)
            .map_err(|error| Error::Rendezvous(format!("cannot start a thread: {error}")))?;
        match outcome.recv_timeout(timeout) {
            Ok(opened) => opened.map(|()| Store {
                jobs: Some(jobs),
                ended: Mutex::new(ended),
                address,
                port,
                seal: None,
                keeper: None,
            }),
            Err(_) => Err(Error::Timeout(format!("what listens at {address} does not answer"))),
        }
    }

    /// The port it is reached at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes a message (its first 4096 bytes).
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::PeerLost`] when the keeper does not answer or has gone.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        self.write(key, value, false)
    }

    /// Writes a message if there is none yet. One that is not genuine counts for none.
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn set_once(&self, key: &str, value: &str) -> Result<()> {
        if self.seal.is_none() {
            return self.write(key, value, true);
        }
        // A stranger may have taken the key, and must not keep it.
        match (self.read(key)?, self.get(key)?) {
            (None, _) => self.write(key, value, true),
            (Some(_), None) => self.write(key, value, false),
            (Some(_), Some(_)) => Ok(()),
        }
    }

    /// A message, if there is one, and it is genuine.
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn get(&self, key: &str) -> Result<Option<String>> {
        let value = self.read(key)?;
        Ok(value.and_then(|bytes| match &self.seal {
            Some(seal) => seal.open(key, &bytes),
            None => Some(String::from_utf8_lossy(&bytes).into_owned()),
        }))
    }

    fn write(&self, key: &str, value: &str, once: bool) -> Result<()> {
        let mut end = LONGEST.min(value.len());
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        let value = &value[..end];
        let value = match &self.seal {
            Some(seal) => seal.close(key, value),
            None => value.to_owned(),
        };
        let key = key.to_owned();
        self.ask(PATIENCE, move |store| store.set(&key, value.as_bytes(), once))
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let key = key.to_owned();
        self.ask(PATIENCE, move |store| store.get(&key))
    }

    /// Makes sure that this store is one of the run called `run`. One that says nothing about
    /// itself (torchrun's) is waited for only if it must be `ours`.
    ///
    /// # Errors
    /// [`Error::Rendezvous`] when it is another run's.
    pub(crate) fn check_run(&self, run: &str, ours: bool, timeout: Duration) -> Result<()> {
        if self.seal.is_some() {
            // Whose messages are sealed is told by their seals.
            return Ok(());
        }
        if ours {
            self.ask(timeout + PATIENCE, move |store| store.wait(RUN, timeout))?;
        }
        match self.get(RUN)? {
            Some(found) if found != run => Err(Error::Rendezvous(format!(
                "the ranks that meet at {} belong to the run `{}`, this one to `{run}`: give \
                 every run a port of its own (MASTER_PORT), and all ranks of a run one id \
                 (TORCHELASTIC_RUN_ID)",
                self.address,
                escape(&found)
            ))),
            _ => Ok(()),
        }
    }

    /// libtorch's object for a process group, over a connection of its own.
    pub(crate) fn raw(&self, prefix: &str) -> Result<RawStore> {
        let prefix = prefix.to_owned();
        self.ask(PATIENCE, move |store| store.below(&prefix))
    }

    /// The same store over a connection of its own, its keys below `prefix`, which are those of
    /// attempt `attempt`.
    pub(crate) fn below(&self, prefix: &str, attempt: &str) -> Result<Store> {
        let raw = self.raw(prefix)?;
        let mut store = Store::start(self.address.clone(), self.port, PATIENCE, move || Ok(raw))?;
        store.seal = self.seal.as_ref().map(|seal| seal.below(prefix, attempt));
        Ok(store)
    }

    fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        job: impl FnOnce(&RawStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = channel();
        let job: Job = Box::new(move |store| {
            // Nobody listens when it came too late.
            let _ = answer.send(job(store));
        });
        let gone = || Error::PeerLost(format!("the store at {} is gone", self.address));
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        match answered.recv_timeout(patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(Error::Timeout(format!(
                "the store at {} did not answer within {} s",
                self.address,
                patience.as_secs()
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.jobs = None;
        // Its thread should not work on while the process ends, but may hang.
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(Duration::from_millis(500));
        self.keeper = None;
    }
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::InvalidArgument(format!("a NUL in {text:?}")))
}

/// For libtorch, which adds it to clocks: not too much.
pub(crate) fn milliseconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX).clamp(1, i64::MAX / 1_000_000)
}
