//! What goes wrong is an error that names it, never a hang or an abort.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::net::TcpListener;
use std::time::Duration;

use c10d::{
    Doing, Error, ReduceOp, Reducer, ReducerOptions, Roll, Store, World, backward, sync_batch_norm,
};
use support::{end, free_port, start};
use tch::{Device, Kind, Tensor};

const PATIENCE: (&str, &str) = ("C10D_TEST_TIMEOUT", "1.5");

#[test]
fn rank() {
    let Some(role) = support::role() else { return };
    if role == "join" {
        match support::join() {
            Ok(world) => println!("joined as {} of {}", world.rank(), world.size()),
            Err(error) => report(&error),
        }
        return;
    }
    let world = support::world();
    if ["freeze", "die", "load", "fail"].contains(&role.as_str()) {
        return blame(&world, &role);
    }
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    let params = [ones(&[3]).set_requires_grad(true)];
    let reducer = Reducer::new(&world, &params, &ReducerOptions::default()).unwrap();
    let x = ones(&[4, 2]).set_requires_grad(true);
    let [w, b, m, v] = std::array::from_fn(|_| ones(&[2]));
    let norm = || sync_batch_norm(&x, &w, &b, &m, &v, 0.1, 1e-5, &world);
    let normalised = norm().unwrap();
    if world.rank() == 1 {
        match role.as_str() {
            // Alive, but takes no part until rank 0 has given up.
            "stall" => std::thread::sleep(Duration::from_secs(3)),
            _ => std::process::abort(),
        }
        return;
    }
    let result = match role.as_str() {
        "stall" | "all-reduce" => world.all_reduce(&ones(&[3]), ReduceOp::Sum),
        "backward" => {
            let loss = params[0].sum(Kind::Float);
            reducer.prepare_for_backward(&loss).unwrap();
            backward(&loss)
        }
        "batch norm" => norm().map(|_| ()),
        "batch norm backward" => backward(&normalised.sum(Kind::Float)),
        other => panic!("{other}"),
    };
    report(&result.unwrap_err());
    // Once lost, it stays an error.
    assert!(world.barrier().is_err());
}

/// Rank 2 leaves the others alone in step 12, in one of several ways.
fn blame(world: &World, role: &str) {
    let doing = if role == "load" && world.rank() == 2 { Doing::Loading } else { Doing::Training };
    world.stands(12, doing);
    // Long enough for the next sign of life to tell.
    std::thread::sleep(Duration::from_millis(1200));
    if world.rank() == 2 {
        match role {
            "freeze" => {
                let me = std::process::id().to_string();
                std::process::Command::new("kill").args(["-STOP", &me]).status().unwrap();
            }
            "die" => std::process::abort(),
            "load" => std::thread::sleep(Duration::from_secs(10)),
            _ => world.fail("no more of this").unwrap(),
        }
        return;
    }
    let error = world.barrier().unwrap_err();
    assert!(matches!(error, Error::Timeout(_) | Error::PeerLost(_)), "{error}");
    match world.blame() {
        Ok(Some(found)) => println!("blames rank {}: {}", found.rank, found.what),
        other => println!("{other:?}"),
    }
}

/// One line that the parent looks for.
fn report(error: &Error) {
    let kind = match error {
        Error::BadEnvironment(_) => "BadEnvironment",
        Error::AddressInUse(_) => "AddressInUse",
        Error::Rendezvous(_) => "Rendezvous",
        Error::Timeout(_) => "Timeout",
        Error::PeerLost(_) => "PeerLost",
        Error::Unsupported(_) => "Unsupported",
        _ => "another kind",
    };
    println!("\n{kind}: {error}");
}

/// Runs rank 0 alone of a run of `size` and returns the line of its error.
fn lonely(rank: usize, size: usize, port: u16, extra: &[(&str, &str)]) -> String {
    let ended = end(start("join", rank, size, port, extra));
    assert!(ended.success, "{}", ended.text);
    let kinds = ["BadEnvironment: ", "AddressInUse: ", "Rendezvous: ", "Timeout: ", "PeerLost: "];
    let line = ended.text.lines().find(|line| kinds.iter().any(|kind| line.starts_with(kind)));
    line.unwrap_or_else(|| panic!("no error in:\n{}", ended.text)).to_owned()
}

#[test]
fn a_rank_that_never_comes_is_named_with_the_timeout() {
    let line = lonely(0, 3, free_port(), &[PATIENCE]);
    assert!(line.starts_with("Timeout: only 1 of 3 ranks joined at 127.0.0.1:"), "{line}");
    assert!(line.contains("within 1.5 s; missing: rank 1, 2;"), "{line}");
}

#[test]
fn a_rank_zero_that_never_comes_is_named_with_the_timeout() {
    let port = free_port();
    let line = lonely(1, 2, port, &[PATIENCE]);
    let expected = format!("Timeout: rank 1 of 2 found no rank 0 at 127.0.0.1:{port} within 1.5 s");
    assert!(line.starts_with(&expected), "{line}");
}

#[test]
fn a_listener_that_is_no_store_is_not_waited_for_without_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = lonely(1, 2, silent.local_addr().unwrap().port(), &[PATIENCE]);
    assert!(line.starts_with("Timeout: "), "{line}");
}

#[test]
fn a_port_in_use_is_named() {
    let holder = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let line = lonely(0, 2, port, &[PATIENCE]);
    let expected = format!("AddressInUse: port {port} on 127.0.0.1 is in use");
    assert!(line.starts_with(&expected), "{line}");
}

#[test]
fn a_bad_environment_names_the_variable() {
    let line = lonely(0, 2, 1, &[("MASTER_ADDR", "")]);
    assert!(line.starts_with("BadEnvironment: ") && line.contains("MASTER_ADDR is not"), "{line}");
    let line = lonely(5, 2, 1, &[]);
    assert_eq!(line, "BadEnvironment: RANK=5 is not below WORLD_SIZE=2: ranks count from 0");
}

#[test]
fn a_rank_that_dies_or_stalls_is_an_error_on_the_others() {
    for (role, patience, kind) in [
        ("all-reduce", "30", "PeerLost: all-reduce failed: another rank went away"),
        ("backward", "30", "PeerLost: the backward pass failed: another rank went away"),
        ("batch norm", "30", "PeerLost: sync_batch_norm failed: another rank went away"),
        ("batch norm backward", "30", "PeerLost: the backward pass failed: another rank went"),
        ("stall", "1.5", "Timeout: all-reduce timed out"),
    ] {
        let port = free_port();
        let [zero, one] =
            [0, 1].map(|rank| start(role, rank, 2, port, &[("C10D_TEST_TIMEOUT", patience)]));
        let zero = end(zero);
        end(one);
        assert!(zero.success, "{role}:\n{}", zero.text);
        assert!(zero.text.contains(kind), "{role}:\n{}", zero.text);
    }
}

/// Attempts of one run meet one after the other in the store that a launcher keeps, which sees
/// them there; a rank of another run is refused.
#[test]
fn a_launchers_store_serves_the_attempts_of_its_run_and_no_other() {
    let store = Store::keep("127.0.0.1", 0, "the run", false, None).unwrap();
    let variables = |run, attempt| {
        [
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RUN_ID", run),
            ("TORCHELASTIC_RESTART_COUNT", attempt),
        ]
    };
    for attempt in ["0", "1"] {
        let extra = variables("the run", attempt);
        for (rank, child) in [0, 1].map(|rank| (rank, start("join", rank, 2, store.port(), &extra)))
        {
            let ended = end(child);
            assert!(ended.text.contains(&format!("joined as {rank} of 2")), "{}", ended.text);
        }
        let roll = Roll::of(&store, "the run", attempt, 2).unwrap();
        assert!(roll.pulse(1).unwrap().unwrap().left);
        assert!(roll.pulse(2).unwrap().is_none() && roll.failed().unwrap().is_none());
    }
    let line = lonely(0, 2, store.port(), &variables("another", "0"));
    assert!(line.starts_with("Rendezvous: the ranks that meet at 127.0.0.1:"), "{line}");
    assert!(line.contains("belong to the run `the run`, this one to `another`"), "{line}");
}

#[test]
fn rank_zero_refuses_a_rank_of_another_run_and_one_that_is_there_already() {
    let port = free_port();
    let mut zero = start("join", 0, 2, port, &[("TORCHELASTIC_RUN_ID", "a")]);
    let line = lonely(1, 2, port, &[("TORCHELASTIC_RUN_ID", "b")]);
    assert!(line.contains("belong to the run `a`, this one to `b`"), "{line}");
    let agent = [("TORCHELASTIC_RUN_ID", "a"), ("TORCHELASTIC_USE_AGENT_STORE", "True")];
    let line = lonely(0, 2, port, &agent);
    assert!(line.starts_with("Rendezvous: joining rank 0 of 2"), "{line}");
    assert!(line.contains("started twice"), "{line}");
    zero.kill().unwrap();
    zero.wait().unwrap();
}

/// Of three ranks the last one dies, freezes, is stuck loading, or fails and says so: the
/// others name it, both alike.
#[test]
fn the_rank_that_is_to_blame_is_named() {
    for (role, what) in [
        ("freeze", "gives no sign of life, last heard of in step 12"),
        ("die", "gives no sign of life, last heard of in step 12"),
        ("load", "is alive, but stuck loading its batch for step 12"),
        ("fail", "failed first: in step 12: no more of this"),
    ] {
        let port = free_port();
        let patience = [("C10D_TEST_TIMEOUT", "4")];
        let mut ranks = [0, 1, 2].map(|rank| start(role, rank, 3, port, &patience));
        let freeze = role == "freeze";
        let waited: Vec<_> = ranks.iter_mut().map(|rank| rank.stdout.take().unwrap()).collect();
        for (rank, output) in waited.into_iter().enumerate().take(2) {
            let text = std::io::read_to_string(output).unwrap();
            let expected = format!("blames rank 2: {what}");
            assert!(text.contains(&expected), "{role}, rank {rank}: {text}");
        }
        for mut rank in ranks {
            if freeze {
                rank.kill().unwrap();
            }
            rank.wait().unwrap();
        }
    }
}

#[test]
fn one_rank_may_leave_the_port_to_the_system() {
    let ended = end(start("join", 0, 1, 0, &[]));
    assert!(ended.text.contains("joined as 0 of 1"), "{}", ended.text);
}

#[test]
fn nccl_without_the_feature_or_a_gpu_is_an_error() {
    if tch::Cuda::is_available() {
        println!("skipped: this machine has a GPU");
        return;
    }
    let ended = end(start("join", 0, 1, 0, &[("C10D_TEST_NCCL", "1")]));
    let expected = if cfg!(feature = "cuda") { "no GPUs found" } else { "Unsupported: NCCL was" };
    assert!(ended.success && ended.text.contains(expected), "{}", ended.text);
}
