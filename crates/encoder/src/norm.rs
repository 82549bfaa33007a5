//! Batch normalisation under torch's names, for what is trained and for what is frozen.

use c10d::World;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Whose statistics batch normalisation uses while a stage trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchStatistics {
    /// Those of each rank's own batch, as DistributedDataParallel does. The stored ones are
    /// averaged over ranks after each step.
    #[default]
    Local,
    /// Those of all ranks' batches together, as one rank with all of them would have. Two
    /// messages a norm and pass, some hundreds a step: worth it for one or two pairs a rank.
    Sync,
    /// The stored running statistics, which stay as they are: for fine-tuning, and for
    /// batches too small to have statistics.
    Frozen,
}

impl BatchStatistics {
    /// The mode of a step on these ranks.
    pub fn mode(self, world: &World) -> Mode {
        match self {
            BatchStatistics::Sync => Mode::Synced(world.clone()),
            BatchStatistics::Local => Mode::Train,
            BatchStatistics::Frozen => Mode::Eval,
        }
    }
}

/// How batch normalisation sees the batch.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Stored statistics; nothing is updated.
    Eval,
    /// Statistics of this rank's batch; the stored ones follow.
    Train,
    /// Statistics of all ranks' batches together; the stored ones follow.
    Synced(World),
}

/// Batch normalisation (Ioffe & Szegedy 2015) of `[B, C]` or `[B, C, H, W]`, ε 1e-5, momentum 0.1.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

const MOMENTUM: f64 = 0.1;
const EPS: f64 = 1e-5;

impl BatchNorm {
    /// Scale 1, shift 0, stored mean 0 and variance 1.
    pub fn new(p: nn::Path, width: i64) -> Self {
        BatchNorm {
            weight: p.ones("weight", &[width]),
            bias: p.zeros("bias", &[width]),
            running_mean: p.zeros_no_train("running_mean", &[width]),
            running_var: p.ones_no_train("running_var", &[width]),
        }
    }

    /// Scale and shift, which are learnt.
    pub fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// Normalises as `mode` says.
    ///
    /// # Errors
    /// Another rank is lost; one value per channel in all has no variance (both in
    /// [`Mode::Synced`]).
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor, c10d::Error> {
        // The stored statistics have followed this batch already.
        let momentum = if c10d::torch::recomputing() { 0.0 } else { MOMENTUM };
        let training = match mode {
            Mode::Synced(world) if world.size() > 1 => {
                return c10d::sync_batch_norm(
                    x,
                    &self.weight,
                    &self.bias,
                    &self.running_mean,
                    &self.running_var,
                    momentum,
                    EPS,
                    world,
                );
            }
            Mode::Synced(_) | Mode::Train => true,
            Mode::Eval => false,
        };
        Ok(self.by_libtorch(x, training, momentum, true))
    }

    /// Normalises with the stored statistics where scale and shift do not learn: the batch
    /// never enters.
    pub fn frozen(&self, x: &Tensor) -> Tensor {
        if x.requires_grad() {
            return self.scale_and_shift(x);
        }
        self.by_libtorch(x, false, MOMENTUM, false)
    }

    fn by_libtorch(&self, x: &Tensor, training: bool, momentum: f64, cudnn: bool) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        x.batch_norm(weight, bias, mean, var, training, momentum, EPS, cudnn)
    }

    /// The same, where there is a backward pass: libtorch's batch norm would keep `x` for it,
    /// which, with nothing to learn here, it does not need.
    fn scale_and_shift(&self, x: &Tensor) -> Tensor {
        let shape: &[i64] = if x.dim() == 4 { &[-1, 1, 1] } else { &[-1] };
        let scale = &self.weight * (&self.running_var + EPS).rsqrt();
        let shift = &self.bias - &self.running_mean * &scale;
        (x * scale.view(shape)).g_add_(&shift.view(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Odd sizes, one channel, flat features; maps that do not vary.
    #[test]
    fn scale_and_shift_are_the_frozen_norm() {
        tch::manual_seed(2);
        let random = |shape: &[i64]| Tensor::rand(shape, (Kind::Double, Device::Cpu));
        for shape in [&[3, 5, 7, 3][..], &[2, 1, 1, 9], &[4, 6]] {
            let width = shape[1];
            let norm = BatchNorm {
                weight: random(&[width]) - 0.5,
                bias: random(&[width]) - 0.5,
                running_mean: random(&[width]) - 0.5,
                running_var: random(&[width]) * 3.0,
            };
            let direction = random(shape);
            for x in [random(shape), direction.ones_like()] {
                let x = x.set_requires_grad(true);
                let of = |y: Tensor| {
                    let along = (&y * &direction).sum(None);
                    [y.detach(), Tensor::run_backward(&[along], &[&x], false, false).remove(0)]
                };
                let (w, b) = (Some(&norm.weight), Some(&norm.bias));
                let (m, v) = (Some(&norm.running_mean), Some(&norm.running_var));
                let expected = of(x.batch_norm(w, b, m, v, false, 0.1, EPS, false));
                for (found, expected) in of(norm.frozen(&x)).iter().zip(&expected) {
                    let gap = (found - expected).abs().max().double_value(&[]);
                    assert!(gap < 1e-12, "{shape:?}: {gap:e}");
                }
            }
        }
    }
}
