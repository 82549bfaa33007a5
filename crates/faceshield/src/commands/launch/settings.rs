//! Who is who: ranks, rendezvous address, shares of the cores.

use std::io::ErrorKind;
use std::net::TcpListener;

use anyhow::Context;

use super::Args;
use crate::failure::misuse;

/// The port that PyTorch's launchers use when nothing is said.
const DEFAULT_PORT: u16 = 29500;
const LOOPBACK: &str = "127.0.0.1";

/// What every rank of this machine is told.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) local_size: u32,
    first_rank: u32,
    world_size: u32,
    master_addr: String,
    master_port: u16,
    /// Threads per rank; `None` where the user has set OMP_NUM_THREADS.
    threads: Option<usize>,
}

impl Settings {
    /// # Errors
    ///
    /// A node rank outside the run, no address for several machines, a port that
    /// is no number or that another program holds.
    pub(super) fn new(args: &Args) -> anyhow::Result<Self> {
        if args.node_rank >= args.nnodes {
            return Err(misuse(format!(
                "--node-rank {} is outside 0..{}: --nnodes says how many machines there are",
                args.node_rank, args.nnodes
            )));
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let single = args.nnodes == 1;
        let master_addr = match args.master_addr.clone().or_else(|| variable("MASTER_ADDR")) {
            Some(address) => address,
            None if single => LOOPBACK.to_owned(),
            None => {
                return Err(misuse(
                    "--nnodes above 1 needs --master-addr (or MASTER_ADDR): the address of machine 0",
                ));
            }
        };
        let given = match (args.master_port, variable("MASTER_PORT")) {
            (Some(port), _) => Some(port),
            (None, Some(text)) => Some(text.parse().map_err(|_| {
                misuse(format!("MASTER_PORT is `{text}`: set it to a port between 1 and 65535"))
            })?),
            (None, None) => None,
        };
        let master_port = match given {
            Some(port) if args.node_rank == 0 => unused(&master_addr, port)?,
            Some(port) => port,
            None if single => free_port()?,
            None => DEFAULT_PORT,
        };
        let world_size = args.nnodes.checked_mul(args.nproc_per_node);
        Ok(Self {
            local_size: args.nproc_per_node,
            first_rank: args.node_rank * args.nproc_per_node,
            world_size: world_size.ok_or_else(|| misuse("too many ranks: lower --nnodes"))?,
            master_addr,
            master_port,
            threads: variable("OMP_NUM_THREADS")
                .is_none()
                .then(|| share_of_cores(args.nproc_per_node)),
        })
    }

    /// The rank in the whole run of a rank of this machine.
    pub(super) fn rank(&self, local_rank: u32) -> u32 {
        self.first_rank + local_rank
    }

    /// The environment of one rank.
    pub(super) fn environment(&self, local_rank: u32) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("RANK", self.rank(local_rank).to_string()),
            ("LOCAL_RANK", local_rank.to_string()),
            ("WORLD_SIZE", self.world_size.to_string()),
            ("LOCAL_WORLD_SIZE", self.local_size.to_string()),
            ("MASTER_ADDR", self.master_addr.clone()),
            ("MASTER_PORT", self.master_port.to_string()),
        ];
        if let Some(threads) = self.threads {
            variables.push(("OMP_NUM_THREADS", threads.to_string()));
        }
        variables
    }
}

fn share_of_cores(ranks: u32) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / ranks as usize).max(1)
}

/// A port nobody holds now. Another program may take it before rank 0 does; then
/// rank 0 says so.
fn free_port() -> anyhow::Result<u16> {
    TcpListener::bind((LOOPBACK, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .context("cannot find a free port on 127.0.0.1: give one with --master-port")
}

/// `port`, unless another program listens there.
fn unused(address: &str, port: u16) -> anyhow::Result<u16> {
    match TcpListener::bind((address, port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(anyhow::anyhow!(
            "port {port} on {address} is in use by another program: \
             choose another with --master-port (or MASTER_PORT)"
        )),
        // Other errors (an address of another name, a port below 1024) are rank 0's to report.
        _ => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_held_port_is_refused_and_a_free_one_taken() {
        let held = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let message = unused(LOOPBACK, port).unwrap_err().to_string();
        assert!(message.contains(&format!("port {port}")), "{message}");
        drop(held);
        assert_eq!(unused(LOOPBACK, port).unwrap(), port);
    }

    #[test]
    fn cores_are_shared_out() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(share_of_cores(1), cores);
        assert_eq!(share_of_cores(1000), 1);
    }
}
