//! A mean after training beside what it was before.

use serde::Serialize;

use super::super::measure::{Intervals, Measured};

/// A mean after training, and before it: with fresh separation layers, as stage I begins.
#[derive(Debug, Serialize)]
pub(in super::super) struct Change {
    pub(in super::super) trained: Measured,
    pub(in super::super) start: Measured,
    /// The one over the other.
    pub(in super::super) ratio: Measured,
    /// Before training, by fresh masks alone, where discriminants are split off as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) masks_alone: Option<Measured>,
    /// Trained over that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) ratio_to_masks_alone: Option<Measured>,
}

/// Means, and of the first over the others; none of one person alone.
pub(super) fn change(
    trained: &[f64],
    start: &[f64],
    masks: Option<&[f64]>,
    people: &[usize],
    intervals: &Intervals,
) -> Result<Option<Change>, metrics::Error> {
    let (Some(after), Some(before)) =
        (intervals.mean(trained, people)?, intervals.mean(start, people)?)
    else {
        return Ok(None);
    };
    let (masks_alone, ratio_to_masks_alone) = match masks {
        Some(masks) => {
            (intervals.mean(masks, people)?, Some(ratio(trained, masks, people, intervals)?))
        }
        None => (None, None),
    };
    Ok(Some(Change {
        trained: after,
        start: before,
        ratio: ratio(trained, start, people, intervals)?,
        masks_alone,
        ratio_to_masks_alone,
    }))
}

/// The ratio of two means over the same photos.
fn ratio(
    above: &[f64],
    below: &[f64],
    people: &[usize],
    intervals: &Intervals,
) -> Result<Measured, metrics::Error> {
    let count = people.iter().max().map_or(0, |most| most + 1);
    let sum = |values: &[f64]| {
        let mut sums = vec![0.0; count];
        values.iter().zip(people).for_each(|(value, &person)| sums[person] += value);
        sums
    };
    let (sums, sums_below) = (sum(above), sum(below));
    let weighed = |sums: &[f64], times: &[u32]| -> f64 {
        sums.iter().zip(times).map(|(sum, &times)| sum * f64::from(times)).sum()
    };
    let ratio = |times: &[u32]| Some([weighed(&sums, times) / weighed(&sums_below, times)]);
    let [interval] = intervals.0.intervals(count, ratio)?;
    Ok(Measured { interval, n: above.len() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ratios_are_of_means() {
        let intervals = Intervals(metrics::Bootstrap::default());
        let people = [0, 0, 1, 1];
        let change =
            change(&[1.0, 1.0, 2.0, 2.0], &[2.0, 2.0, 4.0, 4.0], None, &people, &intervals);
        let change = change.unwrap().unwrap();
        assert_eq!((change.trained.value(), change.ratio.value()), (1.5, 0.5));
        assert_eq!((change.ratio.interval.low, change.ratio.interval.high), (0.5, 0.5));
    }
}
