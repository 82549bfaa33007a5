//! What a linear model can read from features: attributes and identity.

use crate::error::{at_least, fits};
use crate::rows::places;
use crate::{Error, Ridge, Rows};

/// Attributes read from features by ridge regression: what an attribute probe says.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// Predictions for the test rows, [m, attributes].
    pub predictions: Vec<f64>,
    /// Coefficient of determination on the test rows, for each attribute: 1 read without error,
    /// 0 no better than the mean of the test rows, below 0 worse; none where the attribute is the
    /// same in all test rows.
    pub r2: Vec<Option<f64>>,
    /// The penalty that the mean R² on held-out training rows chose.
    pub penalty: f64,
}

/// Trains a linear probe for all attributes together and judges it on other people's photos.
///
/// # Shapes
/// `train` [n, d], `train_values` [n, attributes]; `test` [m, d], `test_values` [m, attributes].
///
/// # Errors
/// As [`Ridge::fit`]; test values that do not fit or are not finite.
pub fn attribute_probe(
    train: Rows<'_>,
    train_values: &[f64],
    test: Rows<'_>,
    test_values: &[f64],
) -> Result<Attributes, Error> {
    at_least("training values", train_values.len(), train.len())?;
    let attributes = train_values.len() / train.len();
    fits("test values", test_values.len(), test.len() * attributes)?;
    crate::error::finite("test value", test_values)?;
    let quality = |found: &[f64], truth: &[f64]| {
        let of: Vec<f64> =
            r_squared(found, truth, attributes, |_| 1.0).into_iter().flatten().collect();
        of.iter().sum::<f64>() / of.len().max(1) as f64
    };
    let Ridge { predictions, penalty } = Ridge::fit(train, train_values, test, quality)?;
    let r2 = r_squared(&predictions, test_values, attributes, |_| 1.0);
    Ok(Attributes { predictions, r2, penalty })
}

/// R² = 1 − Σ w (y − ŷ)² / Σ w (y − ȳ)² for each of `attributes` columns, row k weighing
/// `weight(k)`: how often its person was drawn, for [`crate::Bootstrap::intervals`]. None where
/// the values do not vary.
///
/// # Shapes
/// `predictions`, `values` [rows, attributes]; rows that only one of them has are left out.
pub fn r_squared(
    predictions: &[f64],
    values: &[f64],
    attributes: usize,
    weight: impl Fn(usize) -> f64,
) -> Vec<Option<f64>> {
    let rows = predictions.len().min(values.len()) / attributes.max(1);
    let of_attribute = |attribute: usize| {
        let column = || (0..rows).map(|row| (weight(row), row * attributes + attribute));
        let (mut sum, mut count) = (0.0, 0.0);
        column().for_each(|(w, at)| (sum, count) = (sum + w * values[at], count + w));
        let mean = sum / count;
        let (mut error, mut spread, mut size) = (0.0, 0.0, 0.0);
        for (w, at) in column() {
            error += w * (values[at] - predictions[at]).powi(2);
            spread += w * (values[at] - mean).powi(2);
            size += w * values[at].powi(2);
        }
        // What rounding leaves of a constant is no spread.
        (spread > 1e-24 * size).then(|| 1.0 - error / spread)
    };
    (0..attributes).map(of_attribute).collect()
}

/// Identity read from features: what an identity probe says.
#[derive(Clone, Debug, PartialEq)]
pub struct Identities {
    /// For each row tested, 1 where the person was read rightly, else 0: for
    /// [`crate::Bootstrap::mean`].
    pub hits: Vec<f64>,
    /// For each row tested, its person.
    pub people: Vec<usize>,
    /// The penalty that the share of hits among held-out training rows chose.
    pub penalty: f64,
    /// What guessing reaches: one over the number of people.
    pub chance: f64,
}

impl Identities {
    /// The share of rows whose person was read rightly.
    pub fn accuracy(&self) -> f64 {
        self.hits.iter().sum::<f64>() / self.hits.len() as f64
    }
}

/// Trains a linear probe for *these* people on every other photo of each (its first, third, …)
/// and judges it on the rest: ridge regression to one column per person, the largest wins (the
/// first of equals).
///
/// # Shapes
/// `features` [n, d], n people.
///
/// # Errors
/// As [`Ridge::fit`]; fewer than two people, no person with two photos.
pub fn identity_probe(features: Rows<'_>, people: &[usize]) -> Result<Identities, Error> {
    fits("people's labels", people.len(), features.len())?;
    let (labels, of_rows) = places(people);
    at_least("people", labels.len(), 2)?;
    let mut seen = vec![0usize; labels.len()];
    let (mut learnt, mut tested) = (vec![], vec![]);
    for (row, &place) in of_rows.iter().enumerate() {
        let seen = &mut seen[place as usize];
        if *seen % 2 == 0 { &mut learnt } else { &mut tested }.push(row);
        *seen += 1;
    }
    at_least("second photos of a person", tested.len(), 1)?;
    let table = |rows: &[usize]| -> Vec<f32> {
        rows.iter().flat_map(|&row| features.row(row)).copied().collect()
    };
    let mut targets = vec![0.0; learnt.len() * labels.len()];
    for (row, target) in learnt.iter().zip(targets.chunks_exact_mut(labels.len())) {
        target[of_rows[*row] as usize] = 1.0;
    }
    let largest = |row: &[f64]| {
        let better = |best: usize, k: usize| if row[k] > row[best] { k } else { best };
        (0..row.len()).fold(0, better)
    };
    let quality = |found: &[f64], truth: &[f64]| {
        let rows = found.chunks_exact(labels.len()).zip(truth.chunks_exact(labels.len()));
        rows.filter(|(found, truth)| largest(found) == largest(truth)).count() as f64
    };
    let (train, test) = (table(&learnt), table(&tested));
    let (train, test) = (Rows::new(&train, features.width())?, Rows::new(&test, features.width())?);
    let Ridge { predictions, penalty } = Ridge::fit(train, &targets, test, quality)?;
    let found = predictions.chunks_exact(labels.len()).zip(&tested);
    let right = |(scores, &row): (&[f64], &usize)| largest(scores) == of_rows[row] as usize;
    let hits = found.map(|pair| f64::from(u8::from(right(pair)))).collect();
    let people = tested.iter().map(|&row| people[row]).collect();
    Ok(Identities { hits, people, penalty, chance: 1.0 / labels.len() as f64 })
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
