//! TensorBoard's event files: scalars and pictures, written by rank 0.
//!
//! Each stage writes files of its own (their names end in the stage's), so that two
//! stages in one folder do not disturb each other. A run that resumes at step N first
//! removes this stage's events from step N on from the files, so that no reader sees a
//! step twice. A TensorBoard that is already running has those events in memory; a
//! SessionLog START tells it to forget them. That message is about every file of the
//! folder, so it is written only while no other stage has files there.

mod messages;
mod record;

use crate::Error;
use crate::append::Appender;
use crate::preview::Picture;
use files::Folder;
use messages::{Content, Event, Image, SessionLog, Summary, Value, What};
use prost::Message;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

const PREFIX: &str = "events.out.tfevents.";
const SESSION_START: i32 = 1;

/// The open event file of one stage.
pub(crate) struct TensorBoard {
    file: Appender,
}

impl TensorBoard {
    /// Opens a new file for a run of `stage` that starts at step `from`.
    pub(crate) fn open(run: &Folder, stage: &str, from: u64) -> Result<Self, Error> {
        let mut alone = true;
        for name in event_files(run)? {
            match of_stage(&name, stage) {
                true => drop_events(run, &name, from as i64)?,
                false => alone = false,
            }
        }
        let time = crate::metrics::now();
        // Readers take the files of a folder in the order of their names.
        let name = format!("{PREFIX}{time:017.6}.{}.{stage}", std::process::id());
        let version = record(0, time, What::FileVersion("brain.Event:2".into()));
        let mut new = Self { file: Appender::open(run, &name, version)? };
        if from > 0 && alone {
            let start = SessionLog { status: SESSION_START };
            new.file.push(record(from, time, What::SessionLog(start)));
        }
        Ok(new)
    }

    /// Adds the scalars of one step.
    pub(crate) fn scalars(
        &mut self,
        step: u64,
        wall_time: f64,
        scalars: impl IntoIterator<Item = (String, f64)>,
    ) {
        let value = |(tag, x)| Value { tag, content: Some(Content::Scalar(x as f32)) };
        let value = scalars.into_iter().map(value).collect();
        self.file.push(record(step, wall_time, What::Summary(Summary { value })));
    }

    /// Adds a picture.
    pub(crate) fn picture(&mut self, step: u64, tag: &str, picture: &Picture) {
        let image = Image {
            height: picture.height as i32,
            width: picture.width as i32,
            colorspace: 3,
            encoded: picture.png.clone(),
        };
        let value = vec![Value { tag: tag.into(), content: Some(Content::Image(image)) }];
        self.file.push(record(step, crate::metrics::now(), What::Summary(Summary { value })));
    }

    /// Hands everything to the system, for readers to see.
    pub(crate) fn flush(&mut self) {
        self.file.flush();
    }

    /// Events that did not reach the file, after a last try.
    pub(crate) fn finish(&mut self) -> u64 {
        self.file.finish()
    }
}

/// An event as it stands in the file.
fn record(step: u64, wall_time: f64, what: What) -> Vec<u8> {
    let event = Event { wall_time, step: step as i64, what: Some(what) };
    record::frame(&event.encode_to_vec())
}

/// Names of the event files in a run's folder, sorted.
fn event_files(run: &Folder) -> Result<Vec<String>, Error> {
    let names = run.names().map_err(Error::file("list", run.path()))?;
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    Ok(names.filter(|name| name.starts_with(PREFIX) && !name.ends_with(".tmp")).collect())
}

fn of_stage(name: &str, stage: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == stage)
}

/// Refuses what stands where event files of `stage` are rewritten: links and the like.
///
/// # Errors
/// Names the first.
pub(crate) fn check(run: &Folder, stage: &str) -> Result<(), Error> {
    for name in event_files(run)?.iter().filter(|name| of_stage(name, stage)) {
        run.has_file(name).map_err(Error::file("use", run.path().join(name)))?;
    }
    Ok(())
}

/// Rewrites an event file without the events from step `from` on and without what a
/// crash has left of its last record. A file with nothing but its version is deleted.
fn drop_events(run: &Folder, name: &str, from: i64) -> Result<(), Error> {
    let path = run.path().join(name);
    let (read, write) = (Error::file("read", &path), Error::file("write", &path));
    let copy = || -> std::io::Result<_> {
        let old = run.open(name)?;
        let length = old.metadata()?.len();
        let (mut old, mut replacement) = (BufReader::new(old), run.replace(name)?);
        let mut new = BufWriter::new(replacement.file());
        let (mut summaries, mut kept) = (0, 0);
        while let Some(data) = record::read(&mut old)? {
            let stays = match Event::decode(&data[..]).map(|event| (event.step, event.what)) {
                Ok((_, Some(What::FileVersion(_)))) => true,
                Ok((step, Some(What::Summary(_)))) => {
                    summaries += usize::from(step < from);
                    step < from
                }
                _ => false,
            };
            if stays {
                let record = record::frame(&data);
                new.write_all(&record)?;
                kept += record.len() as u64;
            }
        }
        new.flush()?;
        drop(new);
        Ok((replacement, summaries, kept == length))
    };
    let (replacement, summaries, whole) = copy().map_err(read)?;
    match (summaries, whole) {
        (0, _) => run.remove(name).map_err(Error::file("remove", &path)),
        (_, true) => Ok(()),
        (_, false) => replacement.commit().map_err(write),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    /// (stage's extension, step, tag) of all events in a folder, in reading order.
    fn read(run: &Folder) -> Vec<(String, i64, String)> {
        let mut seen = Vec::new();
        for name in event_files(run).unwrap() {
            let stage = Path::new(&name).extension().unwrap().to_str().unwrap().to_string();
            let bytes = fs::read(run.path().join(name)).unwrap();
            let mut rest = &bytes[..];
            while let Some(data) = record::read(&mut rest).unwrap() {
                let event = Event::decode(&data[..]).unwrap();
                match event.what.unwrap() {
                    What::FileVersion(version) => assert_eq!(version, "brain.Event:2"),
                    What::SessionLog(_) => seen.push((stage.clone(), event.step, "START".into())),
                    What::Summary(summary) => {
                        for value in summary.value {
                            seen.push((stage.clone(), event.step, value.tag));
                        }
                    }
                }
            }
            assert!(rest.is_empty());
        }
        seen
    }

    fn write(folder: &Folder, stage: &str, steps: std::ops::Range<u64>) {
        let mut board = TensorBoard::open(folder, stage, steps.start).unwrap();
        for step in steps {
            board.scalars(step, 1.0, [("Loss/a".to_string(), step as f64)]);
        }
        assert_eq!(board.finish(), 0);
    }

    #[test]
    fn resuming_doubles_no_step_and_leaves_other_stages_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = &Folder::at(folder.path());
        write(folder, "fse", 0..4);
        // A crash in the middle of the last record.
        let path = folder.path().join(event_files(folder).unwrap().remove(0));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        write(folder, "fse", 2..4);
        let event = |stage: &str, step, tag: &str| (stage.to_string(), step, tag.to_string());
        let fse = vec![
            event("fse", 0, "Loss/a"),
            event("fse", 1, "Loss/a"),
            event("fse", 2, "START"),
            event("fse", 2, "Loss/a"),
            event("fse", 3, "Loss/a"),
        ];
        assert_eq!(read(folder), fse);

        write(folder, "irc", 0..2);
        write(folder, "irc", 1..2);
        let mut both = fse;
        both.extend([0, 1].map(|step| event("irc", step, "Loss/a")));
        assert_eq!(read(folder), both);
    }
}
