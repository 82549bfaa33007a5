//! A ledger that lies in the folder of results: what is accepted adds up and comes back the same;
//! what is not is left as it was.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dpp::Ledger;

pub(crate) fn check(bytes: &[u8]) {
    let path = scratch("ledger.jsonl");
    write(&path, bytes);
    let ledger = match Ledger::open(&path) {
        Ok(ledger) => ledger,
        Err(problem) => {
            let problem = problem.to_string();
            assert!(!problem.contains(['\n', '\u{1b}']), "not one line: {problem:?}");
            return assert!(std::fs::read(&path).is_ok_and(|now| now == bytes), "it was changed");
        }
    };
    let entries = ledger.entries().to_vec();
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!((lines, ledger.entries().len()), (entries.len(), lines));
    let subjects: BTreeSet<&str> = entries.iter().map(|entry| entry.subject.as_str()).collect();
    let mut photos = 0;
    for subject in subjects {
        let spent = ledger.spent(subject);
        photos += spent.photos;
        assert!((1..=spent.photos).contains(&spent.releases) && spent.unproven <= spent.releases);
        match spent.total() {
            Some(total) => assert!(spent.unproven == 0 && total.get() >= 0.0, "{total:?}"),
            None => assert!(spent.unproven > 0),
        }
    }
    assert_eq!(photos, entries.len());
    drop(ledger);

    let text: String = entries.iter().map(|entry| json(entry) + "\n").collect();
    write(&path, text.as_bytes());
    let again = Ledger::open(&path).map(|ledger| ledger.entries().to_vec());
    assert!(again.as_ref().is_ok_and(|again| *again == entries), "{again:?}");
}

fn json(entry: &dpp::Entry) -> String {
    let text = serde_json::to_string(entry);
    assert!(text.is_ok(), "{text:?}");
    text.unwrap_or_default()
}

/// A file of this process's own.
fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("faceshield-fuzz-{}", std::process::id()));
    assert!(std::fs::create_dir_all(&folder).is_ok());
    folder.join(name)
}

fn write(path: &std::path::Path, bytes: &[u8]) {
    assert!(std::fs::write(path, bytes).is_ok());
}
