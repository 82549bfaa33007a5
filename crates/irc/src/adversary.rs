//! An attacker who learns while the generator does.

use encoder::{Encoder, FrozenEncoder};
use tch::{Tensor, nn};

use crate::{Error, Mode};

/// A recogniser that goes on learning, to know people in the faces painted of them: what hides a
/// person from recognisers that have never seen it done hides nobody from one who has.
#[derive(Debug)]
pub(crate) struct Adversary {
    /// What it starts as: says who is who.
    origin: FrozenEncoder,
    learner: Encoder,
}

impl Adversary {
    /// One that starts as `origin` and learns below `name` of `store`.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub(crate) fn new(
        store: &nn::VarStore,
        name: &str,
        origin: FrozenEncoder,
    ) -> Result<Adversary, Error> {
        let learner = Encoder::new(&(&store.root() / name), origin.config());
        let all = store.variables().into_iter().collect();
        weights::load_strict(&weights::select(&all, name), &origin.state(), "the adversary")?;
        Ok(Adversary { origin, learner })
    }

    /// Who faces [B, 3, S, S] are → [B, D] of unit length.
    pub(crate) fn truth(&self, faces: &Tensor) -> Tensor {
        tch::no_grad(|| self.origin.embed(faces))
    }

    /// Who it takes faces [B, 3, S, S] for → [B, D] of unit length. Norms keep their statistics.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub(crate) fn guess(&self, faces: &Tensor) -> Result<Tensor, Error> {
        let keep = |x: &Tensor| Ok(x.shallow_clone());
        Ok(self.learner.learn(&self.learner.prepare(faces), &Mode::Eval, &keep)?)
    }
}
