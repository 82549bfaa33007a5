//! One update rule (Adam or SGD) and one gradient reducer per trainable group.
//!
//! Outside [`Optimizers::record`] and [`Optimizers::minimize`] the parameters of every
//! group are frozen, so that a backward pass touches the group it is meant for and
//! nothing else, and each reducer sees gradients of its own group only.

mod rule;

use crate::{BoxError, Config, Error, Group};
use c10d::{Reducer, ReducerOptions, World};
use rule::Rule;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// The optimizers of all groups of a stage.
pub struct Optimizers<'w> {
    world: &'w World,
    clip_grad_norm: f64,
    weight_decay: f64,
    rate: f64,
    spoilt: bool,
    groups: Vec<Trained>,
}

/// A group with the state of its updates.
struct Trained {
    name: &'static str,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    rule: Rule,
    /// Its learning rate, as a multiple of the run's.
    rate: f64,
    /// Only with more than one rank.
    reducer: Option<Reducer>,
    /// L2 norm of this step's averaged gradients before clipping.
    norm: Option<Tensor>,
    /// 1 where this step's update was left out, else 0; 0-dimensional, on the device.
    bad: Option<Tensor>,
}

impl<'w> Optimizers<'w> {
    /// The optimizers that `config` asks for (`optimizer`, `momentum`, `nesterov`,
    /// `weight_decay`, `clip_grad_norm`), their state 0, for the groups, whose parameters
    /// become frozen leaves.
    ///
    /// # Errors
    /// If two groups share a name or a group is empty; if the ranks disagree on shapes.
    pub fn new(world: &'w World, groups: Vec<Group>, config: &Config) -> Result<Self, Error> {
        let mut trained: Vec<Trained> = Vec::new();
        for group in groups {
            if trained.iter().any(|other| other.name == group.name) {
                return Err(wrong(group.name, "two groups have this name"));
            }
            trained.push(Trained::new(world, group, config)?);
        }
        let Config { clip_grad_norm, weight_decay, .. } = *config;
        Ok(Self { world, clip_grad_norm, weight_decay, rate: 0.0, spoilt: false, groups: trained })
    }

    /// The ranks of this run. Does not borrow the optimizers, so that a closure given
    /// to [`Optimizers::minimize`] can use it.
    pub fn world(&self) -> &'w World {
        self.world
    }

    /// Starts a step with this learning rate.
    pub fn begin_step(&mut self, rate: f64) {
        (self.rate, self.spoilt) = (rate, false);
        for group in &mut self.groups {
            group.norm = None;
            group.bad = None;
        }
    }

    /// Makes this step's losses NaN on this rank.
    pub(crate) fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// Runs `f` with `group`'s parameters trainable: operations in it become part of
    /// the graph that a later [`Optimizers::minimize`] of the same group goes back through.
    ///
    /// # Panics
    /// If the stage has no such group: a mistake in the stage's code.
    pub fn record<R>(&mut self, group: &str, f: impl FnOnce() -> R) -> R {
        match self.groups.iter().find(|known| known.name == group) {
            Some(group) => {
                let _guard = Trainable::new(&group.parameters);
                f()
            }
            None => panic!("this stage has no group `{group}`"),
        }
    }

    /// One step of `group` down the gradient of the loss that `f` returns.
    ///
    /// `f` and the backward pass run with only this group trainable; the gradients are
    /// averaged over ranks, clipped together to `clip_grad_norm`, used and freed. If
    /// loss or gradient norm is not finite on any rank, no rank updates: a bad loss makes
    /// its gradients NaN, which the average carries to all ranks, and the averaged norm, the
    /// same everywhere, tells the optimizer. Nothing is read on the host for it.
    ///
    /// # Errors
    /// Those of `f`; an unknown group; a loss that is no single number or does not
    /// depend on every parameter of the group; a lost rank.
    pub fn minimize(
        &mut self,
        group: &str,
        f: impl FnOnce() -> Result<Tensor, BoxError>,
    ) -> Result<(), BoxError> {
        let (clip, rate, spoilt) = (self.clip_grad_norm, self.rate, self.spoilt);
        let decay = self.weight_decay;
        let group = self
            .groups
            .iter_mut()
            .find(|known| known.name == group)
            .ok_or_else(|| wrong(group, "this stage has no such group"))?;
        let freed = FreeGradients(group.parameters.iter().map(Tensor::shallow_clone).collect());
        {
            let _guard = Trainable::new(&group.parameters);
            let loss = if spoilt { f()? * f64::NAN } else { f()? };
            let _precision = c10d::torch::Autocast::new(loss.device(), false);
            let _range = c10d::torch::range(c"backward");
            group.backward(&loss)?;
            group.used()?;
        }
        let _range = c10d::torch::range(c"optimizer");
        let norm = c10d::torch::grad_norm(&group.parameters)?;
        let bad = norm.f_isfinite()?.f_logical_not()?.f_to_kind(Kind::Float)?;
        if clip > 0.0 {
            c10d::torch::clip_grads(&group.parameters, &norm, clip)?;
        }
        group.rule.update(&group.parameters, rate * group.rate, decay, &bad)?;
        (group.norm, group.bad) = (Some(norm), Some(bad));
        drop(freed);
        Ok(())
    }

    /// Of each group minimized in this step, whether the update was left out: 1 or 0, a
    /// 0-dimensional tensor that is not read yet. The same on every rank.
    pub fn left_out(&self) -> Vec<(&'static str, Tensor)> {
        let flag = |group: &Trained| Some((group.name, group.bad.as_ref()?.shallow_clone()));
        self.groups.iter().filter_map(flag).collect()
    }

    /// Gradient norms of this step before clipping: 0-dimensional, not read yet.
    pub fn grad_norms(&self) -> Vec<(&'static str, Tensor)> {
        let norm = |group: &Trained| Some((group.name, group.norm.as_ref()?.shallow_clone()));
        self.groups.iter().filter_map(norm).collect()
    }

    /// The state as named tensors, shallow clones: Adam's `GROUP.PARAMETER.exp_avg`,
    /// `….exp_avg_sq` and `….step`, SGD's `….momentum_buffer`.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let mut state = BTreeMap::new();
        for group in &self.groups {
            for (what, tensors) in group.rule.state() {
                for (name, tensor) in group.names.iter().zip(tensors) {
                    state.insert(format!("{}.{name}.{what}", group.name), tensor.shallow_clone());
                }
            }
        }
        state
    }

    /// Where the parameters are.
    pub(crate) fn device(&self) -> Device {
        self.groups.first().map_or(Device::Cpu, |group| group.parameters[0].device())
    }
}

impl Trained {
    fn new(world: &World, group: Group, config: &Config) -> Result<Self, Error> {
        let Group { name, parameters, betas, rate } = group;
        let (names, parameters): (Vec<_>, Vec<_>) = parameters.into_iter().unzip();
        if parameters.is_empty() {
            return Err(wrong(name, "it has no parameters"));
        }
        if let Some(i) = parameters.iter().position(|parameter| !parameter.is_leaf()) {
            return Err(wrong(name, &format!("`{}` is no leaf: detach it", names[i])));
        }
        let rule = Rule::new(config, betas, &parameters)?;
        // Every parameter takes part in every loss (`used` sees to it), which spares the
        // reducer a walk through the graph.
        let bucket_bytes = bucket_bytes(&parameters);
        let options = ReducerOptions {
            find_unused: false,
            bucket_bytes,
            first_bucket_bytes: bucket_bytes.min(1 << 20),
            ..ReducerOptions::default()
        };
        let reducer = {
            // The reducer hooks into the graph ends of parameters, which only trainable
            // ones have; the hooks stay while requires_grad goes off and on.
            let _guard = Trainable::new(&parameters);
            match world.size() {
                1 => None,
                _ => Some(Reducer::new(world, &parameters, &options)?),
            }
        };
        let (norm, bad) = (None, None);
        Ok(Self { name, names, parameters, rule, rate, reducer, norm, bad })
    }

    fn backward(&self, loss: &Tensor) -> Result<(), Error> {
        if loss.numel() != 1 {
            let problem = format!("its loss must be one number, but has shape {:?}", loss.size());
            return Err(wrong(self.name, &problem));
        }
        if !loss.requires_grad() {
            return Err(wrong(self.name, "its loss does not depend on its parameters"));
        }
        // 1, or NaN if the loss is not finite. A product with 1 changes no bit.
        let sound = loss.detach() * 0.0 + 1.0;
        let loss = &(loss * sound);
        if let Some(reducer) = &self.reducer {
            reducer.prepare_for_backward(loss)?;
        }
        Ok(c10d::backward(loss)?)
    }

    /// A parameter without a gradient is a mistake in the stage, and with several ranks
    /// its bucket of gradients would not have been averaged.
    fn used(&self) -> Result<(), Error> {
        match self.parameters.iter().position(|parameter| !parameter.grad().defined()) {
            Some(i) => {
                let problem = format!("`{}` has no part in its loss: leave it out", self.names[i]);
                Err(wrong(self.name, &problem))
            }
            None => Ok(()),
        }
    }
}

/// Parameters are trainable while this lives, also if the code in between fails.
struct Trainable<'a>(&'a [Tensor]);

impl<'a> Trainable<'a> {
    fn new(parameters: &'a [Tensor]) -> Self {
        let guard = Self(parameters);
        guard.switch(true);
        guard
    }

    fn switch(&self, on: bool) {
        for parameter in self.0 {
            let _same = parameter.set_requires_grad(on);
        }
    }
}

impl Drop for Trainable<'_> {
    fn drop(&mut self) {
        self.switch(false);
    }
}

/// Frees gradients at the end of a step, also of one that failed.
struct FreeGradients(Vec<Tensor>);

impl Drop for FreeGradients {
    fn drop(&mut self) {
        // Nothing to do about an error here; the next step would run into it again.
        let _ = c10d::torch::zero_grads(&self.0, true);
    }
}

/// Bytes of a message of gradients: an eighth of them all, so that the first are under way
/// while most of the backward pass is still to come, at least 128 KiB and at most DDP's 25 MiB.
fn bucket_bytes(parameters: &[Tensor]) -> usize {
    let sizes = parameters.iter().map(|p| p.numel() * p.kind().elt_size_in_bytes());
    (sizes.sum::<usize>() / 8).clamp(128 << 10, 25 << 20)
}

fn wrong(group: &str, problem: &str) -> Error {
    Error::Group { group: group.into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ones(shape: &[i64]) -> Tensor {
        Tensor::ones(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn the_first_step_is_the_rate_and_touches_one_group() {
        let world = World::solo();
        let (a, b) = (ones(&[2]), ones(&[2]));
        let group = |name, tensor: &Tensor| Group {
            name,
            parameters: vec![(format!("{name}.weight"), tensor.shallow_clone())],
            betas: (0.9, 0.999),
            rate: 0.5,
        };
        let groups = vec![group("a", &a), group("b", &b)];
        let mut optim = Optimizers::new(&world, groups, &Config::default()).unwrap();
        optim.begin_step(0.5);
        let y = optim.record("a", || &a * 3.0);
        optim.minimize("a", || Ok((&y * &b).sum(Kind::Float))).unwrap();
        // Adam's first step is the group's rate along the gradient's sign, whatever its size.
        assert!(a.allclose(&(ones(&[2]) * 0.75), 1e-5, 1e-5, false));
        assert!(b.equal(&ones(&[2])) && !b.grad().defined() && !a.grad().defined());
        let norms = optim.grad_norms();
        assert_eq!(norms.len(), 1);
        assert!((f64::try_from(&norms[0].1).unwrap() - 18f64.sqrt()).abs() < 1e-5);
        assert_eq!(f64::try_from(&optim.state()["a.a.weight.step"]).unwrap(), 1.0);
        assert!(!a.requires_grad());
    }

    #[test]
    fn mistakes_of_a_stage_are_named() {
        let world = World::solo();
        let (a, b) = (ones(&[2]), ones(&[2]));
        let parameters =
            || vec![("w".to_string(), a.shallow_clone()), ("v".into(), b.shallow_clone())];
        let group =
            || Group { name: "a", parameters: parameters(), betas: (0.9, 0.999), rate: 1.0 };
        let config = Config::default();
        assert!(Optimizers::new(&world, vec![group(), group()], &config).is_err());
        let mut optim = Optimizers::new(&world, vec![group()], &config).unwrap();
        let mut fails = |name: &str, f: &dyn Fn() -> Tensor, expected: &str| {
            let message = optim.minimize(name, || Ok(f())).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        fails("c", &|| a.sum(Kind::Float), "group `c`: this stage has no such group");
        fails("a", &|| &a * 2.0 + &b, "must be one number, but has shape [2]");
        fails("a", &|| ones(&[]), "does not depend on its parameters");
        fails("a", &|| a.sum(Kind::Float), "`v` has no part in its loss");
        assert!(a.equal(&ones(&[2])) && !a.grad().defined());
    }
}
