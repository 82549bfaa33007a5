//! Pose, light and expression: what a photo should keep, as far as synthetic data knows it.

use std::collections::BTreeMap;

use serde::Serialize;
use synth::Scene;

use super::measure::{Intervals, Measured};

type Factor = (&'static str, Group, fn(&Scene) -> f32);

/// The factors that are read, and what each belongs to.
const FACTORS: [Factor; COUNT] = [
    ("yaw", Group::Pose, |s| s.yaw),
    ("pitch", Group::Pose, |s| s.pitch),
    ("light_x", Group::Light, |s| s.light_x),
    ("light_y", Group::Light, |s| s.light_y),
    ("ambient", Group::Light, |s| s.ambient),
    ("smile", Group::Expression, |s| s.smile),
    ("mouth_open", Group::Expression, |s| s.mouth_open),
    ("eyes_open", Group::Expression, |s| s.eyes_open),
];

/// Numbers that a photo's attributes are.
pub(super) const COUNT: usize = 8;

/// What the attributes of a picture in the mirror are multiples of: left is right.
pub(super) const MIRRORED: [f32; COUNT] = [-1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Pose,
    Light,
    Expression,
}

/// R² of the attributes: 1 read without error, 0 no better than their mean. A group's is the mean
/// of its factors'.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AttributesRead {
    pub(super) pose: Measured,
    pub(super) light: Measured,
    pub(super) expression: Measured,
    pub(super) factors: BTreeMap<&'static str, Measured>,
}

/// The attributes of a photo, in the order of the factors.
pub(super) fn of(scene: &Scene) -> [f64; COUNT] {
    FACTORS.map(|(_, _, factor)| f64::from(factor(scene)))
}

/// How well `read` says what is true, row by row; none where an attribute does not vary or there
/// is one person alone.
///
/// # Shapes
///
/// `read`, `truth` [rows, 8]; `people` one a row.
///
/// # Errors
///
/// Too many draws of people in which an attribute does not vary.
pub(super) fn judge(
    read: &[f64],
    truth: &[f64],
    people: &[usize],
    intervals: &Intervals,
) -> Result<Option<AttributesRead>, metrics::Error> {
    let (labels, places) = metrics::places(people);
    let statistic = |times: &[u32]| {
        let r2 =
            metrics::r_squared(read, truth, COUNT, |row| f64::from(times[places[row] as usize]));
        let mut all = [0.0; COUNT + 3];
        for (place, r2) in all.iter_mut().zip(&r2) {
            *place = (*r2)?;
        }
        for (place, group) in [Group::Pose, Group::Light, Group::Expression].iter().enumerate() {
            let of_group = || FACTORS.iter().zip(&r2).filter(|((_, of, _), _)| of == group);
            let sum: f64 = of_group().filter_map(|(_, r2)| *r2).sum();
            all[COUNT + place] = sum / of_group().count() as f64;
        }
        Some(all)
    };
    if labels.len() < 2 || statistic(&vec![1; labels.len()]).is_none() {
        return Ok(None);
    }
    let found = intervals.0.intervals(labels.len(), statistic)?;
    let measured = |k: usize| Measured { interval: found[k], n: people.len() };
    Ok(Some(AttributesRead {
        pose: measured(COUNT),
        light: measured(COUNT + 1),
        expression: measured(COUNT + 2),
        factors: FACTORS.iter().enumerate().map(|(k, (name, ..))| (*name, measured(k))).collect(),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn groups_are_means_of_their_factors() {
        let rows: Vec<[f64; COUNT]> = (0..40).map(|k| of(&Scene::draw(1, k / 4, k % 4))).collect();
        let people: Vec<usize> = (0..40).map(|k| k / 4).collect();
        let truth = rows.concat();
        let mut read = truth.clone();
        // Yaw is not read at all: its mean is said of everybody.
        let mean = rows.iter().map(|row| row[0]).sum::<f64>() / 40.0;
        read.iter_mut().step_by(COUNT).for_each(|x| *x = mean);
        let intervals = Intervals(metrics::Bootstrap { resamples: 100, ..Default::default() });
        let found = judge(&read, &truth, &people, &intervals).unwrap().unwrap();
        assert!(found.factors["yaw"].value().abs() < 1e-9);
        assert!((found.pose.value() - 0.5).abs() < 1e-9);
        assert_eq!((found.light.value(), found.expression.value()), (1.0, 1.0));
        assert!(judge(&read[..32], &truth[..32], &people[..4], &intervals).unwrap().is_none());
    }
}
