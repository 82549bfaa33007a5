//! A measured number and how sure it is.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::finite;

/// A value and the interval that belongs to it; all three finite, so that JSON can hold them.
///
/// As JSON: `{"value": 0.57, "low": 0.53, "high": 0.61}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The statistic of the sample itself. A percentile interval need not contain it.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end, `low` or more.
    pub high: f64,
}

impl Interval {
    /// Of three finite numbers; the ends in either order.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn new(value: f64, low: f64, high: f64) -> Result<Interval, Error> {
        finite("value, low or high", &[value, low, high])?;
        Ok(Interval { value, low: low.min(high), high: low.max(high) })
    }

    /// Whether `x` lies in the interval, ends included.
    pub fn contains(&self, x: f64) -> bool {
        (self.low..=self.high).contains(&x)
    }
}

/// A share `k` of `n` with Wilson's interval (Wilson 1927) for *independent* trials: for shares
/// of 0 and 1, where every resample is the same and a bootstrap interval has no width. Photos of
/// one person are not independent: count people.
///
/// # Errors
/// `n` is 0, `k` above `n`, a `confidence` outside (0, 1).
pub fn wilson(k: usize, n: usize, confidence: f64) -> Result<Interval, Error> {
    crate::error::at_least("trials", n, k.max(1))?;
    if !(confidence > 0.0 && confidence < 1.0) {
        let value = confidence.to_string();
        return Err(Error::Range { what: "confidence", value, range: "between 0 and 1" });
    }
    let (none, all) = (k == 0, k == n);
    let (n, share) = (n as f64, k as f64 / n as f64);
    let z = normal_quantile(0.5 + confidence / 2.0);
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    // Exactly, and not but for rounding.
    let low = if none { 0.0 } else { (middle - half).max(0.0) };
    let high = if all { 1.0 } else { (middle + half).min(1.0) };
    Interval::new(share, low, high)
}

/// The normal distribution's Φ.
pub(crate) fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// Φ⁻¹ by halving: as exact as Φ is, for probabilities between 1e-30 and 1 − 1e-16.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-12.0, 9.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if normal(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_it() {
        let interval = Interval::new(0.57, 0.61, 0.5).unwrap();
        let json = serde_json::to_string(&interval).unwrap();
        assert_eq!(json, r#"{"value":0.57,"low":0.5,"high":0.61}"#);
        assert_eq!(serde_json::from_str::<Interval>(&json).unwrap(), interval);
        assert!(interval.contains(0.5) && !interval.contains(0.62));
        assert!(Interval::new(f64::INFINITY, 0.0, 1.0).is_err());
    }

    #[test]
    fn quantiles_of_tables() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_984_540_054), (0.001, -3.090_232_306_167_813)]
        {
            assert!((normal_quantile(p) - z).abs() < 1e-12, "{p}");
        }
    }

    #[test]
    fn wilson_is_not_empty_at_the_ends() {
        // None of n: 0 to z²/(n + z²).
        let z2 = 1.959_963_984_540_054f64.powi(2);
        let none = wilson(0, 100, 0.95).unwrap();
        assert_eq!((none.value, none.low), (0.0, 0.0));
        assert!((none.high - z2 / (100.0 + z2)).abs() < 1e-12);
        // Published example (Newcombe 1998): 81 of 263, 0.2553 to 0.3662.
        let some = wilson(81, 263, 0.95).unwrap();
        assert!((some.low - 0.2553).abs() < 5e-5 && (some.high - 0.3662).abs() < 5e-5);
        assert!(wilson(2, 1, 0.95).is_err() && wilson(0, 0, 0.95).is_err());
        assert!(wilson(0, 1, 1.0).is_err());
    }
}
