//! Verification accuracy, as LFW's protocol measures it.

use crate::{Error, Roc, check};

/// The share of pairs judged rightly when the threshold is chosen on other pairs: both lists
/// are cut into `folds` parts; each is judged by the threshold that judges the other parts
/// best; the mean over the parts. Genuine and impostor pairs weigh the same, however many
/// there are of each, so blind scores give about ½ (in LFW's protocol both are equally many).
///
/// Parts are consecutive: where the lists are sorted by person, a part's people hardly occur
/// in the others.
///
/// # Errors
/// [`Error::TooFew`] when a list is shorter than `folds` (at least 2), [`Error::NotANumber`].
pub fn accuracy(genuine: &[f32], impostor: &[f32], folds: usize) -> Result<f64, Error> {
    let folds = folds.max(2);
    for (kind, scores) in [("genuine", genuine), ("impostor", impostor)] {
        if scores.len() < folds {
            return Err(Error::TooFew { kind, pairs: scores.len(), folds });
        }
    }
    check(genuine, impostor)?;
    let mut sum = 0.0;
    for fold in 0..folds {
        let ((own_same, other_same), (own_not, other_not)) =
            (cut(genuine, fold, folds), cut(impostor, fold, folds));
        let threshold = best_threshold(&other_same, &other_not)?;
        let share = |scores: &[f32], right: fn(f32, f32) -> bool| {
            scores.iter().filter(|&&s| right(s, threshold)).count() as f64 / scores.len() as f64
        };
        sum += 0.5 * (share(own_same, |s, t| s >= t) + share(own_not, |s, t| s < t));
    }
    Ok(sum / folds as f64)
}

/// Part `fold` of a list, and the rest.
fn cut(scores: &[f32], fold: usize, folds: usize) -> (&[f32], Vec<f32>) {
    let at = |fold: usize| fold * scores.len() / folds;
    let (from, to) = (at(fold), at(fold + 1));
    (&scores[from..to], [&scores[..from], &scores[to..]].concat())
}

/// Half way between the score that is best to accept down to and the next lower one.
fn best_threshold(genuine: &[f32], impostor: &[f32]) -> Result<f32, Error> {
    let roc = Roc::new(genuine, impostor)?;
    let rates = roc.curve();
    let mut best = (0.0, 0);
    for (place, (far, tar)) in rates.into_iter().enumerate() {
        if tar - far > best.0 {
            best = (tar - far, place);
        }
    }
    Ok(roc.below(best.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lists() {
        let rising =
            |from: f32, n: usize| (0..n).map(|k| from + k as f32 * 1e-3).collect::<Vec<_>>();
        assert_eq!(accuracy(&rising(0.5, 20), &rising(-0.5, 40), 10).unwrap(), 1.0);
        assert_eq!(accuracy(&rising(-0.5, 20), &rising(0.5, 40), 10).unwrap(), 0.5);
        assert_eq!(accuracy(&[0.0; 10], &[0.0; 10], 10).unwrap(), 0.5);
        // One of ten genuine pairs lies far below: its own fold loses it, and no other does.
        let mut one_off = rising(0.5, 10);
        one_off[3] = -1.0;
        assert!((accuracy(&one_off, &rising(-0.5, 10), 10).unwrap() - 0.95).abs() < 1e-12);
        let few = accuracy(&[0.5; 9], &[0.0; 10], 10).unwrap_err();
        assert_eq!(few.to_string(), "9 genuine pairs cannot be dealt out to 10 folds");
    }
}
