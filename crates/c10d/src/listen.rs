//! Where the store listens: on the master's address, and on no other interface.

use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::{Error, Result};

/// Overrides the address to listen on.
const LISTEN: &str = "MASTER_LISTEN_ADDR";

/// A socket that listens on the address of this machine that `host` means; `port` 0 takes a
/// free one. Of several addresses those that other machines can reach come first.
///
/// # Errors
/// [`Error::AddressInUse`]; [`Error::Rendezvous`] when `host` is no address of this machine,
/// or, with `several_machines`, a name that means nothing but this machine itself.
pub(crate) fn listen(host: &str, port: u16, several_machines: bool) -> Result<TcpListener> {
    let chosen = std::env::var(LISTEN).ok().filter(|address| !address.is_empty());
    let from = chosen.as_deref().unwrap_or(host);
    let failed = |why: String| Error::Rendezvous(format!("cannot listen on {from}:{port}: {why}"));
    let mut addresses: Vec<SocketAddr> =
        (from, port).to_socket_addrs().map_err(|error| failed(error.to_string()))?.collect();
    addresses.sort_by_key(|address| address.ip().is_loopback());
    if several_machines && !is_loopback(from) && addresses.iter().all(|a| a.ip().is_loopback()) {
        return Err(failed(
            "on this machine the name means a loopback address, which no other machine reaches: \
             give this machine's IP address as MASTER_ADDR"
                .into(),
        ));
    }
    let mut why = format!("{from} has no address");
    for address in addresses {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(Error::AddressInUse(format!(
                    "port {port} on {} is in use by another program: set MASTER_PORT to a free \
                     port, or end the program that holds this one",
                    address.ip()
                )));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
                why = format!(
                    "{} is no address of this machine; start rank 0 where MASTER_ADDR is, or set \
                     {LISTEN} to the address to listen on",
                    address.ip()
                );
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(failed(why))
}

/// Whether `host` says in so many words that everything happens on this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn only_the_given_address_is_listened_on() {
        let listener = listen("127.0.0.1", 0, false).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        // Another address of this machine: a socket on every interface would answer.
        #[cfg(target_os = "linux")]
        assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
        let held = listen("127.0.0.1", port, false).unwrap_err();
        assert!(matches!(held, Error::AddressInUse(_)), "{held}");
        assert!(held.to_string().contains(&format!("port {port} on 127.0.0.1")), "{held}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        // TEST-NET-1: nobody's.
        let error = listen("192.0.2.1", 29999, true).unwrap_err().to_string();
        assert!(error.contains("192.0.2.1 is no address of this machine"), "{error}");
        assert!(listen("localhost", 0, true).is_ok());
    }
}
