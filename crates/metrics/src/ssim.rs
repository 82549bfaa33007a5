//! Structural similarity of two pictures.

use rayon::prelude::*;

use crate::error::at_least;
use crate::{Error, Picture};

/// Side of the window, and the Gaussian's standard deviation in pixels.
const SIDE: usize = 11;
const SIGMA: f64 = 1.5;
/// (K1 L)² and (K2 L)² with K1 = 0.01, K2 = 0.03 and values from 0 to L = 1.
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// The mean structural similarity, 1 for equal pictures, −1 at least: over every place where an
/// 11×11 Gaussian window (σ 1.5) lies in the picture as a whole, and over channels.
///
/// Wang, Bovik, Sheikh and Simoncelli 2004, eq. 13, K1 = 0.01, K2 = 0.03: what scikit-image gives
/// with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1`.
///
/// # Errors
/// Pictures of different shapes, or with a side below 11 pixels.
pub fn ssim(a: &Picture, b: &Picture) -> Result<f64, Error> {
    a.comparable(b)?;
    let [channels, height, width] = a.shape;
    at_least("lines of a picture", height, SIDE)?;
    at_least("columns of a picture", width, SIDE)?;
    let plane = height * width;
    let planes: Vec<_> = a.data.chunks_exact(plane).zip(b.data.chunks_exact(plane)).collect();
    let sums: Vec<f64> = planes.into_par_iter().map(|(a, b)| total(a, b, width)).collect();
    let places = channels * (height - SIDE + 1) * (width - SIDE + 1);
    Ok(sums.iter().sum::<f64>() / places as f64)
}

/// The Gaussian's weights along one side: the window is their product.
fn weights() -> [f64; SIDE] {
    let middle = (SIDE / 2) as f64;
    let mut weights: [f64; SIDE] =
        std::array::from_fn(|k| libm::exp(-(k as f64 - middle).powi(2) / (2.0 * SIGMA * SIGMA)));
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= sum);
    weights
}

/// The sum of the similarity over one channel's windows.
fn total(a: &[f32], b: &[f32], width: usize) -> f64 {
    let weights = weights();
    let columns = width - SIDE + 1;
    // Means of a, b, a², b², ab along each line, of all lines; then down the columns.
    let lines: Vec<[Vec<f64>; 5]> = a
        .chunks_exact(width)
        .zip(b.chunks_exact(width))
        .map(|(a, b)| {
            let wide = |line: &[f32]| line.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (a, b) = (wide(a), wide(b));
            let times = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).collect();
            let products: [Vec<f64>; 3] = [times(&a, &a), times(&b, &b), times(&a, &b)];
            let [aa, bb, ab] = products;
            [a, b, aa, bb, ab].map(|line| {
                let mut means = vec![0.0; columns];
                for (k, weight) in weights.iter().enumerate() {
                    means.iter_mut().zip(&line[k..]).for_each(|(mean, x)| *mean += weight * x);
                }
                means
            })
        })
        .collect();
    let mut sum = 0.0;
    for window in lines.windows(SIDE) {
        let mut means = [(); 5].map(|()| vec![0.0; columns]);
        for (weight, line) in weights.iter().zip(window) {
            for (means, line) in means.iter_mut().zip(line) {
                means.iter_mut().zip(line).for_each(|(mean, x)| *mean += weight * x);
            }
        }
        let [a, b, aa, bb, ab] = &means;
        for k in 0..columns {
            sum += similarity(a[k], b[k], [aa[k], bb[k], ab[k]]);
        }
    }
    sum
}

/// Of one window, from the means of a and b and of a², b², ab.
fn similarity(a: f64, b: f64, [aa, bb, ab]: [f64; 3]) -> f64 {
    let (var_a, var_b, covariance) = (aa - a * a, bb - b * b, ab - a * b);
    (2.0 * a * b + C1) * (2.0 * covariance + C2) / ((a * a + b * b + C1) * (var_a + var_b + C2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, window by window: variances about the window's own mean.
    fn slow(a: &Picture, b: &Picture) -> f64 {
        let [channels, height, width] = a.shape;
        let (mut sum, mut count) = (0.0, 0.0);
        let gauss = |y: usize, x: usize| {
            let squared = (y as f64 - 5.0).powi(2) + (x as f64 - 5.0).powi(2);
            (-squared / 4.5).exp()
        };
        let window = || (0..11).flat_map(|y| (0..11).map(move |x| (y, x)));
        let norm: f64 = window().map(|(y, x)| gauss(y, x)).sum();
        for c in 0..channels {
            for (top, left) in (0..height - 10).flat_map(|y| (0..width - 10).map(move |x| (y, x))) {
                let at = |p: &Picture, y, x| {
                    f64::from(p.data[(c * height + top + y) * width + left + x])
                };
                let mean = |f: &dyn Fn(usize, usize) -> f64| {
                    window().map(|(y, x)| gauss(y, x) / norm * f(y, x)).sum::<f64>()
                };
                let (ma, mb) = (mean(&|y, x| at(a, y, x)), mean(&|y, x| at(b, y, x)));
                let va = mean(&|y, x| (at(a, y, x) - ma).powi(2));
                let vb = mean(&|y, x| (at(b, y, x) - mb).powi(2));
                let cov = mean(&|y, x| (at(a, y, x) - ma) * (at(b, y, x) - mb));
                let luminance = (2.0 * ma * mb + 1e-4) / (ma * ma + mb * mb + 1e-4);
                sum += luminance * (2.0 * cov + 9e-4) / (va + vb + 9e-4);
                count += 1.0;
            }
        }
        sum / count
    }

    #[test]
    fn known_values() {
        let flat = |level: f32| Picture::planes(&vec![level; 3 * 16 * 16], [3, 16, 16]).unwrap();
        // No structure: only the luminance term is left.
        let expected = (2.0 * 0.25 * 0.5 + 1e-4) / (0.25f64.powi(2) + 0.25 + 1e-4);
        assert!((ssim(&flat(0.25), &flat(0.5)).unwrap() - expected).abs() < 1e-9);
        // A chequerboard against its inverse: same mean, opposite structure.
        let board = |odd: usize| {
            let data: Vec<f32> = (0..400).map(|k| ((k / 20 + k % 20 + odd) % 2) as f32).collect();
            Picture::planes(&data, [1, 20, 20]).unwrap()
        };
        let inverse = ssim(&board(0), &board(1)).unwrap();
        assert!((inverse - (-0.5 + 9e-4) / (0.5 + 9e-4)).abs() < 1e-3, "{inverse}");
        let small = Picture::planes(&[0.0; 110], [1, 10, 11]).unwrap();
        let error = ssim(&small, &small).unwrap_err().to_string();
        assert_eq!(error, "10 lines of a picture are too few: it takes 11 or more");
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(3),
            ..ProptestConfig::with_cases(40)
        })]

        #[test]
        fn equals_the_definition(
            (shape, a, b) in (1usize..4, 11usize..16, 11usize..16).prop_flat_map(|(c, h, w)| {
                let plane = || prop::collection::vec(0.0f32..1.0, c * h * w);
                (Just([c, h, w]), plane(), plane())
            }),
            share in 0.0f32..1.0,
        ) {
            let mixed: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + share * (b - a)).collect();
            let a = Picture::planes(&a, shape).unwrap();
            let b = Picture::planes(&mixed, shape).unwrap();
            let found = ssim(&a, &b).unwrap();
            prop_assert!((found - slow(&a, &b)).abs() < 1e-10);
            prop_assert_eq!(found, ssim(&b, &a).unwrap());
            prop_assert!((ssim(&a, &a).unwrap() - 1.0).abs() < 1e-12);
            prop_assert!((-1.0..=1.0).contains(&found));
        }
    }
}
