//! Losses far above what they usually are. They are told of, and change nothing.

use crate::Error;
use crate::metrics::Line;
use std::collections::BTreeMap;
use std::fmt;
use tch::{Kind, Tensor};

/// Steps before a loss is said to have a usual range, and over which that range is taken.
const STEPS: f64 = 100.0;
const PREFIX: &str = "losses.";

/// Mean and variance of a loss over about its last [`STEPS`] steps, older ones fading away.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Usual {
    steps: f64,
    mean: f64,
    variance: f64,
}

impl Usual {
    /// Takes in a value. One beyond `limit` counts as the limit, so that one spike does not
    /// hide the next, and a loss that stays high is usual after some steps.
    fn add(&mut self, value: f64, limit: f64) {
        self.steps += 1.0;
        let share = 1.0 / self.steps.min(STEPS);
        let gap = value.min(limit) - self.mean;
        self.mean += share * gap;
        self.variance = (1.0 - share) * (self.variance + share * gap * gap);
    }

    fn deviation(&self) -> f64 {
        // Rounding is no spread.
        self.variance.sqrt().max(1e-6 * self.mean.abs())
    }
}

/// One loss of one step that is far above its usual range.
#[derive(Debug, PartialEq)]
pub(crate) struct Spike {
    step: u64,
    name: &'static str,
    value: f64,
    mean: f64,
    deviation: f64,
}

impl fmt::Display for Spike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, name, value, mean, deviation } = self;
        let [value, mean, deviation] = [value, mean, deviation].map(|x| number(*x));
        write!(f, "step {step}: {name} is {value}, usually {mean} ± {deviation}")
    }
}

/// Four digits after the point, or of all where that would show too few.
fn number(x: f64) -> String {
    match x.abs() {
        size if size == 0.0 || (0.01..1e6).contains(&size) => format!("{x:.4}"),
        _ => format!("{x:.3e}"),
    }
}

/// The usual ranges of all total losses.
#[derive(Debug)]
pub(crate) struct Spikes {
    /// Deviations above the mean that make a spike; 0 looks for none.
    deviations: f64,
    usual: BTreeMap<String, Usual>,
}

impl Spikes {
    /// Goes on from what [`Spikes::state`] has put into a checkpoint; with none from nothing.
    pub(crate) fn new(deviations: f64, state: &weights::Tensors) -> Result<Self, Error> {
        let mut usual = BTreeMap::new();
        for (key, tensor) in state {
            if let Some(name) = key.strip_prefix(PREFIX)
                && let [steps, mean, variance] = Vec::try_from(tensor)?[..]
            {
                usual.insert(name.to_owned(), Usual { steps, mean, variance });
            }
        }
        Ok(Self { deviations, usual })
    }

    /// For a checkpoint: float64, so that a resumed run sees the same numbers.
    pub(crate) fn state(&self) -> Result<weights::Tensors, Error> {
        let tensor = |(name, usual): (&String, &Usual)| {
            let numbers = [usual.steps, usual.mean, usual.variance];
            let tensor = Tensor::f_from_slice(&numbers)?.f_to_kind(Kind::Double)?;
            Ok((format!("{PREFIX}{name}"), tensor))
        };
        self.usual.iter().map(tensor).collect()
    }

    /// Takes in a step's total losses, and names those that are spikes. What is not finite is
    /// told of elsewhere.
    pub(crate) fn look(&mut self, line: &Line) -> Vec<Spike> {
        let mut spikes = Vec::new();
        if self.deviations == 0.0 {
            return spikes;
        }
        for (&name, &value) in &line.losses {
            if !value.is_finite() || line.terms.contains(&name) {
                continue;
            }
            let usual = self.usual.entry(name.to_owned()).or_default();
            let (mean, deviation) = (usual.mean, usual.deviation());
            let limit = match usual.steps >= STEPS {
                true => mean + self.deviations * deviation,
                false => f64::INFINITY,
            };
            if value > limit {
                spikes.push(Spike { step: line.step, name, value, mean, deviation });
            }
            usual.add(value, limit);
        }
        spikes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A loss that falls from 2 to 1 with a spread of about 0.06.
    fn loss(step: u64) -> f64 {
        let noise = crate::mix(7, step) as f64 / u64::MAX as f64 - 0.5;
        1.0 + (-(step as f64) / 50.0).exp() + 0.2 * noise
    }

    /// Steps at which spikes are told of, when `change` is made to the losses.
    fn told(
        spikes: &mut Spikes,
        steps: std::ops::Range<u64>,
        change: fn(u64, f64) -> f64,
    ) -> Vec<u64> {
        let look = |step| {
            let line = Line::for_test(step, "G_loss", change(step, loss(step)));
            spikes.look(&line)
        };
        steps.flat_map(look).map(|spike| spike.step).collect()
    }

    fn fresh(deviations: f64) -> Spikes {
        Spikes::new(deviations, &weights::Tensors::new()).unwrap()
    }

    #[test]
    fn spikes_are_told_of_and_ordinary_steps_are_not() {
        assert!(told(&mut fresh(6.0), 0..2000, |_, x| x).is_empty());
        let spikes = |step, x| if [50, 300, 301, 800].contains(&step) { x * 4.0 } else { x };
        assert_eq!(told(&mut fresh(6.0), 0..1000, spikes), [300, 301, 800], "50 is the warm-up");
        assert!(told(&mut fresh(0.0), 0..1000, spikes).is_empty());
        // What is not finite and what falls are no spikes.
        let odd =
            |step, x| [x, f64::NAN, -9.0][usize::from(step == 500) + 2 * usize::from(step == 501)];
        assert!(told(&mut fresh(6.0), 0..1000, odd).is_empty());
        // A new level becomes usual.
        let level = told(&mut fresh(6.0), 0..1000, |step, x| if step < 400 { x } else { x + 2.0 });
        assert!(!level.is_empty() && level.len() < 40 && level[0] == 400, "{level:?}");
        let spike = Spike { step: 3, name: "G_loss", value: 9.0, mean: -1.5, deviation: 0.00025 };
        assert_eq!(spike.to_string(), "step 3: G_loss is 9.0000, usually -1.5000 ± 2.500e-4");
    }

    #[test]
    fn a_resumed_run_knows_what_is_usual() {
        let (mut whole, mut half) = (fresh(6.0), fresh(6.0));
        told(&mut half, 0..150, |_, x| x);
        let mut rest = Spikes::new(6.0, &half.state().unwrap()).unwrap();
        let late = |step, x| if step == 160 { x * 4.0 } else { x };
        assert_eq!(told(&mut rest, 150..200, late), [160]);
        told(&mut whole, 0..200, late);
        assert_eq!(whole.usual, rest.usual);
    }
}
