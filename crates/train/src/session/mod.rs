//! What the loop works with: position, optimizers, logs and checkpoints of one run.

mod record;
mod start;

pub(crate) use record::told;

use crate::checkpoint::{Saver, Shelf};
use crate::lock::Lock;
use crate::metrics::{Line, Metrics, Timing};
use crate::pace::Pace;
use crate::position::{Course, Position};
use crate::preview::Previews;
use crate::progress::Progress;
use crate::spikes::Spikes;
use crate::standing::Standing;
use crate::tensorboard::TensorBoard;
use crate::trace::Trace;
use crate::verdicts::Verdicts;
use crate::{Config, Error, Losses, Optimizers, Places, Stage, StepInfo, Stop, Summary, mix};
use c10d::World;
use c10d::torch::Autocast;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tch::{Device, Tensor};

/// One run of one stage on this rank.
pub(crate) struct Session<'a> {
    config: &'a Config,
    world: &'a World,
    places: &'a Places,
    device: Device,
    saver: Saver<'a>,
    shelf: Shelf,
    course: Course,
    optimizers: Optimizers<'a>,
    rate: f64,
    /// Copies of the stage's buffers from before the step.
    buffers: Vec<Tensor>,
    /// Where the run stood before the step.
    before: Rc<Standing>,
    verdicts: Verdicts,
    spikes: Spikes,
    metrics: Metrics,
    /// Rank 0 only.
    board: Option<TensorBoard>,
    previews: Previews,
    progress: Progress,
    trace: Trace,
    pace: Pace,
    last: Option<Line>,
    /// What the last validation found.
    validation: BTreeMap<&'static str, f64>,
    resumed: Option<u64>,
    /// The newest checkpoint.
    saved: Option<PathBuf>,
    /// Why there is no newer one, if the last save failed.
    unsaved: Option<String>,
    /// Rank 0 only. Last, to be freed when nothing is written any more.
    _locks: Vec<Lock>,
}

/// What the ranks have agreed on at a step boundary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) stop: Option<Stop>,
    /// Whether a checkpoint is asked for, as it is before a stop.
    pub(crate) save: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn position(&self) -> Position {
        self.course.position()
    }

    /// Whether all steps of this run are done.
    pub(crate) fn done(&self) -> bool {
        self.course.done()
    }

    pub(crate) fn optimizers(&mut self) -> &mut Optimizers<'a> {
        &mut self.optimizers
    }

    /// Applies the run's precision to the forward passes of a step while it lives.
    pub(crate) fn precision(&self) -> Autocast {
        self.config.precision.enter(self.device)
    }

    pub(crate) fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    pub(crate) fn data_error(&self, problem: String) -> Error {
        let Position { epoch, batch, .. } = self.position();
        Error::Data { epoch, batch, problem }
    }

    /// Sets the learning rate and tells the step where it stands.
    pub(crate) fn begin_step<S: Stage>(&mut self, stage: &S) -> Result<StepInfo, Error> {
        self.before = Rc::new(Standing::now(self.position(), self.device)?);
        let Position { step, epoch, batch, .. } = self.position();
        self.rate = self.config.rate(step, self.course.total());
        self.optimizers.begin_step(self.rate);
        if self.places.spoilt_steps.contains(&step) {
            self.optimizers.spoil();
        }
        self.buffers = stage.buffers().iter().map(|buffer| buffer.detach().copy()).collect();
        let due = |every: u64| every > 0 && step.is_multiple_of(every);
        Ok(StepInfo {
            epoch,
            batch,
            step,
            total: self.course.total(),
            seed: mix(self.config.seed, step),
            log_due: due(self.config.log_every),
            preview_due: due(self.config.previews()),
        })
    }

    /// Averages buffers over ranks, or takes them back if the step was skipped; keeps
    /// the losses for the log and moves on.
    pub(crate) fn end_step<S: Stage>(
        &mut self,
        stage: &S,
        batch: &S::Batch,
        losses: Losses,
        info: &StepInfo,
        elapsed: Duration,
    ) -> Result<(), Error> {
        let left_out = self.optimizers.left_out();
        let buffers = stage.buffers();
        if self.world.size() > 1 && !buffers.is_empty() {
            self.world.all_reduce_mean(&buffers)?;
        }
        if !left_out.is_empty() {
            let flags: Vec<&Tensor> = left_out.iter().map(|(_, flag)| flag).collect();
            let any = Tensor::f_stack(&flags, 0)?.f_max()?;
            c10d::torch::restore_if(&any, &buffers, &self.buffers)?;
        }
        // A private run knows none by name, and so cannot tell of them.
        let items = if self.config.private { Vec::new() } else { S::items(batch) };
        let items: Rc<[String]> = items.into();
        self.verdicts.push(info.step, left_out, items.clone(), self.before.clone())?;
        let images = S::images_per_batch(batch) * self.world.size();
        let timing = Timing {
            lr: self.rate,
            seconds: elapsed.as_secs_f64(),
            images,
            of_batches: self.course.in_epoch(),
        };
        self.metrics.push(info, losses, self.optimizers.grad_norms(), &timing, items);
        self.course.advance();
        self.progress.step(self.position().step);
        Ok(())
    }

    /// Every `validate_every` steps, and at the end of the run; never with 0.
    pub(crate) fn validation_due(&self) -> bool {
        let every = self.config.validate_every;
        every > 0 && (self.position().step.is_multiple_of(every) || self.done())
    }

    /// Every `checkpoint_every` steps (0: at the end of each epoch), at the end of the run, and
    /// before it stops because of bad steps.
    pub(crate) fn checkpoint_due(&self) -> bool {
        let every = self.config.checkpoint_every;
        let due = match every {
            0 => self.position().batch == 0,
            every => self.position().step.is_multiple_of(every),
        };
        due || self.done() || self.verdicts.counts().in_a_row >= self.config.max_bad_steps
    }

    /// Ends the run if too many steps in a row were skipped.
    pub(crate) fn check_bad_steps(&mut self) -> Result<(), Error> {
        let count = self.verdicts.counts().in_a_row;
        if count < self.config.max_bad_steps {
            return Ok(());
        }
        self.settle()?;
        let (step, groups) = self.verdicts.last();
        Err(Error::NonFinite {
            step,
            count,
            groups: groups.join(", "),
            saved: match &self.saved {
                Some(path) => path.display().to_string(),
                None => "the beginning".into(),
            },
        })
    }

    /// Waits for the last save, and gives the log a last try.
    ///
    /// # Errors
    /// That it failed.
    pub(crate) fn finish(mut self, stop: Option<Stop>) -> Result<Summary, Error> {
        self.settle()?;
        let stopped = stop.filter(|_| !self.done());
        let events = self.board.as_mut().map_or(0, TensorBoard::finish);
        let lost = self.metrics.finish() + events + self.previews.lost() + self.trace.lost();
        if lost > 0 {
            tracing::error!("{lost} records of the run's log could not be written and are lost");
        }
        if let Some(problem) = self.unsaved {
            let left = match &self.saved {
                Some(path) => format!("the newest there is: {}", path.display()),
                None => "there is none before it".into(),
            };
            return Err(Error::Unsaved { step: self.course.position().step, problem, left });
        }
        let named = |numbers: BTreeMap<&str, f64>| {
            numbers.into_iter().map(|(name, x)| (name.to_string(), x)).collect()
        };
        let losses = self.last.map(|line| line.losses).unwrap_or_default();
        Ok(Summary {
            steps: self.course.position().step,
            resumed: self.resumed,
            bad_steps: self.verdicts.counts().total,
            stopped,
            finished: self.course.finished(),
            checkpoint: self.saved,
            lost,
            losses: named(losses),
            validation: named(self.validation),
        })
    }
}
