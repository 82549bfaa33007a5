//! Run and checkpoint folders that somebody else has filled: links, pipes and other users' files
//! in place of what a run writes or reads.

use crate::toy::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use train::checkpoint::Checkpoint;
use train::{Config, Error, Places, Resume, Summary};

/// What may stand somewhere; the second path is a file that must stay as it is, in a folder that
/// nothing must be added to.
type Thing = (&'static str, fn(&Path, &Path));

const THINGS: [Thing; 7] = [
    ("link", |at, precious| symlink(precious, at).unwrap()),
    ("dangling link", |at, precious| symlink(precious.with_file_name("new"), at).unwrap()),
    ("link to a folder", |at, precious| symlink(precious.parent().unwrap(), at).unwrap()),
    ("hard link", |at, precious| fs::hard_link(precious, at).unwrap()),
    ("pipe", |at, _| mknodat(CWD, at, FileType::Fifo, Mode::RWXU, 0).unwrap()),
    ("folder", |at, _| fs::create_dir(at).unwrap()),
    ("another user's file", |at, _| {
        fs::write(at, "theirs").unwrap();
        chown(at, Some(12345), None).unwrap();
    }),
];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A file beside the run's folders that must stay as it is.
struct Precious(PathBuf);

impl Precious {
    fn new(folder: &Path) -> Self {
        let path = folder.join("other/precious");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        Self(path)
    }

    fn is_as_it_was(&self) {
        assert_eq!(fs::read_to_string(&self.0).unwrap(), "precious");
        assert_eq!(fs::read_dir(self.0.parent().unwrap()).unwrap().count(), 1);
    }
}

/// Trains to step `steps`, or fails where that waits for something.
fn in_time(
    folder: &Path,
    steps: u64,
    change: impl FnOnce(&mut Config, &mut Places),
) -> Result<Summary, Error> {
    let (mut config, mut places) = (config(), places(folder, steps));
    change(&mut config, &mut places);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut toy = Toy { noise: true, ..Toy::new(4) };
        let _ = sender.send(train_toy(&mut toy, &config, &places));
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("it waits for something")
}

fn one_line(error: &Error, name: &str, what: &str) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{what}: {text}");
    assert!(text.contains(name), "{what}: {text}");
}

#[test]
fn what_a_run_could_not_have_written_is_refused_and_left_alone() {
    let names = [
        "run/.lock",
        "run/config.toml",
        "run/metrics.jsonl",
        "run/events.out.tfevents.1.1.toy",
        "run/preview",
        "run/trace",
        "run/trace/toy_rank_0.json",
        "checkpoints_TOY",
        "checkpoints_TOY/.lock",
        // In the way of one that is still to be written.
        "checkpoints_TOY/step_00000004",
    ];
    for name in names {
        for (kind, make) in THINGS {
            let is_folder = ["preview", "trace", "checkpoints_TOY", "step_00000004"]
                .iter()
                .any(|folder| name.ends_with(folder));
            if (kind == "folder" && is_folder) || (kind.starts_with("another") && !is_root()) {
                continue;
            }
            let what = format!("{kind} in place of {name}");
            let folder = tempfile::tempdir().unwrap();
            let precious = Precious::new(folder.path());
            let at = folder.path().join(name);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            make(&at, &precious.0);
            let before = fs::symlink_metadata(&at).unwrap();
            let outcome = in_time(folder.path(), 4, |_, places| places.profile = 1);
            one_line(
                &outcome.expect_err(&what),
                Path::new(name).file_name().unwrap().to_str().unwrap(),
                &what,
            );
            precious.is_as_it_was();
            let after = fs::symlink_metadata(&at).unwrap();
            assert_eq!((before.ino(), before.len()), (after.ino(), after.len()), "{what}");
        }
    }
}

/// Also what a link leads to that appears while the run goes on.
#[test]
fn a_picture_that_cannot_be_written_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let precious = Precious::new(folder.path());
    fs::create_dir_all(folder.path().join("run/preview")).unwrap();
    let at = |step: u64| folder.path().join(format!("run/preview/toy_{step:08}.png"));
    symlink(&precious.0, at(0)).unwrap();
    mknodat(CWD, at(2), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let summary = in_time(folder.path(), 5, |_, _| ()).unwrap();
    assert_eq!(summary.lost, 2);
    precious.is_as_it_was();
    assert!(fs::read(at(4)).unwrap().starts_with(b"\x89PNG"));
}

/// Names that could be foreseen, and folders that tidying could follow.
#[test]
fn links_among_checkpoints_are_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A whole checkpoint elsewhere, and two here.
    train(&folder.join("elsewhere"), &config(), 1).unwrap();
    let every = |config: &mut Config, _: &mut Places| {
        (config.checkpoint_every, config.keep_checkpoints) = (1, 1);
    };
    let away = checkpoint(&folder.join("elsewhere"), 1);
    fs::create_dir(folder.join("checkpoints_TOY")).unwrap();
    let at = |name: &str| folder.join("checkpoints_TOY").join(name);
    for name in ["step_00000000", ".step_00000001.tmp", ".step_00000002.tmp", "earlier_01"] {
        symlink(&away, at(name)).unwrap();
    }
    fs::create_dir(at(".step_00000003.tmp")).unwrap();
    let before = state(&folder.join("elsewhere"), 1);
    // It would be in the way if the run began anew, but is no checkpoint to go on from.
    let message = in_time(folder, 3, every).unwrap_err().to_string();
    assert!(message.contains("step_00000000") && message.contains("symbolic link"), "{message}");
    fs::remove_file(at("step_00000000")).unwrap();
    in_time(folder, 3, every).unwrap();
    // Retention meets one as well.
    symlink(&away, at("step_00000000")).unwrap();
    in_time(folder, 5, every).unwrap();
    assert!(at("step_00000005/manifest.json").exists() && !at("step_00000003").exists());
    // A run that begins anew sets the old one aside, past the name that is taken.
    fs::remove_file(at("step_00000000")).unwrap();
    in_time(folder, 1, |config, places| {
        every(config, places);
        places.resume = Resume::None;
    })
    .unwrap();
    assert!(at("earlier_02/step_00000005/manifest.json").exists());
    assert!(!at(".step_00000003.tmp").exists());
    assert_eq!(state(&folder.join("elsewhere"), 1), before);
    assert_eq!(fs::read_dir(&away).unwrap().count(), 4);
}

#[test]
fn a_checkpoint_is_read_without_following_or_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, &config(), 1).unwrap();
    let whole = checkpoint(folder, 1);
    /// As [`Thing`], and what is said of it.
    type Refused = (&'static str, fn(&Path, &Path), &'static str);
    let refused: [Refused; 5] = [
        ("link", |at, away| symlink(away, at).unwrap(), "symbolic link"),
        ("pipe", |at, _| mknodat(CWD, at, FileType::Fifo, Mode::RWXU, 0).unwrap(), "named pipe"),
        ("folder", |at, _| fs::create_dir(at).unwrap(), "a folder"),
        ("device", |at, _| symlink("/dev/zero", at).unwrap(), "symbolic link"),
        ("file of holes", |at, _| fs::File::create(at).unwrap().set_len(1 << 42).unwrap(), "bytes"),
    ];
    let files = ["manifest.json", "model.safetensors", "optimizer.safetensors"];
    for name in files.into_iter().chain(["rank_0000.safetensors"]) {
        for (kind, make, expected) in refused {
            let away = folder.join("away");
            fs::rename(whole.join(name), &away).unwrap();
            make(&whole.join(name), &away);
            let resume = Resume::Path(whole.clone());
            let outcome = in_time(folder, 1, |_, places| places.resume = resume);
            let what = format!("{kind} in place of {name}");
            let error = outcome.expect_err(&what);
            one_line(&error, name, &what);
            assert!(error.to_string().contains(expected), "{what}: {error}");
            match kind {
                "folder" => fs::remove_dir(whole.join(name)).unwrap(),
                _ => fs::remove_file(whole.join(name)).unwrap(),
            }
            fs::rename(&away, whole.join(name)).unwrap();
        }
    }
    // A manifest that says so, too: its file is not summed up.
    let mut manifest = Checkpoint::open(&whole).unwrap().manifest().clone();
    manifest.files.get_mut("model.safetensors").unwrap().size = 1 << 42;
    let text = fs::read(whole.join("manifest.json")).unwrap();
    fs::write(whole.join("manifest.json"), manifest.text().unwrap()).unwrap();
    fs::rename(whole.join("model.safetensors"), folder.join("away")).unwrap();
    fs::File::create(whole.join("model.safetensors")).unwrap().set_len(1 << 42).unwrap();
    let message = Checkpoint::open(&whole).unwrap_err().to_string();
    assert!(message.contains("at most"), "{message}");
    fs::rename(folder.join("away"), whole.join("model.safetensors")).unwrap();
    fs::write(whole.join("manifest.json"), text).unwrap();

    // The folder that the user names may be a link, and its files anybody's.
    symlink(&whole, folder.join("latest")).unwrap();
    if is_root() {
        for entry in fs::read_dir(&whole).unwrap() {
            chown(entry.unwrap().path(), Some(12345), None).unwrap();
        }
    }
    let resume = Resume::Path(folder.join("latest"));
    let summary = in_time(&folder.join("new"), 2, |_, places| places.resume = resume).unwrap();
    assert_eq!((summary.resumed, summary.steps), (Some(1), 2));
}

/// The toy's pictures and names stand for faces and people.
#[test]
fn a_run_is_its_owners_and_a_private_one_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = Toy::new(4);
    let places = Places { profile: 1, ..places(folder.path(), 3) };
    train_toy(&mut toy, &config(), &places).unwrap();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    let mut folders = vec![folder.path().join("run")];
    let mut files = 0;
    while let Some(next) = folders.pop() {
        assert_eq!(mode(&next), 0o700, "{}", next.display());
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    assert_eq!(mode(&path), 0o600, "{}", path.display());
                    files += 1;
                }
            }
        }
    }
    // Lock, configuration, metrics, events, two pictures, a trace.
    assert_eq!(files, 7);

    let folder = tempfile::tempdir().unwrap();
    in_time(folder.path(), 3, |config, _| config.private = true).unwrap();
    assert!(!folder.path().join("run/preview").exists());
    let events = crate::events::read(&folder.path().join("run"));
    assert!(!events.is_empty() && events.iter().all(|point| point.scalar.is_some()));
}

#[test]
fn a_checkpoint_does_not_say_where_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("people").display().to_string();
    in_time(folder.path(), 1, |_, places| {
        places.configuration.insert("data".into(), data.clone().into());
        places.paths = vec!["data".into()];
    })
    .unwrap();
    let whole = checkpoint(folder.path(), 1);
    for entry in fs::read_dir(&whole).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let secret = folder.path().as_os_str().as_encoded_bytes();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret));
    }
    let manifest = Checkpoint::open(&whole).unwrap().manifest().clone();
    assert_eq!(manifest.configuration["data"].as_str(), Some("…/people"));
    // The run's own folder, which nobody else can read, has it all.
    let text = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    assert!(text.contains(&data), "{text}");
}
