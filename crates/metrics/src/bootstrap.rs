//! Confidence intervals from the sample itself, by drawing people with repetition.
//!
//! Photos of one person resemble each other: intervals that draw photos are too narrow, by a
//! factor of √(1 + (m − 1) ρ) for m photos a person with correlation ρ. So people are drawn, with
//! all their photos (Efron and Tibshirani 1993; Davison and Hinkley 1997, §3.8).

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{at_least, finite, fits};
use crate::interval::{normal, normal_quantile};
use crate::rows::places;
use crate::{Error, Interval};

/// How an interval is read from the resamples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Between two quantiles of the resamples' values.
    Percentile,
    /// The quantiles corrected for bias and for a spread that depends on the value (BCa: Efron
    /// 1987). Takes one more evaluation for each person.
    Bca,
}

/// A bootstrap over clusters (people).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bootstrap {
    /// How often people are drawn; 100 or more.
    pub resamples: usize,
    /// Probability that the interval is to contain the truth, between 0 and 1.
    pub confidence: f64,
    /// Where the random numbers start: the same seed, the same interval, on any machine and with
    /// any number of threads.
    pub seed: u64,
    /// How the interval is read.
    pub method: Method,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { resamples: 1000, confidence: 0.95, seed: 0, method: Method::Percentile }
    }
}

impl Bootstrap {
    /// Intervals of `N` statistics that are computed together.
    ///
    /// The statistic is told how often each of `clusters` people was drawn (all ones: the sample
    /// itself); it gives nothing where it has no value.
    ///
    /// A statistic that is the same in every resample (no photo of any person re-identified) gets
    /// an interval of no width, which says nothing of the truth: see [`crate::wilson`].
    ///
    /// # Errors
    /// Fewer than 2 people, settings out of range; no value of the sample itself, or no value in
    /// more than one of twenty resamples (the others make the interval).
    pub fn intervals<const N: usize>(
        &self,
        clusters: usize,
        statistic: impl Fn(&[u32]) -> Option<[f64; N]> + Sync,
    ) -> Result<[Interval; N], Error> {
        self.check(clusters)?;
        let defined = |times: &[u32]| statistic(times).filter(|v| v.iter().all(|x| x.is_finite()));
        let undefined = |undefined, resamples| Error::Undefined { undefined, resamples, clusters };
        let mut times = vec![1; clusters];
        let values = defined(&times).ok_or(undefined(1, 1))?;
        let numbers: Vec<u64> = (0..self.resamples as u64).collect();
        let found: Vec<[f64; N]> =
            numbers.par_iter().filter_map(|&k| defined(&self.draw(k, clusters))).collect();
        let missing = self.resamples - found.len();
        if missing * 20 > self.resamples {
            return Err(undefined(missing, self.resamples));
        }
        let mut without = Vec::new();
        if self.method == Method::Bca {
            for k in 0..clusters {
                times[k] = 0;
                without.extend(defined(&times));
                times[k] = 1;
            }
        }
        let mut intervals = values.map(|value| Interval { value, low: value, high: value });
        for (k, interval) in intervals.iter_mut().enumerate() {
            let mut sorted: Vec<f64> = found.iter().map(|values| values[k]).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let tail = (1.0 - self.confidence) / 2.0;
            let levels = match self.method {
                Method::Percentile => [tail, 1.0 - tail],
                Method::Bca => {
                    let without: Vec<f64> = without.iter().map(|values| values[k]).collect();
                    bca(interval.value, &sorted, &without, tail)
                }
            };
            let [low, high] = levels.map(|level| quantile(&sorted, level));
            *interval = Interval::new(interval.value, low, high)?;
        }
        Ok(intervals)
    }

    /// The mean of a number per photo (PSNR, an error, 1 for a success), its interval by drawing
    /// people. Every photo weighs the same.
    ///
    /// # Errors
    /// Lists of different lengths, a value that is not finite, fewer than 2 people.
    pub fn mean(&self, values: &[f64], people: &[usize]) -> Result<Interval, Error> {
        fits("people's labels", people.len(), values.len())?;
        finite("value", values)?;
        let (labels, of_values) = places(people);
        let mut sums = vec![(0.0, 0.0); labels.len()];
        for (&value, &place) in values.iter().zip(&of_values) {
            let (sum, count) = &mut sums[place as usize];
            (*sum, *count) = (*sum + value, *count + 1.0);
        }
        let [interval] = self.intervals(labels.len(), |times| {
            let weigh = |(&(sum, count), &times): (&(f64, f64), &u32)| {
                (sum * f64::from(times), count * f64::from(times))
            };
            let add = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
            let (sum, count) = sums.iter().zip(times).map(weigh).fold((0.0, 0.0), add);
            Some([sum / count])
        })?;
        Ok(interval)
    }

    fn check(&self, clusters: usize) -> Result<(), Error> {
        at_least("people", clusters, 2)?;
        at_least("resamples", self.resamples, 100)?;
        if self.confidence > 0.0 && self.confidence < 1.0 {
            return Ok(());
        }
        let value = self.confidence.to_string();
        Err(Error::Range { what: "confidence", value, range: "between 0 and 1" })
    }

    /// How often each person is drawn in resample `number`, from a stream of its own.
    fn draw(&self, number: u64, clusters: usize) -> Vec<u32> {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        let mut times = vec![0; clusters];
        for _ in 0..clusters {
            times[rng.random_range(0..clusters)] += 1;
        }
        times
    }
}

/// The levels of the quantiles that BCa takes. `without` are the values without one person each.
fn bca(value: f64, sorted: &[f64], without: &[f64], tail: f64) -> [f64; 2] {
    let n = sorted.len() as f64;
    let below = sorted.partition_point(|&x| x < value) as f64;
    let up_to = sorted.partition_point(|&x| x <= value) as f64;
    let bias = normal_quantile((0.5 * (below + up_to) / n).clamp(0.5 / n, 1.0 - 0.5 / n));
    let mean = without.iter().sum::<f64>() / without.len().max(1) as f64;
    let moment = |power| without.iter().map(|x| (mean - x).powi(power)).sum::<f64>();
    let spread = 6.0 * moment(2).powf(1.5);
    let acceleration = if spread > 0.0 { moment(3) / spread } else { 0.0 };
    [tail, 1.0 - tail].map(|level| {
        let z = bias + normal_quantile(level);
        normal(bias + z / (1.0 - acceleration * z))
    })
}

/// The quantile of a sorted list, on the straight line between neighbours (Hyndman and Fan's
/// type 7, NumPy's default).
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = level.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[place as usize], sorted[(place as usize + 1).min(last)]);
    low + place.fract() * (high - low)
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
