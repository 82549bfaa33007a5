//! Who is who: ranks, the store they meet in, shares of the cores.

use std::time::{Duration, Instant};

use c10d::{Roll, Secret, Store};

use super::Args;
use crate::failure::misuse;

/// The port that PyTorch's launchers use when nothing is said.
const DEFAULT_PORT: u16 = 29500;
const LOOPBACK: &str = "127.0.0.1";
/// Tells a rank how many seconds ago its launcher was started.
const ELAPSED: &str = "FACESHIELD_ELAPSED";

/// What every rank of this machine is told.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) machines: u32,
    pub(super) machine: u32,
    pub(super) local_size: u32,
    world_size: u32,
    master_addr: String,
    /// Tells this run's ranks from those of others that come to the same address.
    run_id: String,
    /// Kept by machine 0's launcher, so that it outlives the ranks.
    pub(super) store: Store,
    /// Known to this run's processes only.
    secret: Option<Secret>,
    /// When the launcher was started.
    begun: Instant,
    /// Threads per rank; `None` where the user has set OMP_NUM_THREADS.
    threads: Option<usize>,
}

impl Settings {
    /// Opens the store on machine 0; elsewhere waits for it at most `timeout`.
    ///
    /// # Errors
    ///
    /// A machine outside the run, no address for several machines, a port that is no number
    /// or that another program holds, an address that is not this machine's, another run at
    /// that address.
    pub(super) fn new(args: &Args, timeout: Duration) -> anyhow::Result<Self> {
        let begun = Instant::now();
        if args.node_rank >= args.nnodes {
            return Err(misuse(format!(
                "--node-rank {} is outside 0..{}: --nnodes says how many machines there are",
                args.node_rank, args.nnodes
            )));
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let several = args.nnodes > 1;
        let master_addr = match args.master_addr.clone().or_else(|| variable("MASTER_ADDR")) {
            Some(address) => address,
            None if !several => LOOPBACK.to_owned(),
            None => {
                return Err(misuse(
                    "--nnodes above 1 needs --master-addr (or MASTER_ADDR): the address of machine 0",
                ));
            }
        };
        let master_port = match (args.master_port, variable("MASTER_PORT")) {
            (Some(port), _) => port,
            (None, Some(text)) => text.parse().map_err(|_| {
                misuse(format!("MASTER_PORT is `{text}`: set it to a port between 1 and 65535"))
            })?,
            (None, None) if several => DEFAULT_PORT,
            (None, None) => 0,
        };
        let world_size = args
            .nnodes
            .checked_mul(args.nproc_per_node)
            .ok_or_else(|| misuse("too many ranks: lower --nnodes"))?;
        let run_id = args.run_id.clone().unwrap_or_else(|| match variable("SLURM_JOB_ID") {
            Some(job) => job,
            // The machines of a run must agree on one.
            None if several => "none".to_owned(),
            None => format!("{:016x}", rand_id()),
        });
        let secret = secret(several, args.no_secret)?;
        let store = if args.node_rank == 0 {
            Store::keep(&master_addr, master_port, &run_id, several, secret.as_ref())
        } else {
            Store::connect(&master_addr, master_port, &run_id, timeout, secret.as_ref())
        };
        let store = store.map_err(|error| match error {
            c10d::Error::Timeout(_) | c10d::Error::PeerLost(_) => anyhow::anyhow!(
                "machine {} found no launcher of machine 0 at {master_addr}:{master_port} within \
                 {} s: start it there, and check --master-addr and --master-port",
                args.node_rank,
                timeout.as_secs()
            ),
            other => other.into(),
        })?;
        Ok(Self {
            begun,
            machines: args.nnodes,
            machine: args.node_rank,
            local_size: args.nproc_per_node,
            world_size,
            master_addr,
            run_id,
            store,
            secret,
            threads: variable("OMP_NUM_THREADS")
                .is_none()
                .then(|| share_of_cores(args.nproc_per_node)),
        })
    }

    /// The rank in the whole run of a rank of this machine.
    pub(super) fn rank(&self, local_rank: u32) -> u32 {
        self.machine * self.local_size + local_rank
    }

    /// The ranks of an attempt, as the store will know them.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    pub(super) fn roll(&self, attempt: u32) -> Result<Roll, c10d::Error> {
        Roll::of(&self.store, &self.run_id, &attempt.to_string(), self.world_size as usize)
    }

    /// Who is to blame when the store does not answer.
    pub(super) fn keeper(&self) -> String {
        let port = self.store.port();
        format!("the launcher of machine 0 ({}:{port}) does not answer", self.master_addr)
    }

    /// The environment of one rank: that of torchrun, whose launcher keeps the store as well.
    pub(super) fn environment(&self, local_rank: u32, attempt: u32) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("RANK", self.rank(local_rank).to_string()),
            ("LOCAL_RANK", local_rank.to_string()),
            ("WORLD_SIZE", self.world_size.to_string()),
            ("LOCAL_WORLD_SIZE", self.local_size.to_string()),
            ("MASTER_ADDR", self.master_addr.clone()),
            ("MASTER_PORT", self.store.port().to_string()),
            ("TORCHELASTIC_USE_AGENT_STORE", "True".to_owned()),
            ("TORCHELASTIC_RUN_ID", self.run_id.clone()),
            ("TORCHELASTIC_RESTART_COUNT", attempt.to_string()),
            (ELAPSED, self.begun.elapsed().as_secs_f64().to_string()),
        ];
        variables.extend(c10d::store_variables(self.secret.as_ref()));
        if let Some(threads) = self.threads {
            variables.push(("OMP_NUM_THREADS", threads.to_string()));
        }
        variables
    }
}

/// The secret of the run: the one in the environment, or a new one where all its processes are
/// started from here. `none`: messages are to go without.
///
/// # Errors
///
/// Several machines and no secret that they could share; one that is too short, or lies in a
/// file that others can read.
fn secret(several_machines: bool, none: bool) -> anyhow::Result<Option<Secret>> {
    if none {
        tracing::warn!(
            "--no-secret: whoever reaches the run's port, on any machine, can end the run and \
             write into its log"
        );
        return Ok(None);
    }
    match Secret::from_env().map_err(|error| misuse(error.to_string()))? {
        Some(secret) => Ok(Some(secret)),
        None if several_machines => Err(misuse(
            "--nnodes above 1 needs a secret that the machines share, in FACESHIELD_RUN_SECRET or \
             in a file of mode 0600 that FACESHIELD_RUN_SECRET_FILE names (make one with \
             `openssl rand -hex 32`); --no-secret goes without, on a network that you trust",
        )),
        None => Ok(Some(Secret::random()?)),
    }
}

/// When the command that is running was started: the launcher's, where it is a rank of one, or
/// this process.
pub(crate) fn command_started() -> Instant {
    let now = Instant::now();
    let seconds = std::env::var(ELAPSED).ok().and_then(|text| text.parse().ok());
    let elapsed = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    elapsed.and_then(|elapsed| now.checked_sub(elapsed)).unwrap_or(now)
}

fn share_of_cores(ranks: u32) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / ranks as usize).max(1)
}

/// A number that no other launch has, as far as chance goes.
fn rand_id() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_out() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(share_of_cores(1), cores);
        assert_eq!(share_of_cores(1000), 1);
    }
}
