//! Directions and angles on the unit sphere.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::Error;

/// An angle from 0 to π, as what rotates by it; the cosine alone would lose small angles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Angle {
    /// In [−1, 1].
    pub cos: f64,
    /// In [0, 1].
    pub sin: f64,
}

impl Angle {
    /// From 0 to π.
    pub fn from_radians(theta: f64) -> Self {
        let (sin, cos) = theta.sin_cos();
        Angle { cos, sin }
    }

    /// From 1 − cos, in [0, 2], which is accurate for small angles.
    pub(crate) fn from_height(height: f64) -> Self {
        Angle { cos: 1.0 - height, sin: (height * (2.0 - height)).max(0.0).sqrt() }
    }

    /// From 0 to π.
    pub fn radians(self) -> f64 {
        self.sin.atan2(self.cos)
    }
}

/// `dims` itself, when there are enough for a sphere.
pub(crate) fn sphere(dims: usize) -> Result<usize, Error> {
    if dims < 3 { Err(Error::Dims(dims)) } else { Ok(dims) }
}

/// That `v` has `dims` dimensions.
pub(crate) fn fits(what: &'static str, v: &[f32], dims: usize) -> Result<(), Error> {
    if v.len() == dims {
        Ok(())
    } else {
        Err(Error::Length { what, expected: dims, found: v.len() })
    }
}

pub(crate) fn widen(v: &[f32]) -> Vec<f64> {
    v.iter().map(|&x| f64::from(x)).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `v` scaled to unit length.
pub(crate) fn unit(v: &[f64]) -> Result<Vec<f64>, Error> {
    let length = dot(v, v).sqrt();
    if length.is_finite() && length > 0.0 {
        Ok(v.iter().map(|x| x / length).collect())
    } else {
        Err(Error::NoDirection(length))
    }
}

/// `dims` standard normal numbers: a uniform direction.
pub(crate) fn gaussian(dims: usize, rng: &mut impl Rng) -> Vec<f64> {
    (0..dims).map(|_| StandardNormal.sample(rng)).collect()
}

/// v cos θ + t sin θ, t the direction of `gaussian` tangent to `v`. `v` is scaled to unit length
/// first.
pub(crate) fn rotate(v: &[f32], gaussian: &[f64], angle: Angle) -> Result<Vec<f32>, Error> {
    let v = unit(&widen(v))?;
    let along = dot(&v, gaussian);
    let tangent: Vec<f64> = gaussian.iter().zip(&v).map(|(g, v)| g - along * v).collect();
    let tangent = unit(&tangent)?;
    let Angle { cos, sin } = angle;
    Ok(v.iter().zip(&tangent).map(|(v, t)| (v * cos + t * sin) as f32).collect())
}

/// `v` turned by `angle` in a uniform tangent direction.
pub(crate) fn turn(
    v: &[f32],
    dims: usize,
    angle: Angle,
    rng: &mut impl Rng,
) -> Result<Vec<f32>, Error> {
    fits("the identity", v, dims)?;
    rotate(v, &gaussian(dims, rng), angle)
}
