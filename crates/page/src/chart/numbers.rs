//! Numbers as text: short, with a real minus sign, powers of ten where digits would be many.

use std::fmt::Write;

/// Four significant digits.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let exponent = exponent(value);
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(3 - exponent).unwrap_or(0);
        return minus(&trimmed(format!("{value:.decimals$}")));
    }
    let mantissa = trimmed(format!("{:.3}", value / 10f64.powi(exponent)));
    format!("{}×{}", minus(&mantissa), power(exponent))
}

/// A multiple of `step` on an axis whose largest number is `largest`: as many digits as it takes
/// to tell ticks apart.
pub(super) fn tick(value: f64, step: f64, largest: f64) -> String {
    let (fine, coarse) = (exponent(step), exponent(largest));
    if value.abs() < step / 2.0 {
        return "0".into();
    }
    if coarse < 6 && fine > -6 {
        let decimals = usize::try_from(-fine).unwrap_or(0);
        return minus(&format!("{value:.decimals$}"));
    }
    let decimals = usize::try_from(coarse - fine).unwrap_or(0).min(15);
    let mantissa = format!("{:.decimals$}", value / 10f64.powi(coarse));
    format!("{}×{}", minus(&mantissa), power(coarse))
}

/// `digit` times a power of ten, on a logarithmic axis; `plain` with all zeros.
pub(super) fn decade(digit: u32, exponent: i32, plain: bool) -> String {
    match digit {
        _ if plain => {
            let decimals = usize::try_from(-exponent).unwrap_or(0);
            format!("{:.decimals$}", f64::from(digit) * 10f64.powi(exponent))
        }
        1 => power(exponent),
        digit => format!("{digit}×{}", power(exponent)),
    }
}

/// The power of ten at or below a number other than zero.
pub(super) fn exponent(value: f64) -> i32 {
    value.abs().log10().floor() as i32
}

/// `10⁻³`.
fn power(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write!(text, "{exponent}");
    let raised = text.chars().map(|c| c.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize]));
    "10".chars().chain(raised).collect()
}

/// Without zeros at the end of a fraction.
fn trimmed(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn minus(text: &str) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_round() {
        let shown = [0.0, 0.123456, -2.5, 1234.0, 123456.0, 2e6, -1.5e-7, 1e300].map(short);
        let wanted = ["0", "0.1235", "−2.5", "1234", "123456", "2×10⁶", "−1.5×10⁻⁷", "1×10³⁰⁰"];
        assert_eq!(shown, wanted);
        assert_eq!(tick(0.30000000000000004, 0.1, 1.0), "0.3");
        assert_eq!(tick(-20.0, 20.0, 100.0), "−20");
        assert_eq!(tick(1.5e8, 5e7, 2e8), "1.5×10⁸");
        assert_eq!(tick(1e-17, 0.2, 1.0), "0");
        assert_eq!(decade(1, -3, true), "0.001");
        assert_eq!(decade(1, -12, false), "10⁻¹²");
        assert_eq!(decade(5, 2, true), "500");
    }
}
