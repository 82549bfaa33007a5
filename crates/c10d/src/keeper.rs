//! The keeper of an authenticated store: serves those who prove that they know the run's
//! secret, and nobody else.
//!
//! It stands in for libtorch's TCPStore, which serves whoever reaches its port and keeps
//! whatever it is sent. A thread per connection: a run has a handful for each rank.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::secret::Secret;
use crate::wire::{self, LONGEST_VALUE, Refusal, Request, Verb};
use crate::{Error, Result};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a client may take to read an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// So many connections may be in their handshake: of more the oldest is closed, so that
/// strangers who hold theirs open keep nobody out, and take few of the process's files.
const MOST_PENDING: usize = 64;
/// The most bytes of all keys and values together.
const MOST_BYTES: usize = 1 << 30;
const LONGEST_KEY: usize = 4096;
/// For threads that read, look up and write.
const STACK: usize = 256 << 10;

/// Begins the answers.
pub(crate) const DONE: u8 = 0;
pub(crate) const TIMED_OUT: u8 = 1;
pub(crate) const REFUSED: u8 = 2;

/// A store that serves until this is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    secret: Secret,
    contents: Mutex<Contents>,
    clients: Mutex<Clients>,
    closing: AtomicBool,
    /// Somebody without the secret has been told of.
    warned: AtomicBool,
}

#[derive(Debug, Default)]
struct Contents {
    values: HashMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
    /// Who waits for a key.
    waiting: HashMap<Vec<u8>, Vec<Thread>>,
}

#[derive(Debug, Default)]
struct Clients {
    next: u64,
    open: BTreeMap<u64, Arc<TcpStream>>,
    /// Those among them that have not proved that they know the secret, oldest first.
    pending: VecDeque<u64>,
}

impl Keeper {
    /// Serves those who come to `listener` and know `secret`.
    pub(crate) fn start(listener: TcpListener, secret: Secret) -> Result<Keeper> {
        let failed = |error: io::Error| Error::Rendezvous(format!("cannot keep a store: {error}"));
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            secret,
            contents: Mutex::default(),
            clients: Mutex::default(),
            closing: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        });
        let accept = {
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        };
        let accepting =
            thread::Builder::new().name("keeper".into()).spawn(accept).map_err(failed)?;
        Ok(Keeper { shared, address, accepting: Some(accepting) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, which then closes the listening socket.
        let woken = TcpStream::connect_timeout(&self.address, Duration::from_millis(200));
        if woken.is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            // It has ended, however it has.
            let _ = accepting.join();
        }
        for client in lock(&self.shared.clients).open.values() {
            let _ = client.shutdown(Shutdown::Both);
        }
        for waiting in lock(&self.shared.contents).waiting.values().flatten() {
            waiting.unpark();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let accepted = listener.accept();
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            let Ok((stream, peer)) = accepted else {
                // Out of files, say: that may pass.
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let stream = Arc::new(stream);
            let number = lock(&self.clients).enter(&stream);
            let serve = {
                let shared = Arc::clone(self);
                move || {
                    shared.serve(number, &stream, peer);
                    lock(&shared.clients).leave(number);
                }
            };
            let builder = thread::Builder::new().name("keeper client".into()).stack_size(STACK);
            if builder.spawn(serve).is_err() {
                lock(&self.clients).leave(number);
            }
        }
    }

    /// From a client's handshake to its end.
    fn serve(&self, number: u64, stream: &TcpStream, peer: SocketAddr) {
        // Without them a client that hangs would only keep its thread.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(HANDSHAKE));
        let _ = stream.set_write_timeout(Some(ANSWER));
        let mut stream = stream;
        let mut lanes = match wire::admit(&mut stream, &self.secret) {
            Ok(lanes) => lanes,
            Err(refusal) => return self.refused(&refusal, peer),
        };
        lock(&self.clients).admitted(number);
        let _ = stream.set_read_timeout(None);
        while !self.closing.load(Ordering::SeqCst)
            && let Ok(body) = lanes.back.receive(&mut stream)
        {
            let answer = match Request::decode(&body) {
                Some(request) => self.answer(&request),
                None => refusal("what was asked cannot be read"),
            };
            if lanes.out.send(&mut stream, &answer).is_err() {
                break;
            }
        }
    }

    fn refused(&self, refusal: &Refusal, peer: SocketAddr) {
        let what = match refusal {
            Refusal::AnotherSecret => "has another secret than this run's",
            Refusal::NoAnswer(error) if error.kind() == io::ErrorKind::InvalidData => {
                "has no secret"
            }
            // One that hung up or was slow.
            Refusal::NoAnswer(_) => return,
        };
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a process that came to this run's store from {peer} {what} and was refused: if \
                 it is a rank or a launcher of this run, give it the same {}; others that come \
                 are not reported",
                crate::secret::VARIABLE
            );
        }
    }

    fn answer(&self, request: &Request<'_>) -> Vec<u8> {
        let parts = &request.parts;
        let time = Duration::from_millis(u64::try_from(request.number).unwrap_or(0));
        let flag = |flag: bool| done(&[u8::from(flag)]);
        match request.verb {
            Verb::Set => lock(&self.contents).set(parts[0], parts[1]),
            Verb::CompareSet => {
                let mut contents = lock(&self.contents);
                let expected = parts[1];
                match contents.values.get(parts[0]) {
                    Some(value) if value != expected => done(value),
                    None if !expected.is_empty() => done(expected),
                    _ => match contents.set(parts[0], parts[2]) {
                        answer if answer[0] == DONE => done(parts[2]),
                        answer => answer,
                    },
                }
            }
            Verb::Get => match self.wait(&parts[..1], time) {
                true => match lock(&self.contents).values.get(parts[0]) {
                    Some(value) => done(value),
                    None => refusal("the value was deleted"),
                },
                false => vec![TIMED_OUT],
            },
            Verb::Add => {
                let mut contents = lock(&self.contents);
                let before = contents
                    .values
                    .get(parts[0])
                    .map_or(Some(0), |value| std::str::from_utf8(value).ok()?.parse::<i64>().ok());
                let Some(sum) = before.and_then(|before| before.checked_add(request.number)) else {
                    return refusal("the value is no number, or grows too large");
                };
                match contents.set(parts[0], sum.to_string().as_bytes()) {
                    answer if answer[0] == DONE => done(&sum.to_le_bytes()),
                    answer => answer,
                }
            }
            Verb::Delete => flag(lock(&self.contents).remove(parts[0])),
            Verb::Check => flag(lock(&self.contents).first_missing(parts).is_none()),
            Verb::Wait => match self.wait(parts, time) {
                true => done(&[]),
                false => vec![TIMED_OUT],
            },
            Verb::Count => done(&(lock(&self.contents).values.len() as i64).to_le_bytes()),
        }
    }

    /// Whether all keys are there before that time is over.
    fn wait(&self, keys: &[&[u8]], time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let now = Instant::now();
            {
                let mut contents = lock(&self.contents);
                let Some(missing) = contents.first_missing(keys) else { return true };
                let mine = thread::current();
                let waiting = contents.waiting.entry(missing.to_vec()).or_default();
                waiting.retain(|thread| thread.id() != mine.id());
                if now >= deadline || self.closing.load(Ordering::SeqCst) {
                    if waiting.is_empty() {
                        contents.waiting.remove(missing);
                    }
                    return false;
                }
                waiting.push(mine);
            }
            thread::park_timeout(deadline - now);
        }
    }
}

impl Contents {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let before = self.values.get(key).map_or(0, |value| key.len() + value.len());
        let bytes = self.bytes - before + key.len() + value.len();
        if key.len() > LONGEST_KEY || value.len() > LONGEST_VALUE || bytes > MOST_BYTES {
            return refusal("the key or the value is too long, or the store is full");
        }
        self.bytes = bytes;
        self.values.insert(key.to_vec(), value.to_vec());
        for waiting in self.waiting.remove(key).into_iter().flatten() {
            waiting.unpark();
        }
        done(&[])
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let removed = self.values.remove(key);
        self.bytes -= removed.as_ref().map_or(0, |value| key.len() + value.len());
        removed.is_some()
    }

    fn first_missing<'a>(&self, keys: &[&'a [u8]]) -> Option<&'a [u8]> {
        keys.iter().find(|key| !self.values.contains_key(**key)).copied()
    }
}

impl Clients {
    fn enter(&mut self, stream: &Arc<TcpStream>) -> u64 {
        if self.pending.len() >= MOST_PENDING
            && let Some(oldest) = self.pending.pop_front()
            && let Some(oldest) = self.open.get(&oldest)
        {
            // Its thread ends, and takes it off the list.
            let _ = oldest.shutdown(Shutdown::Both);
        }
        self.next += 1;
        self.open.insert(self.next, Arc::clone(stream));
        self.pending.push_back(self.next);
        self.next
    }

    fn admitted(&mut self, number: u64) {
        self.pending.retain(|&pending| pending != number);
    }

    fn leave(&mut self, number: u64) {
        self.admitted(number);
        self.open.remove(&number);
    }
}

fn done(bytes: &[u8]) -> Vec<u8> {
    [&[DONE], bytes].concat()
}

fn refusal(why: &str) -> Vec<u8> {
    [&[REFUSED], why.as_bytes()].concat()
}

/// Nothing that panics is done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
