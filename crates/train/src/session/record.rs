//! What a run leaves behind: lines, events, pictures, checkpoints.

use super::{Asked, Session};
use crate::checkpoint::{Contents, FORMAT, Manifest, Outcome, without_paths};
use crate::metrics::Line;
use crate::position::Position;
use crate::standing::Standing;
use crate::{Config, Error, Requests, Stage, StepInfo, Stop, agree, preview};
use c10d::Doing;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

impl Session<'_> {
    /// Writes all pending steps to `metrics.jsonl`, those that are due to TensorBoard.
    pub(crate) fn log<S: Stage>(&mut self, stage: &S) -> Result<(), Error> {
        // The losses are read from the device now in any case.
        self.verdicts.settle()?;
        let bad = self.verdicts.take_bad();
        for line in self.metrics.flush(self.world)? {
            if !bad.contains(&line.step) {
                for spike in self.spikes.look(&line) {
                    tracing::warn!("{spike}{}", told(&line.items));
                }
            }
            if line.log_due {
                if let Some(board) = &mut self.board {
                    board.scalars(line.step, line.wall_time, scalars(stage, &line));
                }
                self.progress.logged(&line);
            }
            self.last = Some(line);
        }
        if let Some(board) = &mut self.board {
            board.flush();
        }
        Ok(())
    }

    /// All ranks together: how good the state of training is. The numbers go to the line of
    /// the step that has just been done.
    pub(crate) fn validate<S: Stage>(
        &mut self,
        stage: &mut S,
        info: &StepInfo,
    ) -> Result<(), Error> {
        let found = {
            let _guard = tch::no_grad_guard();
            let _precision = self.precision();
            stage.validate(self.world)
        };
        let failed = |source| Error::Stage { stage: stage.name(), step: info.step, source };
        let found = agree::all_ok(self.world, "validate", found.map_err(failed))?;
        if found.is_empty() {
            return Ok(());
        }
        self.validation = found.into_iter().collect();
        self.metrics.validated(&self.validation);
        let numbers: Vec<String> =
            self.validation.iter().map(|(name, x)| format!("{name} {x:.4}")).collect();
        self.progress.say(&format!(
            "{} validated after step {}: {}",
            stage.name(),
            info.step,
            numbers.join("  ")
        ));
        if let Some(board) = &mut self.board {
            let tagged = self.validation.iter().map(|(name, x)| (format!("Validation/{name}"), *x));
            board.scalars(info.step, crate::metrics::now(), tagged);
            board.flush();
        }
        Ok(())
    }

    /// Rank 0: one picture, as a file and in TensorBoard.
    pub(crate) fn preview<S: Stage>(
        &mut self,
        stage: &mut S,
        batch: &S::Batch,
        info: &StepInfo,
    ) -> Result<(), Error> {
        let name = stage.name();
        let image = {
            let _guard = tch::no_grad_guard();
            stage.preview(batch)
        };
        let failed = |source| Error::Stage { stage: name, step: info.step, source };
        if let Some(image) = image.map_err(failed)? {
            let picture = preview::encode(&image)?;
            self.previews.save(name, info.step, &picture);
            if let Some(board) = &mut self.board {
                board.picture(info.step, &format!("Preview/{name}"), &picture);
                board.flush();
            }
        }
        Ok(())
    }

    /// Saves a checkpoint, all ranks together. What the step waits for is the log and a copy
    /// in memory; with `background_saves` off, also the disk.
    ///
    /// It stands where the current parameters were reached: before the last steps if nothing
    /// was updated in these, for a run that goes on from it (with a lower rate, say) to see
    /// their data again. Where that has been saved already, there is nothing to do.
    pub(crate) fn save<S: Stage>(&mut self, stage: &S) -> Result<(), Error> {
        let began = Instant::now();
        self.log(stage)?;
        self.metrics.sync();
        let (standing, bad_steps) = match self.verdicts.unchanged() {
            Some(before) => before,
            None => (Rc::new(Standing::now(self.position(), self.device)?), self.verdicts.counts()),
        };
        let Position { step, epoch, batch, dealt } = standing.position;
        self.world.stands(step, Doing::Saving);
        if self.saver.saving() == Some(step) || self.saved == Some(self.saver.path(step)) {
            return Ok(());
        }
        let manifest = Manifest {
            format: FORMAT,
            stage: stage.name().into(),
            step,
            epoch,
            batch,
            dealt,
            world_size: self.world.size(),
            batch_size: self.config.batch_size,
            seed: self.config.seed,
            fidelity: self.places.fidelity.clone(),
            bad_steps,
            configuration: without_paths(self.places.configuration.clone(), &self.places.paths),
            files: BTreeMap::new(),
            checksum: String::new(),
        };
        let mut metadata = self.places.metadata.clone();
        metadata.insert("stage".into(), manifest.stage.clone());
        metadata.insert("step".into(), step.to_string());
        metadata.insert("fidelity".into(), manifest.fidelity.clone());
        let mut own = standing.state()?;
        own.extend(self.spikes.state()?);
        let contents = Contents::gather(manifest, metadata, stage, &self.optimizers, own);
        for outcome in self.saver.start(contents)? {
            self.note(outcome);
        }
        if self.saver.saving().is_some() {
            self.pace.save_begins(began);
        }
        if self.config.background_saves { Ok(()) } else { self.settle() }
    }

    /// All ranks at a step boundary: what any of them has been asked for, and whether a save
    /// that is under way can go on to its next part.
    pub(crate) fn meet(&mut self, requests: &Requests) -> Result<Asked, Error> {
        self.pace.boundary(Instant::now());
        let late = requests.deadline().is_some_and(|deadline| self.pace.out_of_time(deadline));
        let mine = [requests.stop_asked(), late, requests.take_save(), self.saver.busy()];
        let [stop, late, save, busy] = agree::any(self.world, mine)?;
        if !busy && let Some(outcome) = self.saver.advance()? {
            self.note(outcome);
        }
        let stop = if stop { Some(Stop::Asked) } else { late.then_some(Stop::OutOfTime) };
        Ok(Asked { stop, save: save || stop.is_some() })
    }

    /// Waits for a save that is under way.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        if let Some(outcome) = self.saver.settle()? {
            self.note(outcome);
        }
        Ok(())
    }

    /// A disk that fails does not end the run: it may have room again at the next save.
    fn note(&mut self, outcome: Outcome) {
        self.pace.save_ends(Instant::now());
        match outcome {
            Outcome::Saved { step, path } => {
                self.shelf.trust(step);
                let Config { keep_checkpoints, keep_every, .. } = *self.config;
                if self.world.is_main()
                    && let Err(error) = self.shelf.keep(keep_checkpoints, keep_every)
                {
                    tracing::error!("{error}: old checkpoints stay; the run goes on");
                }
                self.progress.say(&format!("saved {}", path.display()));
                if self.world.is_main()
                    && let Err(error) = self.world.note_progress(&path.display().to_string())
                {
                    tracing::warn!("{error}: the launcher does not know of this checkpoint");
                }
                self.unsaved = None;
                self.saved = Some(path);
            }
            Outcome::Failed(error) => {
                tracing::error!("{error}: no checkpoint was saved; the run goes on");
                self.unsaved = Some(error.to_string());
            }
        }
    }
}

/// What this rank learnt from, for a line of the log. Nothing of a private run, whose items have
/// no names.
pub(crate) fn told(items: &[String]) -> String {
    match items {
        [] => String::new(),
        items => format!("; this rank's items: {}", files::escape(&items.join(", "))),
    }
}

/// TensorBoard's numbers of a step: the published tags, every term, and how it went.
fn scalars<S: Stage>(stage: &S, line: &Line) -> Vec<(String, f64)> {
    let name = stage.name();
    let published = stage.scalars().iter();
    let mut scalars: Vec<_> = published
        .filter_map(|(tag, loss)| Some((tag.to_string(), *line.losses.get(loss)?)))
        .collect();
    scalars.extend(line.terms.iter().map(|term| (format!("Term/{term}"), line.losses[term])));
    scalars
        .extend(line.grad_norm.iter().map(|(group, x)| (format!("GradNorm/{name}_{group}"), *x)));
    scalars.push((format!("Rate/{name}"), line.lr));
    scalars.push((format!("ImagesPerSecond/{name}"), line.images_per_second));
    scalars
}
