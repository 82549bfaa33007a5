//! Processes that do not know a run's secret cannot take part in it, whatever they write.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use c10d::{Doing, Report, Roll, Secret, Store, store_variables};
use support::{end, free_port, start};

const SHORT: Duration = Duration::from_secs(3);

#[test]
fn rank() {
    let Some(role) = support::role() else { return };
    let world = match support::join() {
        Ok(world) => world,
        Err(error) => return println!("\nerror: {error}"),
    };
    world.stands(12, Doing::Training);
    // Time for strangers, and for signs of life.
    std::thread::sleep(Duration::from_millis(2500));
    if role == "work" {
        world.note_progress("step 12").unwrap();
        world.barrier().unwrap();
        return println!("\ndone");
    }
    if world.rank() == 1 {
        world.fail("no more\x1b[2J\nerror: of this").unwrap();
        return;
    }
    world.barrier().unwrap_err();
    println!("\nblames {:?}", world.blame().unwrap());
}

/// What a rank of a launcher's run is told.
fn variables(secret: &Secret, ours: bool) -> Vec<(&'static str, String)> {
    let mut variables = store_variables(Some(secret));
    if !ours {
        // As torchrun, which does not know of secrets.
        variables.retain(|(name, _)| *name != "FACESHIELD_STORE");
    }
    variables.push(("TORCHELASTIC_USE_AGENT_STORE", "True".into()));
    variables.push(("TORCHELASTIC_RUN_ID", "the run".into()));
    variables
}

fn start_two(
    role: &str,
    port: u16,
    variables: &[(&'static str, String)],
) -> [std::process::Child; 2] {
    let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
    [0, 1].map(|rank| start(role, rank, 2, port, &variables))
}

/// This process's memory in MiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

/// The words of libtorch's store: is this one, and then the value of a key.
fn set(key: &str, length: u64) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(0x3C85_F7CE_u32.to_le_bytes());
    bytes.push(1);
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend(length.to_le_bytes());
    bytes
}

#[test]
fn a_stranger_neither_reads_nor_writes_nor_fills_an_authenticated_store() {
    let secret = Secret::random().unwrap();
    let store = Store::keep("127.0.0.1", 0, "the run", false, Some(&secret)).unwrap();
    let port = store.port();
    let ranks = start_two("work", port, &variables(&secret, true));
    let before = resident();
    // Without a secret, with another one, with none that is any, and silent ones that stay.
    let connect = |secret| Store::connect("127.0.0.1", port, "the run", SHORT, secret);
    assert!(connect(None).is_err());
    let another = Secret::random().unwrap();
    let error = connect(Some(&another)).unwrap_err().to_string();
    assert!(error.contains("has another secret than this process"), "{error}");
    let address = ("127.0.0.1", port).to_socket_addrs().unwrap().next().unwrap();
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let large = vec![b'1'; 16 << 20];
    for (number, key) in ["missed", "failed", "progress", "pulse/0", "joined/0", "count/0"]
        .into_iter()
        .cycle()
        .take(24)
        .enumerate()
    {
        let mut stream = TcpStream::connect(address).unwrap();
        let key = format!("/c10d/the run/{}/0/{key}", number % 2);
        // It hangs up in the middle.
        let _ = stream.write_all(&set(&key, 4 * large.len() as u64));
        let _ = (0..4).try_for_each(|_| stream.write_all(&large));
        // The right beginning, and then the same.
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(b"\xf5c10d/1\n");
        let _ = (0..4).try_for_each(|_| stream.write_all(&large));
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 48, "{grown} MiB");
    for rank in ranks {
        let ended = end(rank);
        assert!(ended.success && ended.text.contains("\ndone"), "{}", ended.text);
    }
    drop(silent);
    let roll = Roll::of(&store, "the run", "0", 2).unwrap();
    assert!(roll.missed().unwrap().is_none() && roll.failed().unwrap().is_none());
    assert_eq!(roll.progress().unwrap().as_deref(), Some("step 12"));
    assert!(roll.pulse(1).unwrap().unwrap().left);
    // One who knows the secret is let in, and what is too long is refused even then.
    let member = connect(Some(&secret)).unwrap();
    member.set_once("mine", "1").unwrap();
    member.set_once("mine", "2").unwrap();
    assert_eq!(store.get("mine").unwrap().as_deref(), Some("1"));
    drop(store);
    assert!(member.get("mine").is_err());
    assert!(TcpStream::connect(address).is_err());
}

/// In a store that serves anyone (torchrun's) only genuine messages count, wherever the others
/// come from: forged beforehand, copied from another key or from another attempt.
#[test]
fn forged_messages_in_an_open_store_are_ignored_and_genuine_ones_are_not() {
    let secret = Secret::random().unwrap();
    let store = Store::keep("127.0.0.1", 0, "the run", false, None).unwrap();
    let stranger = Store::connect("127.0.0.1", store.port(), "the run", SHORT, None).unwrap();
    let forge = |attempt: u32| {
        for key in ["missed", "failed", "progress"] {
            let key = format!("c10d/the run/{attempt}/0/{key}");
            stranger.set(&key, "0 forged words").unwrap();
        }
        for rank in 0..2 {
            stranger.set(&format!("c10d/the run/{attempt}/0/pulse/{rank}"), "9 8 1").unwrap();
        }
    };
    forge(0);
    let mut told = variables(&secret, false);
    let ranks = start_two("fail", store.port(), &told);
    let mut text = String::new();
    for rank in ranks {
        text += &end(rank).text;
    }
    let words = r"failed first: in step 12: no more\\u{1b}[2J\\nerror: of this";
    assert!(text.contains("blames Some(Report { rank: 1") && text.contains(words), "{text}");
    assert!(!text.contains("forged words"), "{text}");
    // The genuine `failed` of attempt 0, in attempt 1 and as another key.
    let genuine = stranger.get("c10d/the run/0/0/failed").unwrap().unwrap();
    assert!(genuine.contains("no more"), "{genuine}");
    for key in ["1/0/failed", "1/0/missed", "0/0/missed"] {
        stranger.set(&format!("c10d/the run/{key}"), &genuine).unwrap();
    }
    told.push(("TORCHELASTIC_RESTART_COUNT", "1".into()));
    for rank in start_two("work", store.port(), &told) {
        let ended = end(rank);
        assert!(ended.success && ended.text.contains("\ndone"), "{}", ended.text);
    }
}

/// A rank with another secret, or where only one of two ranks has one: a line that says so.
#[test]
fn ranks_that_do_not_share_a_secret_say_so() {
    let [a, b] = ["0123456789abcdef", "fedcba9876543210"];
    for (zero, one, expected) in [
        (a, b, "has another secret than this process: give all processes of a run the same"),
        ("", b, "does not answer a process that has a secret"),
        (a, "", "FACESHIELD_RUN_SECRET"),
    ] {
        let port = free_port();
        let [mut zero, one] = [zero, one].map(|secret| {
            let rank = usize::from(secret == one);
            let extra = [("FACESHIELD_RUN_SECRET", secret), ("C10D_TEST_TIMEOUT", "15")];
            start("work", rank, 2, port, &extra)
        });
        let ended = end(one);
        zero.kill().unwrap();
        zero.wait().unwrap();
        let line = ended.text.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(line.contains(expected), "{line}");
        assert!(!ended.text.contains(a) && !ended.text.contains(b), "{}", ended.text);
    }
}

#[test]
fn what_another_rank_says_comes_as_one_printable_line() {
    let store = Store::keep("127.0.0.1", 0, "the run", false, None).unwrap();
    let roll = Roll::of(&store, "the run", "0", 2).unwrap();
    roll.miss(&Report { rank: 1, what: "is\x1b[31m red\r\nerror: gone".into() }).unwrap();
    let what = roll.missed().unwrap().unwrap().what;
    assert_eq!(what, r"is\u{1b}[31m red\r\nerror: gone");
}
