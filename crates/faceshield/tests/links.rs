//! The built program on run folders, checkpoints and files that somebody else has made: links,
//! pipes and devices end it at once with one line, and what a link leads to stays as it was.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Place, TINY, error_line};

/// Far more than refusing takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the program, and ends it where it waits for something.
fn in_time(place: &Place, words: &[&str], what: &str) -> Output {
    let mut child = place
        .faceshield()
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{what}: it waits for something");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// It fails in one line that has `expected` in it.
fn refused(place: &Place, words: &[&str], expected: &str, what: &str) {
    let output = in_time(place, words, what);
    let error = error_line(&output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{what}: {error}");
    assert!(error.contains(expected), "{what}: {error}");
}

fn pipe(at: &Path) {
    assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
}

fn holes(at: &Path, bytes: u64) {
    fs::File::create(at).unwrap().set_len(bytes).unwrap();
}

fn is_root(place: &Place) -> bool {
    fs::write(place.path("mine"), "").unwrap();
    fs::metadata(place.path("mine")).unwrap().uid() == 0
}

/// What stands at the first path; the second is a file that must stay as it is.
type Thing = (&'static str, fn(&Path, &Path));

const THINGS: [Thing; 6] = [
    ("link", |at, precious| symlink(precious, at).unwrap()),
    ("dangling link", |at, precious| symlink(precious.with_file_name("new"), at).unwrap()),
    ("hard link", |at, precious| fs::hard_link(precious, at).unwrap()),
    ("pipe", |at, _| pipe(at)),
    ("folder", |at, _| fs::create_dir(at).unwrap()),
    ("another user's file", |at, _| {
        fs::write(at, "theirs").unwrap();
        chown(at, Some(12345), None).unwrap();
    }),
];

#[test]
fn run_folders() {
    let place = Place::new();
    place.faces(2, 1);
    let precious = place.path("other/precious");
    fs::create_dir(precious.parent().unwrap()).unwrap();
    fs::write(&precious, "precious").unwrap();
    let train = [&["train", "fse"], &TINY[..], &["--data", "faces", "--max-steps", "1"]].concat();
    let alone = ["--set", "encoder_weights=random", "--set", "discriminants=0"];
    let alone = [&train[..], &alone].concat();
    let two = [&["launch", "--nproc-per-node", "2", "--"], &alone[..]].concat();
    let root = is_root(&place);
    // What the engine opens, which tries them all (crates/train/tests/engine/links.rs), and what
    // the program does: each is tried alone or, to see that no rank waits, with two.
    let names = [
        (&alone, "metrics.jsonl", 2),
        (&two, "config.toml", 1),
        (&alone, "bad_images_rank_0.txt", THINGS.len()),
        (&two, "logs", 4),
        (&two, "logs/rank_1.log", THINGS.len()),
    ];
    for (words, name, things) in names {
        for (kind, make) in &THINGS[..things] {
            if kind.starts_with("another") && !root {
                continue;
            }
            let what = format!("{kind} in place of {name}");
            let _ = fs::remove_dir_all(place.path("runs"));
            let at = place.path("runs/demo").join(name);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            make(&at, &precious);
            let output = in_time(&place, words, &what);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(1 | 2)), "{what}: {stderr}");
            let last = stderr.lines().last().unwrap();
            assert!(last.contains("error: ") && last.contains(name), "{what}: {stderr}");
            assert!(!stderr.contains("panicked"), "{what}: {stderr}");
            assert_eq!(fs::read_to_string(&precious).unwrap(), "precious", "{what}");
            assert_eq!(fs::read_dir(place.path("other")).unwrap().count(), 1, "{what}");
            assert!(fs::symlink_metadata(&at).is_ok(), "{what}: it was removed");
        }
    }
    assert!(!place.path("checkpoints_FSE/step_00000001").exists());

    // The launcher's logs are the owner's alone, too.
    fs::remove_dir_all(place.path("runs")).unwrap();
    place.done(&two);
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("runs/demo"), mode("runs/demo/logs")], [0o700; 2]);
    assert_eq!([mode("runs/demo/logs/rank_0.log"), mode("runs/demo/logs/rank_1.log")], [0o600; 2]);
}

#[test]
fn files_that_are_read() {
    let place = Place::new();
    place.faces(2, 1);
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let refused = |line: &str, expected: &str| {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        refused(&place, &words, expected, line);
    };
    pipe(&place.path("pipe.toml"));
    holes(&place.path("holes.toml"), 1 << 40);
    symlink("/dev/zero", place.path("zero.toml")).unwrap();
    let train = format!("train fse {} --data faces", TINY.join(" "));
    for (name, expected) in
        [("pipe.toml", "named pipe"), ("holes.toml", "at most"), ("zero.toml", "a device")]
    {
        refused(&format!("train fse --data faces --preset ./{name}"), expected);
        refused(&format!("{train} --config {name}"), expected);
        refused(&format!("{train} --set encoder_weights={name}"), expected);
        refused(&format!("{train} --set encoder_weights=random --set stats_file={name}"), expected);
        refused(&format!("weights inspect {name}"), expected);
    }
    // A checkpoint that came from elsewhere.
    let line = format!("{train} --set encoder_weights=random --max-steps 1");
    place.done(&words(&line).iter().map(String::as_str).collect::<Vec<_>>());
    let step = place.path("checkpoints_FSE/step_00000001");
    for name in ["manifest.json", "model.safetensors"] {
        fs::rename(step.join(name), place.path("away")).unwrap();
        symlink(place.path("away"), step.join(name)).unwrap();
        let step = "checkpoints_FSE/step_00000001";
        refused(
            &format!("train irc {} --data faces --set fse_checkpoint={step}", TINY.join(" ")),
            name,
        );
        refused(&format!("{train} --resume {step}"), name);
        refused(
            &format!(
                "protect faces/person_00/0.png --mechanism independent --checkpoint {step} --out out"
            ),
            step,
        );
        if name.starts_with("model") {
            refused(&format!("weights inspect {step}"), "symbolic link");
        }
        fs::remove_file(place.path(step).join(name)).unwrap();
        fs::rename(place.path("away"), place.path(step).join(name)).unwrap();
    }
}

/// Statistics in the cache that were not measured by this user are measured again.
#[test]
fn poisoned_statistics_are_not_used() {
    let place = Place::new();
    place.faces(3, 2);
    let line = "--data faces --set encoder_weights=random --set preview_every=0 --max-steps 1";
    let train = |out: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let words = [&["train", "fse"], &TINY[..], &words, &["--checkpoint-dir", out]].concat();
        let output = in_time(&place, &words, "training");
        assert!(output.status.success());
        let model = place.path(out).join("checkpoints_FSE/step_00000001/model.safetensors");
        (String::from_utf8(output.stderr).unwrap(), fs::read(model).unwrap())
    };
    let (_, whole) = train("one");
    let (stderr, cached) = train("two");
    assert!(stderr.contains("layer statistics from") && cached == whole, "{stderr}");
    let cache = fs::read_dir(place.path("cache")).unwrap().map(|entry| entry.unwrap().path());
    let is = |path: &std::path::PathBuf| path.to_string_lossy().contains("statistics-");
    let file = cache.into_iter().find(is).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let archive = weights::read(&file).unwrap();
    let mut tensors = archive.tensors;
    for tensor in tensors.values_mut().filter(|tensor| tensor.is_floating_point()) {
        *tensor = &*tensor + 1.0;
    }
    weights::write_safetensors(&file, &tensors, &archive.metadata).unwrap();
    let (stderr, other) = train("three");
    assert!(stderr.contains("was changed, or not written by you") && other == whole, "{stderr}");
    let (stderr, other) = train("four");
    assert!(stderr.contains("layer statistics from") && other == whole, "{stderr}");
}

/// With a bad image before training, one found in it, and steps that are not finite.
#[test]
fn a_private_run_names_nobody() {
    let place = Place::new();
    let root = place.faces(4, 3);
    fs::write(root.join("person_00/0.png"), "no image").unwrap();
    let torn = root.join("person_01/1.png");
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let train = |more: &str| {
        let line = "--data faces --set epochs=1 --set keep_decoded_mb=0 --set preview_every=1 \
                    --set encoder_weights=random --spoil-step 1 --max-bad-images 0.5";
        let words: Vec<&str> = line.split_whitespace().chain(more.split_whitespace()).collect();
        let output = in_time(&place, &[&["train", "fse"], &TINY[..], &words].concat(), more);
        String::from_utf8(output.stderr).unwrap()
    };
    let open = train("");
    assert!(open.contains("person_00/0.png") && open.contains("this rank's items"), "{open}");
    assert!(place.path("runs/demo/preview").exists());

    let private = train("--private --run-dir private --checkpoint-dir private");
    assert!(!private.contains("person_0") && private.contains("not finite"), "{private}");
    assert_eq!(private.matches("private: no previews").count(), 1, "{private}");
    assert!(private.contains("2 of 12 images were left out"), "{private}");
    assert!(!place.path("private/preview").exists());
    let list = fs::read_to_string(place.path("private/bad_images_rank_0.txt")).unwrap();
    assert!(list.contains("person_00/0.png") && list.contains("person_01/1.png"), "{list}");
    for entry in fs::read_dir(place.path("private")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("bad_images_rank_0.txt") {
            let bytes = fs::read(&path).unwrap();
            for secret in [&b"person_0"[..], b"\x89PNG"] {
                let found = bytes.windows(secret.len()).any(|part| part == secret);
                assert!(!found, "{}", path.display());
            }
        }
    }
    // Errors, too.
    let few = train("--private --run-dir private --checkpoint-dir private --max-bad-images 0");
    let last = few.lines().last().unwrap();
    assert!(last.contains("2 of 12 images") || last.contains("1 of 12 images"), "{few}");
    assert!(!few.contains("person_0"), "{few}");
}
