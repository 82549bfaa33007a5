//! A client's connection to an authenticated store ([`crate::keeper`]), also as libtorch's
//! process groups use it: `csrc/rendezvous.cpp` makes a `c10d::Store` of it.

use std::ffi::c_void;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::time::{Duration, Instant};

use crate::ffi::Status;
use crate::keeper::{DONE, TIMED_OUT};
use crate::secret::{self, Secret};
use crate::wire::{self, Lanes, Refusal, Request, Verb};
use crate::{Error, Result};

/// Between two tries to reach a keeper.
const RETRY: Duration = Duration::from_millis(50);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// After so many tries that were not answered, the user is told while trying goes on: a keeper
/// that strangers crowd hangs up as well, and one that is stopped says nothing.
const UNANSWERED: u32 = 3;
/// How long an answer may take, beyond the time that was asked to wait.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Connection {
    host: String,
    port: u16,
    secret: Secret,
    /// For reading a value that is not there yet: libtorch has a limit of its own there, which is
    /// no run's.
    timeout: Duration,
    stream: TcpStream,
    lanes: Lanes,
    /// An answer is missing: the next one would be taken for it.
    broken: bool,
    /// The last answer, or why there is none, for the shim to copy.
    answer: Vec<u8>,
}

impl Connection {
    /// Reaches the keeper at `host` and `port`, waiting for it at most `timeout`.
    ///
    /// # Errors
    /// [`Error::Timeout`] when there is none; [`Error::Rendezvous`] when it knows another
    /// secret or none.
    pub(crate) fn open(
        host: &str,
        port: u16,
        secret: &Secret,
        timeout: Duration,
    ) -> Result<Connection> {
        let deadline = Instant::now() + timeout;
        let mut unanswered = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let stream = match reach(host, port, left) {
                Ok(stream) => Some(stream),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(Error::Rendezvous(format!("{host} has no address: {error}")));
                }
                Err(_) => None,
            };
            if let Some(stream) = stream {
                match greet(&stream, secret, left) {
                    Ok(lanes) => {
                        let (host, secret) = (host.to_owned(), secret.clone());
                        let (broken, answer) = (false, Vec::new());
                        return Ok(Connection {
                            host,
                            port,
                            secret,
                            timeout,
                            stream,
                            lanes,
                            broken,
                            answer,
                        });
                    }
                    Err(Refusal::AnotherSecret) => return Err(another_secret(host, port)),
                    Err(Refusal::NoAnswer(_)) => unanswered += 1,
                }
            }
            if Instant::now() + RETRY >= deadline {
                return Err(match unanswered {
                    0 => Error::Timeout(format!("no store answers at {host}:{port}")),
                    _ => no_secret(host, port),
                });
            }
            if unanswered == UNANSWERED {
                tracing::warn!("{}", no_secret(host, port));
                unanswered += 1;
            }
            std::thread::sleep(RETRY);
        }
    }

    /// A second connection to the same keeper.
    fn again(&self) -> Result<Connection> {
        let second = Connection::open(&self.host, self.port, &self.secret, PATIENCE)?;
        Ok(Connection { timeout: self.timeout, ..second })
    }

    /// Asks the keeper; `number` of a verb that waits is the time in milliseconds.
    fn ask(&mut self, request: &Request<'_>) -> Result<Vec<u8>> {
        let gone = |error: &dyn std::fmt::Display| {
            Error::PeerLost(format!("the store at {}:{} is gone ({error})", self.host, self.port))
        };
        if self.broken {
            return Err(gone(&"it did not answer before"));
        }
        let asked = || Duration::from_millis(u64::try_from(request.number).unwrap_or(0));
        let time = match request.verb {
            Verb::Get => asked().min(self.timeout),
            Verb::Wait => asked(),
            _ => Duration::ZERO,
        };
        let number = match request.verb {
            Verb::Get | Verb::Wait => i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
            _ => request.number,
        };
        let body = Request { number, ..request.clone() }.encode();
        self.broken = true;
        let patience = PATIENCE + time;
        let exchanged = self
            .stream
            .set_read_timeout(Some(patience))
            .and_then(|()| self.lanes.out.send(&mut self.stream, &body))
            .and_then(|()| self.lanes.back.receive(&mut self.stream));
        let mut answer = match exchanged {
            Ok(answer) => answer,
            Err(error) if late(&error) => {
                return Err(Error::Timeout(format!(
                    "the store at {}:{} did not answer within {} s",
                    self.host,
                    self.port,
                    patience.as_secs()
                )));
            }
            Err(error) => return Err(gone(&error)),
        };
        self.broken = false;
        let state = if answer.is_empty() { DONE } else { answer.remove(0) };
        match state {
            DONE => Ok(answer),
            TIMED_OUT => Err(Error::Timeout(format!(
                "waiting for the store timed out after {} s",
                time.as_secs_f64()
            ))),
            _ => Err(Error::InvalidArgument(format!(
                "the store refused: {}",
                String::from_utf8_lossy(&answer)
            ))),
        }
    }
}

fn greet(stream: &TcpStream, secret: &Secret, left: Duration) -> Result<Lanes, Refusal> {
    stream.set_nodelay(true)?;
    let limit = left.clamp(Duration::from_millis(1), HANDSHAKE);
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut stream = stream;
    wire::greet(&mut stream, secret)
}

fn reach(host: &str, port: u16, left: Duration) -> io::Result<TcpStream> {
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for address in addresses {
        match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                last = io::Error::other(error);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn another_secret(host: &str, port: u16) -> Error {
    Error::Rendezvous(format!(
        "the run at {host}:{port} has another secret than this process: give all processes of a \
         run the same {} (or {}), and every run a port of its own (MASTER_PORT)",
        secret::VARIABLE,
        secret::FILE_VARIABLE
    ))
}

fn no_secret(host: &str, port: u16) -> Error {
    Error::Rendezvous(format!(
        "what listens at {host}:{port} does not answer a process that has a secret: if it is this \
         run, give all its processes the same {} (or {}), or none of them one; if not, choose \
         another MASTER_PORT",
        secret::VARIABLE,
        secret::FILE_VARIABLE
    ))
}

/// A borrowed run of bytes; mirrors `Bytes` in `csrc/rendezvous.cpp`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    start: *const u8,
    length: i64,
}

/// What the shim calls; mirrors `Calls` in `csrc/rendezvous.cpp`.
#[repr(C)]
pub(crate) struct Calls {
    request: unsafe extern "C" fn(*mut c_void, u8, i64, *const Bytes, i64, *mut Bytes) -> i32,
    again: unsafe extern "C" fn(*mut c_void, *mut *mut c_void) -> i32,
    free: unsafe extern "C" fn(*mut c_void),
}

pub(crate) static CALLS: Calls = Calls { request, again, free };

impl Connection {
    /// For the shim, which gives it back to `free`.
    pub(crate) fn into_raw(self) -> *mut c_void {
        Box::into_raw(Box::new(self)).cast()
    }
}

/// Answers a request: 0 and the answer, or a status and the message. Both are the connection's
/// and stay until its next call.
///
/// # Safety
/// `connection` comes from [`Connection::into_raw`], is not freed, and is used by nobody else
/// meanwhile; `parts` are `count` runs of bytes, and `out` is written.
unsafe extern "C" fn request(
    connection: *mut c_void,
    verb: u8,
    number: i64,
    parts: *const Bytes,
    count: i64,
    out: *mut Bytes,
) -> i32 {
    // SAFETY: as promised by the caller.
    let connection = unsafe { &mut *connection.cast::<Connection>() };
    let answered = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as promised by the caller; an empty run may have no address.
        let parts = unsafe { bytes(parts, count) };
        let parts = parts.iter().map(|part| unsafe { bytes(part.start, part.length) }).collect();
        let verb = Verb::from_code(verb)
            .ok_or_else(|| Error::Unsupported(format!("request {verb} to the store")))?;
        connection.ask(&Request { verb, number, parts })
    }));
    let (code, answer) = match answered {
        Ok(Ok(answer)) => (0, answer),
        Ok(Err(error)) => (Status::of(&error).code(), error.to_string().into_bytes()),
        Err(_) => (Status::Libtorch.code(), b"a request to the store panicked".to_vec()),
    };
    connection.answer = answer;
    let length = connection.answer.len() as i64;
    // SAFETY: as promised by the caller.
    unsafe { *out = Bytes { start: connection.answer.as_ptr(), length } };
    code
}

/// Opens a second connection.
///
/// # Safety
/// As for [`request`].
unsafe extern "C" fn again(connection: *mut c_void, out: *mut *mut c_void) -> i32 {
    // SAFETY: as promised by the caller.
    let connection = unsafe { &mut *connection.cast::<Connection>() };
    match catch_unwind(AssertUnwindSafe(|| connection.again())) {
        Ok(Ok(second)) => {
            // SAFETY: as promised by the caller.
            unsafe { *out = second.into_raw() };
            0
        }
        Ok(Err(error)) => Status::of(&error).code(),
        Err(_) => Status::Libtorch.code(),
    }
}

/// # Safety
/// `connection` comes from [`Connection::into_raw`] and is not used again.
unsafe extern "C" fn free(connection: *mut c_void) {
    // SAFETY: as promised by the caller. Dropping it closes a socket.
    let drop = || drop(unsafe { Box::from_raw(connection.cast::<Connection>()) });
    // There is nobody to tell.
    let _ = catch_unwind(AssertUnwindSafe(drop));
}

/// # Safety
/// `start` is the address of `length` values, unless that is 0.
unsafe fn bytes<'a, T>(start: *const T, length: i64) -> &'a [T] {
    match usize::try_from(length) {
        Ok(length) if length > 0 => unsafe { slice::from_raw_parts(start, length) },
        _ => &[],
    }
}
