//! How a painted face is pulled by its losses, and what is noted of them.

use tch::Tensor;
use train::{Losses, Term};

use crate::Error;

/// A painted face and what its losses pull it to. Each loss goes back to the face as soon as
/// it is known, so that only one of the graphs behind the face is held at a time.
pub(crate) struct Painted<'a> {
    painted: &'a Tensor,
    face: Tensor,
    total: Tensor,
}

impl<'a> Painted<'a> {
    pub(crate) fn new(painted: &'a Tensor) -> Self {
        let face = painted.detach().set_requires_grad(true);
        let total = Tensor::zeros([0i64; 0], (face.kind(), face.device()));
        Painted { painted, face, total }
    }

    /// The face, at which the way back ends.
    pub(crate) fn face(&self) -> Tensor {
        self.face.shallow_clone()
    }

    pub(crate) fn learn(&mut self, loss: Tensor) -> Result<(), Error> {
        self.total += loss.detach();
        if loss.requires_grad() {
            c10d::backward(&loss)?;
        }
        Ok(())
    }

    /// The sum of all losses, its gradient that of what painted the face.
    pub(crate) fn loss(&self) -> Tensor {
        let pull = self.face.grad();
        let pull = if pull.defined() { pull } else { self.face.zeros_like() };
        let surrogate = (self.painted * pull).sum(self.face.kind());
        &surrogate - surrogate.detach() + &self.total
    }
}

/// The losses of a step, noted as they are computed.
#[derive(Default)]
pub(crate) struct Report(pub(crate) Losses);

impl Report {
    /// Notes a term and gives it back weighted. A term that counts for nothing
    /// is cut off its graph.
    pub(crate) fn term(&mut self, name: &'static str, weight: f64, value: Tensor) -> Tensor {
        self.0.terms.push(Term { name, weight, value: value.detach() });
        if weight == 0.0 { value.detach() * 0.0 } else { value * weight }
    }

    /// Notes a term that has been learnt from already.
    pub(crate) fn note(&mut self, name: &'static str, weight: f64, value: Tensor) {
        self.0.terms.push(Term { name, weight, value });
    }

    pub(crate) fn total(&mut self, name: &'static str, value: Tensor) -> Tensor {
        self.0.totals.push((name, value.detach()));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn losses_one_by_one_pull_like_their_sum() {
        tch::manual_seed(9);
        let random = || Tensor::randn([2, 3], (Kind::Double, Device::Cpu));
        let (w, x) = (random().set_requires_grad(true), random());
        let losses = |y: &Tensor| [y.square().sum(None), (y * 3.0).sin().sum(None)];
        let gradient = |loss: Tensor| Tensor::run_backward(&[loss], &[&w], false, false).remove(0);

        let y = &w * &x;
        let [a, b] = losses(&y);
        let sum = a + b;
        let expected = (sum.double_value(&[]), gradient(sum));

        let y = &w * &x;
        let mut painted = Painted::new(&y);
        for i in 0..2 {
            let [a, b] = losses(&painted.face());
            painted.learn([a, b][i].shallow_clone()).unwrap();
        }
        let loss = painted.loss();
        assert!((loss.double_value(&[]) - expected.0).abs() < 1e-12);
        assert!((gradient(loss) - expected.1).abs().max().double_value(&[]) < 1e-12);
    }
}
