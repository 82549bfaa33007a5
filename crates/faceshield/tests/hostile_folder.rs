//! `faceshield protect` into a folder that somebody else has filled: nothing outside it, and
//! nothing in it that is no result of this user's, is read without bound, written or removed.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::photos::real_photos;
use support::{Place, error_line};

/// What must not change, outside the folder.
const PRECIOUS: &str = "alias ls='ls --color'\n";

struct Hostile {
    place: Place,
    shared: PathBuf,
}

impl Hostile {
    fn new() -> Option<Hostile> {
        let (shared, cache) = real_photos("faceshield protect into a hostile folder")?;
        let place = Place::new();
        std::fs::create_dir_all(place.path("in/sub")).unwrap();
        for name in ["in/a.png", "in/sub/b.png"] {
            std::fs::copy(cache.join("astronaut.png"), place.path(name)).unwrap();
        }
        std::fs::create_dir(place.path("elsewhere")).unwrap();
        let hostile = Hostile { place, shared };
        hostile.clean();
        Some(hostile)
    }

    /// An empty folder of results, and the file that must not change.
    fn clean(&self) {
        let _ = std::fs::remove_dir_all(self.out(""));
        std::fs::create_dir(self.out("")).unwrap();
        std::fs::write(self.precious(), PRECIOUS).unwrap();
    }

    fn out(&self, name: &str) -> PathBuf {
        self.place.path("out").join(name)
    }

    fn precious(&self) -> PathBuf {
        self.place.path("elsewhere/bashrc")
    }

    fn protect(&self, more: &str) -> Output {
        // A program that waits for a pipe is stopped, and fails the test by its exit code.
        let program = self.place.faceshield();
        let mut command = Command::new("timeout");
        command.arg("120").arg(program.get_program()).current_dir(self.place.path(""));
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("FACESHIELD_CACHE", &self.shared);
        command.args("protect in --out out --method solid".split(' '));
        command.args(more.split_whitespace()).output().unwrap()
    }

    fn untouched(&self, what: &str) {
        assert_eq!(std::fs::read_to_string(self.precious()).unwrap(), PRECIOUS, "{what}");
        let count = std::fs::read_dir(self.place.path("elsewhere")).unwrap().count();
        assert_eq!(count, 1, "{what}");
    }
}

/// Puts something else in the place of a file.
type Trap = (&'static str, fn(&Path, &Path), &'static str);

const TRAPS: [Trap; 6] = [
    ("a link", |precious, at| symlink(precious, at).unwrap(), "symbolic link"),
    ("a dangling link", |_, at| symlink("../elsewhere/new", at).unwrap(), "symbolic link"),
    ("another name", |precious, at| std::fs::hard_link(precious, at).unwrap(), "2 names"),
    ("a pipe", |_, at| fifo(at), "named pipe"),
    ("a device", |_, at| symlink("/dev/zero", at).unwrap(), "symbolic link"),
    ("a folder", |_, at| std::fs::create_dir(at).unwrap(), "a folder"),
];

fn fifo(at: &Path) {
    assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
}

#[test]
fn what_is_in_the_place_of_a_record_is_refused_at_once() {
    let Some(hostile) = Hostile::new() else { return };
    for name in [".protected.jsonl", "ledger.jsonl"] {
        for (trap, set, why) in TRAPS {
            hostile.clean();
            set(&hostile.precious(), &hostile.out(name));
            let output = hostile.protect("");
            let error = error_line(&output);
            assert_eq!(output.status.code(), Some(1), "{name} is {trap}: {error}");
            assert!(error.contains(name) && error.contains(why), "{name} is {trap}: {error}");
            assert!(!hostile.out("a.png").exists(), "{name} is {trap}");
            hostile.untouched(trap);
        }
    }
    // What a run writes at its end is looked at before it begins.
    for name in ["report.json", "contact_sheet.png"] {
        for (trap, set, _) in &TRAPS[..2] {
            hostile.clean();
            set(&hostile.precious(), &hostile.out(name));
            let error = error_line(&hostile.protect(""));
            assert!(error.contains(name) && error.contains("exists"), "{name} is {trap}: {error}");
            assert!(!hostile.out("a.png").exists(), "{name} is {trap}");
            hostile.untouched(trap);
        }
    }
    // Longer than any record: refused unread.
    hostile.clean();
    let sparse = std::fs::File::create(hostile.out(".protected.jsonl")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    assert!(error_line(&hostile.protect("")).contains("1099511627776 bytes"));
}

#[test]
fn a_record_from_elsewhere_is_not_believed() {
    let Some(hostile) = Hostile::new() else { return };
    // What an earlier version would have written, of files elsewhere and of an original.
    let stamp = "0".repeat(32);
    let line = |input: &str, output: &str, status: &str| {
        format!(
            "{{\"input\":\"{input}\",\"output\":\"{output}\",\"status\":\"{status}\",\
             \"faces\":[],\"seconds\":{{\"read\":0,\"find\":0,\"paint\":0,\"blend\":0,\"total\":0}},\
             \"stamp\":\"{stamp}\"}}\n"
        )
    };
    let precious = hostile.precious().to_str().unwrap().to_owned();
    for output in [&precious, "../elsewhere/bashrc", "out/../elsewhere/bashrc", "in/a.png"] {
        for status in ["unprotected", "protected"] {
            hostile.clean();
            let record = line("in/a.png", output, status) + &line("in/sub/b.png", output, status);
            std::fs::write(hostile.out(".protected.jsonl"), record).unwrap();
            let before = std::fs::read(hostile.place.path("in/a.png")).unwrap();
            // Faces of one pixel in a thousand: none is found, so results are withdrawn.
            let output = hostile.protect("--min-face 1000");
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(errors.contains("2 lines were not written by"), "{errors}");
            assert_eq!(output.status.code(), Some(1), "{errors}");
            assert!(before == std::fs::read(hostile.place.path("in/a.png")).unwrap());
            hostile.untouched(status);
        }
    }
    // With the very lines of a run in another folder, signed by another user's key.
    hostile.clean();
    assert!(hostile.protect("").status.success());
    let record = std::fs::read(hostile.out(".protected.jsonl")).unwrap();
    hostile.clean();
    std::fs::write(hostile.out(".protected.jsonl"), record).unwrap();
    std::fs::copy(hostile.place.path("in/a.png"), hostile.out("a.png")).unwrap();
    std::fs::remove_dir_all(hostile.place.path("state")).unwrap();
    let report = hostile.protect("--json");
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["results"][0]["status"], "failed", "{report}");
    assert!(report["results"][0]["why"].as_str().unwrap().contains("exists"), "{report}");
    assert_eq!(report["results"][1]["status"], "protected", "{report}");
}

#[test]
fn no_linked_folder_is_written_through_and_results_are_known_again() {
    let Some(hostile) = Hostile::new() else { return };
    symlink("../elsewhere", hostile.out("sub")).unwrap();
    let report = hostile.protect("--json");
    assert_eq!(report.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert!(report["results"][1]["why"].as_str().unwrap().contains("symbolic link"), "{report}");
    assert_eq!(report["results"][0]["status"], "protected", "{report}");
    hostile.untouched("a linked folder");

    // Killed between the result and its line: it is known as a result, and done again.
    std::fs::remove_file(hostile.out("sub")).unwrap();
    assert!(hostile.protect("").status.success());
    let record = std::fs::read_to_string(hostile.out(".protected.jsonl")).unwrap();
    let cut: Vec<&str> = record.lines().filter(|line| !line.contains("\"done\"")).collect();
    std::fs::write(hostile.out(".protected.jsonl"), cut.join("\n")).unwrap();
    std::fs::write(hostile.out(".partial-0123456789abcdef01234567"), "half").unwrap();
    std::fs::write(hostile.out("sub/.faceshield-a1b2c3.partial"), "half").unwrap();
    assert!(hostile.protect("").status.success());
    assert!(!hostile.out(".partial-0123456789abcdef01234567").exists());
    assert!(!hostile.out("sub/.faceshield-a1b2c3.partial").exists());

    // A result that somebody has changed stays as it is.
    std::fs::write(hostile.out("a.png"), "mine").unwrap();
    let error = hostile.protect("");
    assert_eq!(error.status.code(), Some(1));
    assert_eq!(std::fs::read(hostile.out("a.png")).unwrap(), b"mine");
}

#[test]
fn what_names_people_only_its_owner_can_read() {
    let Some(hostile) = Hostile::new() else { return };
    std::fs::remove_dir(hostile.out("")).unwrap();
    assert!(hostile.protect("").status.success());
    let mode =
        |name: &str| std::fs::metadata(hostile.out(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(""), mode("sub")], [0o700; 2]);
    for name in [".protected.jsonl", "ledger.jsonl", "report.json", "contact_sheet.png"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    // Those of an earlier version, too.
    for name in [".protected.jsonl", "ledger.jsonl"] {
        std::fs::set_permissions(hostile.out(name), PermissionsExt::from_mode(0o644)).unwrap();
    }
    assert!(hostile.protect("").status.success());
    assert_eq!([mode(".protected.jsonl"), mode("ledger.jsonl")], [0o600; 2]);
}
