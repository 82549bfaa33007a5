//! Numbers with intervals.

use metrics::{Bootstrap, Interval};
use serde::{Deserialize, Serialize};

/// A measured number, its 95 % interval (by drawing people), and how many photos or pairs it is
/// of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) interval: Interval,
    pub(super) n: usize,
}

impl Measured {
    pub(crate) fn value(&self) -> f64 {
        self.interval.value
    }
}

/// So many digits of a number, or a dash where nothing was measured.
pub(crate) fn number(one: Option<Measured>, digits: usize) -> String {
    one.map_or("–".to_owned(), |one| format!("{:.digits$}", one.value()))
}

/// How intervals are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intervals(pub(super) Bootstrap);

impl Intervals {
    /// The mean of a number per photo; none of no photo or of one person's only.
    ///
    /// # Errors
    ///
    /// A number that is not finite.
    pub(super) fn mean(
        &self,
        values: &[f64],
        people: &[usize],
    ) -> Result<Option<Measured>, metrics::Error> {
        if distinct(people) < 2 {
            return Ok(None);
        }
        Ok(Some(Measured { interval: self.0.mean(values, people)?, n: values.len() }))
    }

    /// The mean of a number that some photos do not have.
    ///
    /// # Errors
    ///
    /// As [`Intervals::mean`].
    pub(super) fn mean_of_some(
        &self,
        values: &[Option<f64>],
        people: &[usize],
    ) -> Result<Option<Measured>, metrics::Error> {
        let both = values.iter().zip(people);
        let (values, people): (Vec<f64>, Vec<usize>) =
            both.filter_map(|(value, &person)| Some(((*value)?, person))).unzip();
        self.mean(&values, &people)
    }

    /// A share: the mean of numbers from 0 to 1. Where all are 0, or all 1, every draw of people
    /// gives the same: then Wilson's interval, of as many trials as there are people.
    ///
    /// # Errors
    ///
    /// As [`Intervals::mean`].
    pub(super) fn share(
        &self,
        hits: &[f64],
        people: &[usize],
    ) -> Result<Option<Measured>, metrics::Error> {
        let all = |x: f64| hits.iter().all(|&hit| hit == x);
        let count = distinct(people);
        if count < 2 || !(all(0.0) || all(1.0)) {
            return self.mean(hits, people);
        }
        let right = if all(1.0) { count } else { 0 };
        let interval = metrics::wilson(right, count, self.0.confidence)?;
        Ok(Some(Measured { interval, n: hits.len() }))
    }
}

fn distinct(people: &[usize]) -> usize {
    metrics::places(people).0.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shares_of_nobody_and_everybody_have_a_width() {
        let intervals = Intervals(Bootstrap::default());
        let people = [0, 0, 1, 1, 2, 2];
        let none = intervals.share(&[0.0; 6], &people).unwrap().unwrap();
        assert_eq!((none.interval.value, none.interval.low, none.n), (0.0, 0.0, 6));
        assert!(none.interval.high > 0.5);
        let all = intervals.share(&[1.0; 6], &people).unwrap().unwrap();
        assert!(all.interval.value == 1.0 && all.interval.low < 0.5);
        let some = intervals.share(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], &people).unwrap().unwrap();
        assert_eq!((some.interval.low, some.interval.high), (0.5, 0.5));
        assert_eq!(intervals.mean(&[1.0, 2.0], &[0, 0]).unwrap(), None);
        let some = [Some(1.0), None, Some(3.0)];
        assert_eq!(intervals.mean_of_some(&some, &[0, 0, 1]).unwrap().unwrap().n, 2);
    }
}
