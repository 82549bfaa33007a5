//! What one group's updates remember from step to step, and how they are made.

use crate::config::Optimizer;
use crate::{Config, Error};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// Adam's ε, PyTorch's default.
const EPSILON: f64 = 1e-8;

/// The rule of a group's updates with its state: one entry per parameter in each list.
pub(super) enum Rule {
    Adam { betas: (f64, f64), exp_avg: Vec<Tensor>, exp_avg_sq: Vec<Tensor>, steps: Vec<Tensor> },
    Sgd { momentum: f64, nesterov: bool, buffers: Vec<Tensor> },
}

impl Rule {
    /// The configured rule at its start: all state 0.
    pub(super) fn new(
        config: &Config,
        betas: (f64, f64),
        parameters: &[Tensor],
    ) -> Result<Self, Error> {
        let zeros = || -> Result<Vec<Tensor>, Error> {
            parameters.iter().map(|p| Ok(p.detach().f_zeros_like()?)).collect()
        };
        let step = |p: &Tensor| Ok(Tensor::f_zeros([0i64; 0], (Kind::Float, p.device()))?);
        Ok(match config.optimizer {
            Optimizer::Adam => Rule::Adam {
                betas,
                exp_avg: zeros()?,
                exp_avg_sq: zeros()?,
                steps: parameters.iter().map(step).collect::<Result<_, Error>>()?,
            },
            Optimizer::Sgd => {
                let Config { momentum, nesterov, .. } = *config;
                Rule::Sgd { momentum, nesterov, buffers: zeros()? }
            }
        })
    }

    /// The state under its names: `exp_avg`, `exp_avg_sq` and `step`, or `momentum_buffer`.
    pub(super) fn state(&self) -> BTreeMap<&'static str, &[Tensor]> {
        match self {
            Rule::Adam { exp_avg, exp_avg_sq, steps, .. } => {
                [("exp_avg", &exp_avg[..]), ("exp_avg_sq", &exp_avg_sq[..]), ("step", &steps[..])]
                    .into()
            }
            Rule::Sgd { buffers, .. } => [("momentum_buffer", &buffers[..])].into(),
        }
    }

    /// One step of `parameters`, unless `skip` is 1, which is not read on the host. What has
    /// two dimensions or more decays by `decay`: convolutions and matrices, and neither the
    /// scales and shifts of norms, nor slopes, nor biases, which have one.
    pub(super) fn update(
        &self,
        parameters: &[Tensor],
        rate: f64,
        decay: f64,
        skip: &Tensor,
    ) -> Result<(), Error> {
        if decay == 0.0 {
            let all: Vec<usize> = (0..parameters.len()).collect();
            return self.update_some(parameters, &all, rate, 0.0, skip);
        }
        let (matrices, vectors): (Vec<usize>, _) =
            (0..parameters.len()).partition(|&i| parameters[i].dim() >= 2);
        self.update_some(parameters, &matrices, rate, decay, skip)?;
        self.update_some(parameters, &vectors, rate, 0.0, skip)
    }

    fn update_some(
        &self,
        parameters: &[Tensor],
        chosen: &[usize],
        lr: f64,
        weight_decay: f64,
        skip: &Tensor,
    ) -> Result<(), Error> {
        let pick = |list: &[Tensor]| -> Vec<Tensor> {
            chosen.iter().map(|&i| list[i].shallow_clone()).collect()
        };
        let parameters = pick(parameters);
        match self {
            Rule::Adam { betas: (beta1, beta2), exp_avg, exp_avg_sq, steps } => {
                let (beta1, beta2) = (*beta1, *beta2);
                let adam = c10d::torch::Adam { lr, beta1, beta2, eps: EPSILON, weight_decay };
                let (m, v, steps) = (pick(exp_avg), pick(exp_avg_sq), pick(steps));
                Ok(c10d::torch::fused_adam_(&parameters, &m, &v, &steps, &adam, Some(skip))?)
            }
            &Rule::Sgd { momentum, nesterov, ref buffers } => {
                let sgd = c10d::torch::Sgd { lr, momentum, nesterov, weight_decay };
                Ok(c10d::torch::fused_sgd_(&parameters, &pick(buffers), &sgd, Some(skip))?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tch::Device;

    /// A gradient of 0 leaves what decay does: matrices shrink, vectors stay.
    #[test]
    fn matrices_decay_and_vectors_do_not() {
        for optimizer in [Optimizer::Adam, Optimizer::Sgd] {
            let config = Config { optimizer, ..Config::default() };
            let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
            let parameters = [ones(&[3]), ones(&[2, 3]), ones(&[1]), ones(&[2, 1, 3, 3])];
            for parameter in &parameters {
                let leaf = parameter.set_requires_grad(true);
                (leaf * 0.0).sum(Kind::Float).backward();
                let _ = parameter.set_requires_grad(false);
            }
            let rule = Rule::new(&config, (0.9, 0.999), &parameters).unwrap();
            rule.update(&parameters, 0.1, 0.5, &Tensor::from(0f32)).unwrap();
            let below = |t: &Tensor| t.max().double_value(&[]) < 0.99;
            assert_eq!(parameters.each_ref().map(below), [false, true, false, true]);
        }
    }
}
