//! The loop.

use crate::position::Position;
use crate::session::Session;
use crate::{Config, Error, Places, Requests, Source, Stage, Summary};
use c10d::{Doing, World};
use std::time::Instant;

/// Trains `stage` on `source` until every epoch is done, `max_steps` is reached or
/// `requests` on any rank say otherwise; called by all ranks of `world` together.
///
/// Parameters of the stage must have been initialised from `config.seed` by the
/// caller; rank 0's are used. Afterwards the newest checkpoint holds the final state.
///
/// # Errors
/// Bad configuration or checkpoint, failing stage or data, `max_bad_steps` non-finite
/// steps in a row, a full disk, a lost rank: each as one line.
pub fn run<S: Stage, D: Source<Batch = S::Batch>>(
    stage: &mut S,
    source: &mut D,
    config: &Config,
    world: &World,
    places: &Places,
    requests: &Requests,
) -> Result<Summary, Error> {
    let batches_after = |dealt| source.batches_after(dealt);
    let mut session = Session::start(stage, batches_after, config, world, places)?;
    // Before the first step as well: a stage of several may begin when time is over.
    let mut stop = session.meet(requests)?.stop;

    while stop.is_none() && !session.done() {
        let Position { epoch, batch, dealt, .. } = session.position();
        let mut batches = source
            .epoch(epoch, dealt, batch)
            .map_err(|error| session.data_error(error.to_string()))?;

        while stop.is_none() && !session.done() && session.position().epoch == epoch {
            session.trace().begin_step()?;
            let started = Instant::now();
            let info = session.begin_step(stage)?;
            world.stands(info.step, Doing::Loading);
            let batch = match batches.next() {
                Some(batch) => batch.map_err(|error| session.data_error(error.to_string()))?,
                None => return Err(session.data_error("the epoch ended too early".into())),
            };
            world.stands(info.step, Doing::Training);
            let precision = session.precision();
            let losses = stage
                .step(&batch, session.optimizers(), &info)
                .map_err(|source| Error::Stage { stage: stage.name(), step: info.step, source })?;
            drop(precision);
            session.end_step(stage, &batch, losses, &info, started.elapsed())?;
            session.trace().end_step();

            if session.validation_due() {
                session.validate(stage, &info)?;
            }
            if info.log_due {
                session.log(stage)?;
            }
            if info.preview_due && world.is_main() {
                session.preview(stage, &batch, &info)?;
            }
            let asked = session.meet(requests)?;
            if asked.save || session.checkpoint_due() {
                session.save(stage)?;
            }
            session.check_bad_steps()?;
            stop = asked.stop;
        }
    }
    session.trace().finish();
    session.finish(stop)
}
