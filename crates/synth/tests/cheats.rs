//! A recogniser cannot cheat: mean colour and background tell nobody apart.
#![allow(clippy::unwrap_used)]

use image::RgbImage;
use rayon::prelude::*;
use synth::dataset::Settings;
use synth::{Identity, Renderer};

const SIZE: u32 = 64;
const PEOPLE: usize = 200;
const PHOTOS: usize = 5;

/// A few numbers of a picture that a cheat would look at.
type Look = fn(&RgbImage) -> Vec<f64>;

/// Mean and spread of each channel's levels where `there` holds.
fn colours(picture: &RgbImage, there: impl Fn(u32, u32) -> bool) -> Vec<f64> {
    let (mut count, mut sums, mut squares) = (0.0, [0.0; 3], [0.0; 3]);
    for (x, y, pixel) in picture.enumerate_pixels().filter(|(x, y, _)| there(*x, *y)) {
        let _ = (x, y);
        count += 1.0;
        for c in 0..3 {
            sums[c] += f64::from(pixel[c]);
            squares[c] += f64::from(pixel[c]).powi(2);
        }
    }
    let means = sums.map(|sum| sum / count);
    let spreads = [0, 1, 2].map(|c| (squares[c] / count - means[c] * means[c]).max(0.0).sqrt());
    [means, spreads].concat()
}

fn whole(picture: &RgbImage) -> Vec<f64> {
    colours(picture, |_, _| true)[..3].to_vec()
}

/// The upper corners, a tenth of the side each.
fn corners(picture: &RgbImage) -> Vec<f64> {
    colours(picture, |x, y| y < SIZE / 10 && !(SIZE / 10..SIZE - SIZE / 10).contains(&x))
}

/// The outermost pixels at left and right, above the shoulders.
fn border(picture: &RgbImage) -> Vec<f64> {
    colours(picture, |x, y| y < SIZE * 6 / 10 && !(3..SIZE - 3).contains(&x))
}

fn pictures(first_person: u32) -> Vec<RgbImage> {
    let (people, per_person) = (PEOPLE as u32, PHOTOS as u32);
    let settings = Settings { people, per_person, size: SIZE, seed: 11, first_person };
    settings
        .labels()
        .with_min_len(16)
        .map_init(|| Renderer::new(SIZE), |r, label| r.render(&label.identity, &label.scene))
        .collect()
}

/// Of pairs of one person and pairs of two: the share of cases in which the former is closer.
fn auc(features: &[Vec<f64>]) -> f64 {
    let distance =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum() };
    let mut pairs = Vec::new();
    for i in 0..features.len() {
        for j in 0..i {
            pairs.push((distance(&features[i], &features[j]), i / PHOTOS == j / PHOTOS));
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut others, mut below, mut same) = (0.0, 0.0, 0.0);
    for (_, one) in pairs {
        if one {
            same += 1.0;
            below += others;
        } else {
            others += 1.0;
        }
    }
    below / (same * others)
}

/// The features scaled by what is learnt from other people: axis by axis, after turning them to
/// be uncorrelated within a person, the better an axis tells people apart the more it counts.
fn learnt(train: &[Vec<f64>], test: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = train[0].len();
    // Whitening by Gram–Schmidt (Cholesky) of the scatter within people.
    let mut within = vec![vec![0.0; n]; n];
    for photos in train.chunks(PHOTOS) {
        let mean: Vec<f64> =
            (0..n).map(|i| photos.iter().map(|p| p[i]).sum::<f64>() / PHOTOS as f64).collect();
        for photo in photos {
            for i in 0..n {
                for j in 0..n {
                    within[i][j] += (photo[i] - mean[i]) * (photo[j] - mean[j]);
                }
            }
        }
    }
    let count = (train.len() - train.len() / PHOTOS) as f64;
    let mut lower = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let rest = within[i][j] / count - known;
            lower[i][j] = if i == j { rest.max(1e-9).sqrt() } else { rest / lower[j][j] };
        }
    }
    let white = |feature: &Vec<f64>| {
        let mut out = vec![0.0; n];
        for i in 0..n {
            let known: f64 = (0..i).map(|k| lower[i][k] * out[k]).sum();
            out[i] = (feature[i] - known) / lower[i][i];
        }
        out
    };
    let white_train: Vec<Vec<f64>> = train.iter().map(white).collect();
    // Variance of people's means beyond what photos alone explain.
    let weights: Vec<f64> = (0..n)
        .map(|i| {
            let means: Vec<f64> = white_train
                .chunks(PHOTOS)
                .map(|p| p.iter().map(|f| f[i]).sum::<f64>() / PHOTOS as f64)
                .collect();
            let mean = means.iter().sum::<f64>() / means.len() as f64;
            let variance =
                means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / means.len() as f64;
            (variance - 1.0 / PHOTOS as f64).max(0.0).sqrt() + 1e-6
        })
        .collect();
    let scaled = |f: &Vec<f64>| white(f).iter().zip(&weights).map(|(x, w)| x * w).collect();
    test.iter().map(scaled).collect()
}

/// 200 people, 2000 pairs of one person: the standard error of an AUC near 0.5 is below 0.01.
#[test]
fn mean_colour_and_background_tell_nobody_apart() {
    let (train, test) = (pictures(0), pictures(PEOPLE as u32));
    let looks: [(&str, Look); 3] =
        [("mean colour", whole), ("corners", corners), ("border", border)];
    for (name, look) in looks {
        let features = |pictures: &[RgbImage]| pictures.iter().map(look).collect::<Vec<_>>();
        let (train, test) = (features(&train), features(&test));
        let (plain, learnt) = (auc(&test), auc(&learnt(&train, &test)));
        println!("{name}: AUC {plain:.3} by distance, {learnt:.3} learnt from other people");
        assert!(plain <= 0.55 && learnt <= 0.55, "{name}: AUC {plain:.3}, learnt {learnt:.3}");
    }
}

/// The test itself can tell people apart when there is something to see.
#[test]
fn identity_itself_tells_everybody_apart() {
    let features: Vec<Vec<f64>> = (0..PEOPLE * PHOTOS)
        .map(|i| {
            let person = Identity::draw(11, (i / PHOTOS) as u32);
            person.values().into_iter().map(f64::from).collect()
        })
        .collect();
    assert!(auc(&features) > 0.999);
}
