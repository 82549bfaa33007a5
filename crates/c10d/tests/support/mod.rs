//! Runs a test's own binary again as the ranks of a run.
//!
//! A test file has one test called `rank`, which does nothing unless it was started here: then
//! it plays the role that `C10D_TEST_ROLE` names.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use c10d::{Backend, World};

/// The role to play, in a process started by [`start`].
pub fn role() -> Option<String> {
    std::env::var("C10D_TEST_ROLE").ok()
}

/// The run's world, with the timeout in seconds that the test gave.
pub fn world() -> World {
    join().unwrap_or_else(|error| panic!("{error}"))
}

pub fn join() -> Result<World, c10d::Error> {
    let seconds = std::env::var("C10D_TEST_TIMEOUT").map_or(60.0, |s| s.parse().unwrap());
    let nccl = std::env::var_os("C10D_TEST_NCCL").is_some();
    let backend = if nccl { Backend::Nccl } else { Backend::Gloo };
    World::from_env(backend, Duration::from_secs_f64(seconds))
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts rank `rank` of `size`; `extra` variables win over the usual ones.
pub fn start(role: &str, rank: usize, size: usize, port: u16, extra: &[(&str, &str)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["rank", "--exact", "--nocapture", "--test-threads=1"]);
    command.env("C10D_TEST_ROLE", role).env("OMP_NUM_THREADS", "1");
    command.env("RANK", rank.to_string()).env("LOCAL_RANK", rank.to_string());
    command.env("WORLD_SIZE", size.to_string()).env("MASTER_PORT", port.to_string());
    command.env("MASTER_ADDR", "127.0.0.1");
    command.envs(extra.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a rank printed, and whether it ended well.
pub struct Ended {
    pub success: bool,
    pub text: String,
}

/// Waits for a rank.
pub fn end(child: Child) -> Ended {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Ended { success: status.success(), text }
}

/// Runs all ranks to their end; every one must succeed.
pub fn run(role: &str, size: usize) {
    let port = free_port();
    let ranks: Vec<Child> = (0..size).map(|rank| start(role, rank, size, port, &[])).collect();
    let ended: Vec<Ended> = ranks.into_iter().map(end).collect();
    for (rank, ended) in ended.iter().enumerate() {
        assert!(ended.success, "{role}, rank {rank} of {size}:\n{}", ended.text);
    }
}
