#![allow(clippy::unwrap_used)]
use super::*;
use crate::commands::protect::record;
use crate::commands::protect::report::Seconds;

fn open(folder: &Path, key: &Key) -> Record {
    Record::open(Folder::at(folder), key.clone()).unwrap()
}

fn report(output: &str, status: Status) -> PhotoReport {
    PhotoReport {
        input: "in/a.png".into(),
        output: Some(output.into()),
        status,
        why: None,
        faces: Vec::new(),
        seconds: Seconds::default(),
        stamp: "stamp".into(),
    }
}

fn write(record: &mut Record, output: &str, status: Status) {
    record.writing(Path::new(output), b"result").unwrap();
    std::fs::write(record.folder.path().join(output), "result").unwrap();
    record.done(&report(output, status)).unwrap();
}

#[test]
fn only_what_was_written_here_and_is_unchanged_is_a_result() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::random().unwrap());
    let at = |name: &str| folder.path().join(name);
    write(&mut open(folder.path(), &key), "a.png", Status::Protected);
    let found = |key: &Key| {
        let record = open(folder.path(), key);
        let found = record.find(Path::new("in/a.png"), "stamp").is_some();
        assert_eq!(found, record.wrote(Path::new("a.png")));
        found
    };
    assert!(found(&key));
    assert!(!found(&Key::random().unwrap()), "another user's record");
    let record = open(folder.path(), &key);
    assert!(record.find(Path::new("in/a.png"), "other").is_none());
    assert!(record.find(Path::new("in/b.png"), "stamp").is_none());
    // The line says another thing than was signed.
    let text = std::fs::read_to_string(at(NAME)).unwrap();
    std::fs::write(at(NAME), text.replace("in/a.png", "in/b.png")).unwrap();
    assert!(open(folder.path(), &key).find(Path::new("in/b.png"), "stamp").is_none());
    std::fs::write(at(NAME), &text).unwrap();
    // Another content, a link to the content, none.
    std::fs::write(at("a.png"), "original").unwrap();
    assert!(!found(&key));
    std::fs::write(at("b.png"), "result").unwrap();
    std::fs::remove_file(at("a.png")).unwrap();
    std::os::unix::fs::symlink("b.png", at("a.png")).unwrap();
    assert!(!found(&key));
    std::fs::remove_file(at("a.png")).unwrap();
    assert!(!found(&key));
}

#[test]
fn a_file_that_was_announced_and_not_recorded_as_done_may_be_replaced() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::random().unwrap());
    let mut record = open(folder.path(), &key);
    record.writing(Path::new("a.png"), b"result").unwrap();
    std::fs::write(folder.path().join("a.png"), "result").unwrap();
    drop(record);
    let record = open(folder.path(), &key);
    assert!(record.wrote(Path::new("a.png")));
    assert!(record.find(Path::new("in/a.png"), "stamp").is_none());
}

#[test]
fn names_that_are_not_utf_8_come_back() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::random().unwrap());
    let name = path(b"a\xff\n.png".to_vec());
    let mut done = report("", Status::Protected);
    (done.input, done.output) = (Path::new("in").join(&name), Some(name.clone()));
    let mut record = open(folder.path(), &key);
    record.writing(&name, b"result").unwrap();
    std::fs::write(folder.path().join(&name), "result").unwrap();
    record.done(&done).unwrap();
    let record = open(folder.path(), &key);
    assert!(record.wrote(&name) && !record.wrote(Path::new("a\\xff\\n.png")));
    assert_eq!(record.find(&done.input, "stamp"), Some(&done));
}

#[test]
fn only_an_unchanged_result_is_withdrawn() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::random().unwrap());
    let outer = folder.path().join("outer.png");
    std::fs::write(&outer, "result").unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let mut record = open(&out, &key);
    write(&mut record, "a.png", Status::Unprotected);
    std::fs::write(out.join("a.png"), "mine").unwrap();
    record.withdraw(Path::new("in/a.png")).unwrap();
    assert_eq!(std::fs::read(out.join("a.png")).unwrap(), b"mine");
    std::fs::write(out.join("a.png"), "result").unwrap();
    record.withdraw(Path::new("in/a.png")).unwrap();
    assert!(!out.join("a.png").exists());
    // Even a line with a good code leads nowhere else.
    for output in ["../outer.png", outer.to_str().unwrap()] {
        record.writing(Path::new(output), b"result").unwrap();
        record.done(&report(output, Status::Unprotected)).unwrap();
        assert!(!record.wrote(Path::new(output)));
        record.withdraw(Path::new("in/a.png")).unwrap();
        assert!(outer.exists(), "{output}");
    }
}

#[test]
fn lines_that_say_nothing_do_no_harm() {
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::random().unwrap());
    write(&mut open(folder.path(), &key), "a.png", Status::Protected);
    let text = std::fs::read_to_string(folder.path().join(NAME)).unwrap();
    let old = serde_json::to_string(&report("/etc/passwd", Status::Protected)).unwrap();
    for torn in ["{\"code\":\"", "\0\u{1b}[2J\n", "{}\n", "[[[[\n", &format!("{old}\n")] {
        std::fs::write(folder.path().join(NAME), format!("{text}{torn}")).unwrap();
        let mut record = open(folder.path(), &key);
        assert!(record.find(Path::new("in/a.png"), "stamp").is_some(), "{torn:?}");
        assert!(!record.wrote(Path::new("/etc/passwd")));
        write(&mut record, "b.png", Status::Protected);
        assert!(open(folder.path(), &key).wrote(Path::new("b.png")), "{torn:?}");
    }
}

#[path = "../../../../../fuzz/checks/record.rs"]
mod corpus;

/// Every input of the fuzzer's corpus through the same checks, without the fuzzer.
#[test]
fn no_path_of_a_record_leads_out_of_the_folder() {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/record");
    let files: Vec<_> = std::fs::read_dir(inputs).unwrap().collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.unwrap().path();
        // Shown only when the check fails.
        println!("{}", path.display());
        corpus::check(&std::fs::read(path).unwrap());
    }
}
