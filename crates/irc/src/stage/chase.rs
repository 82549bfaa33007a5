//! The recogniser that learns along, to know people in the faces painted of them, and the
//! generator's way out.

use c10d::torch::range;
use encoder::FrozenEncoder;
use tch::Tensor;
use train::{BoxError, Optimizers};

use super::IrcStage;
use super::seen::Seen;
use crate::adversary::Adversary;
use crate::condition::Condition;
use crate::painted::{Painted, Report};
use crate::{Error, losses};

/// Its group, and the beginning of its weights' names.
pub(super) const ADVERSARY: &str = "adversary";

/// The adversary, and who sources and targets are to it: [B, D] each.
type Chased<'a> = (&'a Adversary, (Tensor, Tensor));

impl IrcStage {
    /// A recogniser that goes on learning, to know the target in the painted face, and from now on
    /// is part of the state; none where its term counts for nothing.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn pursued_by(mut self, origin: FrozenEncoder) -> Result<Self, Error> {
        if self.config.loss.adversary != 0.0 {
            self.adversary = Some(Adversary::new(&self.store, ADVERSARY, origin)?);
        }
        Ok(self)
    }

    /// The adversary learns from views of targets and of painted faces, once there are faces of
    /// another identity.
    pub(super) fn chase(
        &self,
        seen: &Seen,
        condition: &Condition,
        (real, fake): (&Tensor, &Tensor),
        optim: &mut Optimizers<'_>,
        report: &mut Report,
    ) -> Result<Option<Chased<'_>>, BoxError> {
        let Some(adversary) = self.adversary.as_ref().filter(|_| condition.risen > 0.0) else {
            return Ok(None);
        };
        let who = (adversary.truth(&seen.source), adversary.truth(&seen.target));
        optim.minimize(ADVERSARY, || {
            let _range = range(c"losses");
            let saw = (adversary.guess(real)?, adversary.guess(fake)?);
            let others = 1.0 - &condition.own;
            let loss = losses::pursuit((&saw.0, &saw.1), (&who.0, &who.1), &others);
            Ok(report.total("Loss_adversary", loss))
        })?;
        Ok(Some((adversary, who)))
    }

    /// What the generator learns from it.
    pub(super) fn flee(
        &self,
        chased: Option<&Chased<'_>>,
        condition: &Condition,
        viewed: &mut Painted<'_>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Some((adversary, (e_s, e_t))) = chased else { return Ok(()) };
        let guess = adversary.guess(&viewed.face())?;
        let flight = losses::push(&guess, (e_s, e_t), &(1.0 - &condition.own));
        let weight = self.config.loss.adversary * condition.risen;
        viewed.learn(report.term("adversary", weight, flight))
    }
}
