//! Round numbers to write along an axis.

use super::numbers;

/// A place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// Its number.
    pub(super) value: f64,
    /// What stands beside it; empty for a grid line only.
    pub(super) label: String,
}

/// How far a quotient may be from a whole number and still count as it.
const SLACK: f64 = 1e-9;

/// Ticks per axis at most, should rounding go astray.
const MOST: usize = 100;

/// 1, 2 or 5 times a power of ten: the smallest that cuts `span` into `want` steps or fewer.
pub(super) fn step(span: f64, want: f64) -> f64 {
    let raw = span / want;
    let power = 10f64.powi(numbers::exponent(raw));
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| raw / power <= digit + SLACK);
    digit.unwrap_or(10.0) * power
}

/// The multiples of a step from `low` to `high`.
pub(super) fn linear(low: f64, high: f64, want: f64) -> Vec<Tick> {
    let step = step(high - low, want);
    let (first, last) = ((low / step - SLACK).ceil(), (high / step + SLACK).floor());
    let largest = low.abs().max(high.abs());
    (0..MOST)
        .map(|i| first + i as f64)
        .take_while(|&count| count <= last)
        .map(|count| count * step)
        .map(|value| Tick { value, label: numbers::tick(value, step, largest) })
        .collect()
}

/// The smallest multiples of a step around `low` and `high`.
pub(super) fn round_linear(low: f64, high: f64, want: f64) -> (f64, f64) {
    let step = step(high - low, want);
    ((low / step + SLACK).floor() * step, (high / step - SLACK).ceil() * step)
}

/// Powers of ten, from `low` to `high`, which are logarithms to the base 10; on a short axis also
/// numbers between them.
pub(super) fn logarithmic(low: f64, high: f64, want: f64) -> Vec<Tick> {
    let (first, last) = ((low - SLACK).ceil() as i32, (high + SLACK).floor() as i32);
    let plain = low >= -3.0 - SLACK && high <= 4.0 + SLACK;
    if last - first >= 2 {
        let every = (f64::from(last - first + 1) / want).ceil().max(1.0) as i32;
        let labelled = |digit, exponent: i32| digit == 1 && exponent.rem_euclid(every) == 0;
        let digits: &[u32] = if last - first <= 6 { &[1, 2, 3, 4, 5, 6, 7, 8, 9] } else { &[1] };
        return digits_in(low, high, digits, |digit, exponent| {
            let label = || numbers::decade(digit, exponent, plain);
            labelled(digit, exponent).then(label).unwrap_or_default()
        });
    }
    let ticks =
        digits_in(low, high, &[1, 2, 5], |digit, exponent| numbers::decade(digit, exponent, plain));
    if ticks.len() >= 3 { ticks } else { linear(10f64.powf(low), 10f64.powf(high), want) }
}

/// The smallest of 1, 2, 5 times powers of ten around two logarithms.
pub(super) fn round_logarithmic(low: f64, high: f64) -> (f64, f64) {
    let steps = [0.0, 2f64.log10(), 5f64.log10(), 1.0];
    let below = |x: f64| steps.into_iter().rev().find(|step| *step <= (x - x.floor()) + SLACK);
    let above = |x: f64| steps.into_iter().find(|step| *step >= (x - x.floor()) - SLACK);
    (low.floor() + below(low).unwrap_or(0.0), high.floor() + above(high).unwrap_or(1.0))
}

/// Digits times powers of ten.
fn digits_in(low: f64, high: f64, digits: &[u32], label: impl Fn(u32, i32) -> String) -> Vec<Tick> {
    let exponents = low.floor() as i32..=high.floor() as i32;
    exponents
        .flat_map(|exponent| digits.iter().map(move |&digit| (digit, exponent)))
        .map(|(digit, exponent)| (digit, exponent, f64::from(digit) * 10f64.powi(exponent)))
        .filter(|(.., value)| (low - SLACK..=high + SLACK).contains(&value.log10()))
        .map(|(digit, exponent, value)| Tick { value, label: label(digit, exponent) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(labels(&linear(0.0, 1.0, 6.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&linear(-30.0, 45.0, 5.0)), ["−20", "0", "20", "40"]);
        assert_eq!(labels(&linear(0.0, 3e7, 4.0)), ["0", "1×10⁷", "2×10⁷", "3×10⁷"]);
        assert_eq!(round_linear(0.013, 0.88, 6.0), (0.0, 1.0));
        assert_eq!(round_linear(0.0, 0.1 + 0.2, 6.0), (0.0, 0.1 * 3.0));
    }

    #[test]
    fn logarithmic_ticks_are_decades_or_what_is_between() {
        assert_eq!(labels(&logarithmic(-3.0, 0.0, 6.0)), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&logarithmic(-12.0, 0.0, 6.0)), ["10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "10⁰"]);
        assert_eq!(labels(&logarithmic(1.0, 2.0, 6.0)), ["10", "20", "50", "100"]);
        assert_eq!(labels(&logarithmic(2.0, 2.1, 6.0)), ["100", "105", "110", "115", "120", "125"]);
        let (low, high) = round_logarithmic(0.03f64.log10(), 60f64.log10());
        assert!((10f64.powf(low) - 0.02).abs() < 1e-9 && (10f64.powf(high) - 100.0).abs() < 1e-9);
        assert_eq!(round_logarithmic(-3.0, 0.0), (-3.0, 0.0));
    }
}
