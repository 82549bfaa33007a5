//! What was released, photo by photo: a line of JSON each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use files::Folder;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{Guarantee, Origin, PerChord, PerRadian, PureEpsilon, Release};

/// Longest ledger that is read, in bytes: some 500,000 photos.
const MOST: u64 = 256 << 20;

/// One photo that shows a released identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The photo, as its owner calls it.
    pub photo: String,
    /// Whose identity it was; budgets add up per subject.
    pub subject: String,
    /// [`Release::id`]: photos that share one share its cost.
    pub release: String,
    /// The mechanism's name.
    pub mechanism: String,
    /// What it proves of one draw from secret random numbers.
    pub guarantee: Guarantee,
    /// Where its random numbers came from: with `seed` nothing is proven.
    pub randomness: Origin,
    /// The two in words.
    pub claim: String,
}

/// What a subject's releases amount to together. Budgets add up within a kind
/// (sequential composition), never across kinds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spent {
    /// Photos entered.
    pub photos: usize,
    /// Different draws they show.
    pub releases: usize,
    /// Of which nothing is proven: drawn by the heuristic, or from a seed.
    pub unproven: usize,
    /// Sum over releases with a pure guarantee.
    pub pure: PureEpsilon,
    /// Sum over releases with a guarantee per radian.
    pub per_radian: PerRadian,
    /// Sum over releases with a guarantee per unit of chord.
    pub per_chord: PerChord,
}

impl Spent {
    /// The pure ε that bounds all releases together, metric ones at the sphere's diameter;
    /// `None` when one of them is unproven, which leaves no bound.
    pub fn total(&self) -> Option<PureEpsilon> {
        let total = self.pure + self.per_radian.to_pure() + self.per_chord.to_pure();
        (self.unproven == 0).then_some(total)
    }
}

/// What can be wrong with a ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// It cannot be read or written.
    #[error("{}: {source}: no photo may be released that the ledger does not hold", path.display())]
    Io {
        /// The ledger.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system cannot keep two processes apart.
    #[error("{}: its file system has no locks ({source}), so that two runs could overwrite each other's entries: choose a folder on another one", path.display())]
    NoLocks {
        /// The ledger.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Two processes would not see each other's entries.
    #[error("{}: another process has it open: wait until that one is done", path.display())]
    InUse {
        /// The ledger.
        path: PathBuf,
    },
    /// A line is no entry.
    #[error("{}, line {line}: {reason}: mend or remove the line", path.display())]
    Line {
        /// The ledger.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// An open `ledger.jsonl`, locked until it is dropped. It names photos and people: keep it
/// as private as those.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    /// The first entry of each subject's release.
    releases: BTreeMap<(String, String), usize>,
}

impl Ledger {
    /// Opens the ledger at `path`, a new one if there is none. Only its owner can read it then.
    ///
    /// # Errors
    /// When it cannot be read and written, is a link, no regular file, another user's or longer
    /// than 256 MiB, is in use, or a line is no whole entry.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::Io { path: path.to_owned(), source };
        let folder = Folder::at(path.parent().unwrap_or(Path::new("")));
        let file = folder.append(path.file_name().unwrap_or_default()).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // SMB servers refuse a lock that is held with EACCES.
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => {
                return Err(LedgerError::InUse { path: path.to_owned() });
            }
            Err(error) => {
                return Err(LedgerError::NoLocks { path: path.to_owned(), source: error.into() });
            }
        }
        files::folder::make_private(&file).map_err(failed)?;
        let text = files::input::text_of(&file, MOST).map_err(failed)?;
        let (entries, releases) = (Vec::new(), BTreeMap::new());
        let mut ledger = Ledger { path: path.to_owned(), file, entries, releases };
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let broken = |reason: String| ledger.broken(index + 1, reason);
            if !line.ends_with('\n') {
                return Err(broken("it was not written to its end".to_owned()));
            }
            let entry = serde_json::from_str(line).map_err(|error| broken(error.to_string()))?;
            ledger.check(&entry)?;
            ledger.remember(entry);
        }
        Ok(ledger)
    }

    /// Enters that `photo` shows `release` of `subject`, and waits until the disk has it. Call
    /// it *before* the photo is given away, so that no photo is ever missing from the ledger.
    ///
    /// # Errors
    /// When the line cannot be written, or the release is known with another guarantee.
    pub fn record(
        &mut self,
        photo: &str,
        subject: &str,
        release: &Release,
    ) -> Result<(), LedgerError> {
        let entry = Entry {
            photo: photo.to_owned(),
            subject: subject.to_owned(),
            release: release.id().to_owned(),
            mechanism: release.mechanism().to_owned(),
            guarantee: release.guarantee(),
            randomness: release.randomness(),
            claim: release.claim(),
        };
        self.check(&entry)?;
        let mut line = serde_json::to_string(&entry)
            .map_err(|error| self.broken(self.entries.len() + 1, error.to_string()))?;
        line.push('\n');
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| LedgerError::Io { path: self.path.clone(), source })?;
        self.remember(entry);
        Ok(())
    }

    /// All entries, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What was spent on `subject`; all zero for one that was never entered.
    pub fn spent(&self, subject: &str) -> Spent {
        let mut spent = Spent {
            photos: self.entries.iter().filter(|entry| entry.subject == subject).count(),
            releases: 0,
            unproven: 0,
            pure: PureEpsilon::ZERO,
            per_radian: PerRadian::ZERO,
            per_chord: PerChord::ZERO,
        };
        for ((_, _), &first) in self.releases.iter().filter(|((of, _), _)| of == subject) {
            let entry = &self.entries[first];
            spent.releases += 1;
            match entry.guarantee {
                _ if entry.randomness == Origin::Seed => spent.unproven += 1,
                Guarantee::Heuristic { .. } => spent.unproven += 1,
                Guarantee::Pure { epsilon } => spent.pure = spent.pure + epsilon,
                Guarantee::PerRadian { rate } => spent.per_radian = spent.per_radian + rate,
                Guarantee::PerChord { rate } => spent.per_chord = spent.per_chord + rate,
            }
        }
        spent
    }

    /// That a release which is entered again is the same one.
    fn check(&self, entry: &Entry) -> Result<(), LedgerError> {
        let known = self.releases.get(&key(entry)).map(|&first| &self.entries[first]);
        let same = |known: &Entry| {
            (known.guarantee, known.randomness) == (entry.guarantee, entry.randomness)
        };
        match known {
            Some(known) if !same(known) => {
                let reason = format!("release {} is entered with another guarantee", entry.release);
                Err(self.broken(self.entries.len() + 1, reason))
            }
            _ => Ok(()),
        }
    }

    fn remember(&mut self, entry: Entry) {
        self.releases.entry(key(&entry)).or_insert(self.entries.len());
        self.entries.push(entry);
    }

    fn broken(&self, line: usize, reason: String) -> LedgerError {
        // It quotes the line, which may come from elsewhere.
        let reason = files::escape(&reason).to_string();
        LedgerError::Line { path: self.path.clone(), line, reason }
    }
}

fn key(entry: &Entry) -> (String, String) {
    (entry.subject.clone(), entry.release.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Angular, Cap, Mechanism, Purkayastha, Randomness, Vmf};

    fn draw(mechanism: &impl Mechanism) -> Release {
        Release::draw(mechanism, &[1.0, 0.0, 0.0], &mut Randomness::system()).unwrap()
    }

    fn cap(epsilon: f64) -> Cap {
        Cap::new(3, PureEpsilon::new(epsilon).unwrap()).unwrap()
    }

    #[test]
    fn an_album_costs_once_and_other_draws_add_up_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let album = draw(&cap(6.93));
        let radian = draw(&Purkayastha::metric(3, PerRadian::new(0.3).unwrap()).unwrap());
        let chord = draw(&Vmf::metric(3, PerChord::new(0.7).unwrap()).unwrap());
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.record("1.jpg", "anna", &album).unwrap();
        ledger.record("1.jpg", "ben", &draw(&cap(1.0))).unwrap();
        assert!(matches!(Ledger::open(&path), Err(LedgerError::InUse { .. })));
        drop(ledger);
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.record("2.jpg", "anna", &album).unwrap();
        ledger.record("3.jpg", "anna", &draw(&cap(0.07))).unwrap();
        ledger.record("4.jpg", "anna", &radian).unwrap();
        ledger.record("5.jpg", "anna", &chord).unwrap();
        let spent = ledger.spent("anna");
        let counts = (spent.photos, spent.releases, spent.unproven);
        assert_eq!(counts, (5, 4, 0));
        assert!((spent.pure.get() - 7.0).abs() < 1e-12);
        assert_eq!((spent.per_radian.get(), spent.per_chord.get()), (0.3, 0.7));
        let total = 7.0 + 0.3 * std::f64::consts::PI + 1.4;
        assert!((spent.total().unwrap().get() - total).abs() < 1e-12);
        assert_eq!(ledger.spent("ben").total().unwrap().get(), 1.0);
        assert_eq!(ledger.spent("nobody").total(), Some(PureEpsilon::ZERO));
        drop(ledger);
        assert_eq!(Ledger::open(&path).unwrap().spent("anna"), spent);
    }

    #[test]
    fn what_is_unproven_leaves_no_bound() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&folder.path().join("ledger.jsonl")).unwrap();
        let seeded = Release::draw(&cap(1.0), &[1.0, 0.0, 0.0], &mut Randomness::seeded(1));
        ledger.record("1.jpg", "anna", &seeded.unwrap()).unwrap();
        ledger.record("2.jpg", "ben", &draw(&Angular::new(1.0).unwrap())).unwrap();
        for subject in ["anna", "ben"] {
            let spent = ledger.spent(subject);
            assert_eq!((spent.unproven, spent.pure), (1, PureEpsilon::ZERO));
            assert_eq!(spent.total(), None);
        }
        assert_eq!(ledger.entries()[0].claim, Origin::SEED_CLAIM);
    }

    #[test]
    fn a_broken_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        Ledger::open(&path).unwrap().record("1.jpg", "anna", &draw(&cap(1.0))).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        let other = whole.replace("\"epsilon\":1.0", "\"epsilon\":0.5");
        let (cut, extra) = (&whole[..20], whole.replace("{\"photo", "{\"x\":1,\"photo"));
        for second in [cut, "{}\n", &extra, &other, &whole.replace("1.0", "-1.0")] {
            std::fs::write(&path, format!("{whole}{second}")).unwrap();
            let error = Ledger::open(&path).unwrap_err().to_string();
            assert!(error.contains("ledger.jsonl, line 2: "), "{second}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
