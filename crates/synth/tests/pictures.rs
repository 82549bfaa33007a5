//! Pictures: the same from the same numbers, and every factor shows.
#![allow(clippy::unwrap_used)]

use image::RgbImage;
use sha2::{Digest, Sha256};
use synth::labels::Label;
use synth::{Identity, Renderer, Scene, landmarks, render};

/// SHA-256 of the pixels of twelve pictures of 48 pixels, as far as they are written here. A
/// change of the renderer changes it: raise `VERSION` in `dataset.rs` with it.
const PINNED: &str = "3cf2e75c3cdfb8a5";

fn hash(pictures: impl IntoIterator<Item = RgbImage>) -> String {
    let mut hash = Sha256::new();
    for picture in pictures {
        hash.update(picture.as_raw());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_same_numbers_give_the_same_pixels() {
    let label = |i: u32| Label::of(5, i / 3, i % 3, 48);
    let alone = (0..12).map(|i| render(&label(i).identity, &label(i).scene, 48));
    // One renderer draws other sizes of scenes before: nothing may be left over from them.
    let mut renderer = Renderer::new(48);
    let again: Vec<RgbImage> =
        (0..12).rev().map(|i| renderer.render(&label(i).identity, &label(i).scene)).collect();
    let hash_again = hash(again.into_iter().rev());
    assert_eq!(hash(alone), hash_again);
    assert_eq!(hash_again, PINNED);
}

/// How far two pictures are apart: the root of the mean squared difference of levels.
fn apart(a: &RgbImage, b: &RgbImage) -> f64 {
    let square = |(x, y): (&u8, &u8)| (f64::from(*x) - f64::from(*y)).powi(2);
    let pairs = a.as_raw().iter().zip(b.as_raw());
    (pairs.map(square).sum::<f64>() / a.as_raw().len() as f64).sqrt()
}

/// Each factor from one end of its range to the other changes one of ten pictures, by more than a
/// level over the whole picture.
#[test]
fn every_factor_shows() {
    const SIZE: u32 = 128;
    let mut renderer = Renderer::new(SIZE);
    let bases: Vec<(Identity, Scene)> = (0..10)
        .map(|i| {
            let mut scene = Scene::draw(3, i, 0);
            (scene.noise, scene.yaw, scene.pitch) = (0.0, scene.yaw * 0.3, scene.pitch * 0.3);
            // Glasses and backgrounds of each kind.
            scene.glasses = f32::from(u8::from(i % 2 == 0));
            scene.backdrop = (i % 4) as f32 + 0.5;
            (Identity::draw(3, i), scene)
        })
        .collect();
    let mut check = |name: &str, range: (f32, f32), identity: bool| {
        let mut draw = |base: &(Identity, Scene), value: f32| {
            let (mut person, mut scene) = *base;
            if name == "noise_pattern" {
                scene.noise = 4.0;
            }
            let factor = if identity { person.get_mut(name) } else { scene.get_mut(name) };
            *factor.unwrap() = value;
            renderer.render(&person, &scene)
        };
        // Hues and angles come round to where they began: the middle counts as well.
        let middle = (range.0 + range.1) / 2.0;
        let shows = bases.iter().any(|base| {
            let first = draw(base, range.0);
            [range.1, middle].iter().any(|&value| apart(&first, &draw(base, value)) > 1.0)
        });
        assert!(shows, "{name}");
    };
    for (&name, &range) in Identity::NAMES.iter().zip(Identity::RANGES) {
        check(name, range, true);
    }
    for (&name, &range) in Scene::NAMES.iter().zip(Scene::RANGES) {
        check(name, range, false);
    }
}

#[test]
fn landmarks_lie_where_aligned_crops_have_them() {
    let reference =
        [[187.2, 239.4], [324.1, 238.6], [256.1, 317.2], [199.8, 397.4], [313.1, 396.8]];
    let (mut misses, mut count) = (0.0, 0);
    for person in 0..40 {
        for photo in 0..5 {
            let (identity, scene) = (Identity::draw(9, person), Scene::draw(9, person, photo));
            let points = landmarks(&identity, &scene, 512);
            assert!(points.iter().flatten().all(|x| (0.0..511.0).contains(x)), "{points:?}");
            let [left, right, nose, mouth_left, mouth_right] = points;
            assert!(left[0] + 40.0 < right[0] && mouth_left[0] + 20.0 < mouth_right[0]);
            assert!(left[1].max(right[1]) < nose[1] && nose[1] < mouth_left[1].max(mouth_right[1]));
            for (point, place) in points.iter().zip(reference) {
                misses += f64::from((point[0] - place[0]).hypot(point[1] - place[1]));
                count += 1;
            }
            // The nose points where the face is turned.
            if scene.yaw.abs() > 15.0 && scene.roll.abs() < 5.0 {
                let middle = (left[0] + right[0]) / 2.0;
                assert_eq!(nose[0] > middle, scene.yaw > 0.0, "{scene:?}");
            }
            // The reference points grow with the size, pixel centres at whole numbers.
            let small = landmarks(&identity, &scene, 128);
            for (large, small) in points.iter().zip(small) {
                for axis in 0..2 {
                    assert!((large[axis] / 4.0 - small[axis]).abs() < 0.01);
                }
            }
        }
    }
    let miss = misses / f64::from(count);
    assert!(miss < 26.0, "landmarks are {miss:.1} of 512 pixels off the aligned places");
}

/// Correlations of 58 × 46 pairs of factors over 3000 photos: under independence each is normal
/// with standard deviation 1/√3000; beyond 5.5 of these lies one of them with probability 1e-4.
#[test]
fn scenes_do_not_depend_on_people() {
    const PEOPLE: u32 = 1000;
    let standard = |values: Vec<f64>| -> Vec<f64> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        values.iter().map(|v| (v - mean) / deviation).collect()
    };
    let photos = || (0..PEOPLE * 3).map(|i| (i / 3, i % 3));
    let columns = |draws: Vec<Vec<f32>>| -> Vec<Vec<f64>> {
        let column = |k: usize| draws.iter().map(|draw| f64::from(draw[k])).collect();
        (0..draws[0].len()).map(|k| standard(column(k))).collect()
    };
    let people = columns(photos().map(|(who, _)| Identity::draw(2, who).values()).collect());
    let scenes = columns(photos().map(|(who, k)| Scene::draw(2, who, k).values()).collect());
    let limit = 5.5 / (f64::from(PEOPLE * 3)).sqrt();
    let independent = |a: &[f64], b: &[f64], names: (&str, &str), limit: f64| {
        let r = a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / a.len() as f64;
        assert!(r.abs() < limit, "{names:?}: correlation {r:.3}");
    };
    for (i, a) in people.iter().enumerate() {
        for (j, b) in scenes.iter().enumerate() {
            independent(a, b, (Identity::NAMES[i], Scene::NAMES[j]), limit);
        }
        // A person counts three times here.
        for (j, b) in people[..i].iter().enumerate() {
            let names = (Identity::NAMES[i], Identity::NAMES[j]);
            independent(a, b, names, limit * 3f64.sqrt());
        }
    }
    for (i, a) in scenes.iter().enumerate() {
        for (j, b) in scenes[..i].iter().enumerate() {
            independent(a, b, (Scene::NAMES[i], Scene::NAMES[j]), limit);
        }
    }
}

/// Two photos of a person share none of the scene's factors: a factor has 10 001 values, so that
/// over 40 photos some pair may meet in some; two given photos do with probability 0.4 %.
#[test]
fn photos_of_a_person_differ_in_everything_else() {
    let photos: Vec<Scene> = (0..40).map(|photo| Scene::draw(4, 6, photo)).collect();
    let (first, second) = (photos[0].values(), photos[1].values());
    for (i, name) in Scene::NAMES.iter().enumerate() {
        // Glasses are on or off.
        assert!(first[i] != second[i] || *name == "glasses", "{name}");
    }
    let with_glasses = photos.iter().filter(|scene| scene.glasses == 1.0).count();
    assert!((1..20).contains(&with_glasses), "{with_glasses} of 40 with glasses");
}
