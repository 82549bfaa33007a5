#![allow(clippy::unwrap_used)]
use super::*;
use image::Rgb;

const METHODS: [Method; 2] = [Method::Poisson, Method::Laplacian];

/// Crop → photo: crop point (0, 0) goes to `origin`, the crop's side becomes `side` pixels,
/// turned by `angle`.
fn placed(origin: [f64; 2], side: f64, angle: f64, crop: u32) -> Similarity {
    let (sin, cos) = angle.sin_cos();
    let end = [origin[0] + side * cos, origin[1] + side * sin];
    Similarity::estimate(&[[0.0, 0.0], [f64::from(crop), 0.0]], &[origin, end]).unwrap()
}

/// Waves and a board: smooth parts, edges, and no two regions alike.
fn scene(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |t: u32| ((f64::from(t + 37 * seed) / 23.0).sin() * 60.0 + 120.0) as u8;
        Rgb([wave(x), wave(y + x / 2), 40 + 60 * ((x / 9 + y / 11 + seed) % 3) as u8])
    })
}

fn changed(photo: &RgbImage, result: &RgbImage) -> usize {
    photo.pixels().zip(result.pixels()).filter(|(a, b)| a != b).count()
}

/// Small and large, turned, cut by an edge, by a corner, larger than the photo.
fn placements() -> Vec<(&'static str, Similarity)> {
    vec![
        ("20 px", placed([60.0, 70.0], 30.0, 0.3, 512)),
        ("plain", placed([20.3, 11.8], 160.0, 0.0, 512)),
        ("turned", placed([150.0, 40.0], 150.0, 1.1, 512)),
        ("left edge", placed([-70.0, 20.0], 170.0, -0.1, 512)),
        ("corner", placed([140.0, 150.0], 190.0, 0.2, 512)),
        ("enlarged", placed([-300.0, -330.0], 700.0, 0.0, 512)),
    ]
}

/// The privacy claim: whatever lies in the core leaves no trace, and nothing outside the mask
/// changes. Checked bit for bit, with cores as different as can be.
#[test]
fn nothing_of_the_core_survives_and_nothing_outside_changes() {
    let (first, crop, mask) = (scene(260, 240, 1), scene(512, 512, 2), Mask::default());
    for (name, to_photo) in placements() {
        let masked = mask.in_photo(&to_photo, 512);
        let weight = |x: u32, y: u32| masked.weight([f64::from(x), f64::from(y)]);
        let mut second = first.clone();
        for (x, y, pixel) in second.enumerate_pixels_mut() {
            if weight(x, y) >= 1.0 {
                pixel.0 = [if (x + y) % 2 == 0 { 255 } else { 0 }, (x * y) as u8, 7];
            }
        }
        assert!(changed(&first, &second) > 100, "{name}");
        for method in METHODS {
            let (mut one, mut two) = (first.clone(), second.clone());
            let solved = blend(&mut one, &crop, &to_photo, &mask, method).unwrap();
            blend(&mut two, &crop, &to_photo, &mask, method).unwrap();
            assert_eq!(changed(&one, &two), 0, "{name}, {method:?}");
            assert!(changed(&one, &first) > 100, "{name}, {method:?}");
            assert!(solved.cycles <= 12, "{name}, {method:?}: {solved:?}");
            for (x, y, pixel) in one.enumerate_pixels() {
                assert!(weight(x, y) > 0.0 || pixel == first.get_pixel(x, y), "{name}, {x}, {y}");
            }
        }
    }
}

/// The control for the test above: what it compares does depend on the surroundings.
#[test]
fn surroundings_colour_the_face() {
    let (photo, crop, mask) = (scene(260, 240, 1), scene(512, 512, 2), Mask::default());
    let to_photo = placed([20.0, 12.0], 160.0, 0.0, 512);
    let masked = mask.in_photo(&to_photo, 512);
    let mut brighter = photo.clone();
    for (x, y, pixel) in brighter.enumerate_pixels_mut() {
        if masked.weight([f64::from(x), f64::from(y)]) == 0.0 {
            pixel.0 = pixel.0.map(|v| v + 40);
        }
    }
    let [x, y] = to_photo.apply([255.5, 266.5]).map(|v| v.round() as u32);
    for (method, least) in [(Method::Poisson, 38), (Method::Laplacian, 1)] {
        let (mut one, mut two) = (photo.clone(), brighter.clone());
        blend(&mut one, &crop, &to_photo, &mask, method).unwrap();
        blend(&mut two, &crop, &to_photo, &mask, method).unwrap();
        let (one, two) = (one.get_pixel(x, y), two.get_pixel(x, y));
        assert!(two[0] >= one[0].saturating_add(least), "{method:?}: {one:?}, {two:?}");
    }
}

/// A crop that was cut from the photo and made brighter by 30 levels: cloning its gradients
/// gives the photo back, to rounding, where crop and photo pixels coincide.
#[test]
fn cloning_takes_gradients_not_colours() {
    let photo = scene(700, 640, 3);
    let crop =
        RgbImage::from_fn(512, 512, |x, y| Rgb(photo.get_pixel(x + 90, y + 60).0.map(|v| v + 30)));
    let mut result = photo.clone();
    let to_photo = placed([90.0, 60.0], 512.0, 0.0, 512);
    blend(&mut result, &crop, &to_photo, &Mask::default(), Method::Poisson).unwrap();
    let worst = photo.iter().zip(result.iter()).map(|(&a, &b)| a.abs_diff(b)).max().unwrap();
    assert!(worst <= 1, "{worst}");

    // Pyramids keep half of the brightness and more in the middle, and none at the edge.
    let mut result = photo.clone();
    blend(&mut result, &crop, &to_photo, &Mask::default(), Method::Laplacian).unwrap();
    let gain = |x, y| i32::from(result.get_pixel(x, y)[1]) - i32::from(photo.get_pixel(x, y)[1]);
    assert!((10..=31).contains(&gain(345, 326)), "{}", gain(345, 326));
    assert!((0..=8).contains(&gain(345, 87)), "{}", gain(345, 87));
}

/// Drawn at another size, the crop lands where the transform says and keeps its brightness.
#[test]
fn crops_of_any_size_land_where_they_belong() {
    for (size, side) in [(512, 24.0), (512, 900.0), (256, 100.0), (64, 300.0)] {
        // A bright disc on the nose.
        let centre = f64::from(size) * 0.5;
        let crop = RgbImage::from_fn(size, size, |x, y| {
            let away = (f64::from(x) - centre).hypot(f64::from(y) - centre);
            Rgb([if away < 0.2 * f64::from(size) { 200 } else { 100 }; 3])
        });
        let mut photo = RgbImage::from_pixel(1000, 1000, Rgb([100; 3]));
        let to_photo = placed([33.0, 21.0], side, 0.02, size);
        blend(&mut photo, &crop, &to_photo, &Mask::default(), Method::Poisson).unwrap();
        let [x, y] = to_photo.apply([centre, centre]);
        assert_eq!(photo.get_pixel(x.round() as u32, y.round() as u32).0, [200; 3]);
        let (mut bright, mut across, mut down) = (0.0, 0.0, 0.0);
        for (x, y, pixel) in photo.enumerate_pixels() {
            let light = (f64::from(pixel[0]) - 100.0) / 100.0;
            (bright, across, down) =
                (bright + light, across + light * f64::from(x), down + light * f64::from(y));
        }
        let area = std::f64::consts::PI * (0.2 * side).powi(2);
        assert!((bright - area).abs() < 0.05 * area + 2.0, "{size}, {side}: {bright} of {area}");
        let away = (across / bright - x).hypot(down / bright - y);
        assert!(away < 0.3, "{size}, {side}: off by {away} pixels");
    }
}

/// A face of 3,000 pixels, whose pyramid no longer fits eight halvings down to a pixel.
#[test]
fn large_faces_are_blended() {
    let crop = scene(512, 512, 2);
    let photo = scene(3100, 3200, 1);
    for method in METHODS {
        let mut result = photo.clone();
        let to_photo = placed([20.0, 40.0], 3000.0, 0.01, 512);
        let solved = blend(&mut result, &crop, &to_photo, &Mask::default(), method).unwrap();
        println!("{method:?}: {solved:?}");
        assert!(solved.cycles <= 12, "{solved:?}");
        assert!(changed(&photo, &result) > 4_000_000);
    }
}

#[test]
fn a_mask_over_the_whole_photo_leaves_the_crops_colours() {
    for method in METHODS {
        let mut photo = scene(60, 50, 1);
        let to_photo = placed([-300.0, -300.0], 600.0, 0.0, 512);
        let crop = RgbImage::from_pixel(512, 512, Rgb([9, 80, 200]));
        blend(&mut photo, &crop, &to_photo, &Mask::default(), method).unwrap();
        assert!(photo.pixels().all(|p| p.0 == [9, 80, 200]), "{method:?}");
    }
}

#[test]
fn photos_of_one_row_or_column_are_blended() {
    let crop = scene(512, 512, 2);
    for (width, height) in [(1, 300), (300, 1), (1, 1)] {
        for method in METHODS {
            let mut photo = scene(width, height, 1);
            let to_photo = placed([-100.0, -100.0], 200.0, 0.0, 512);
            blend(&mut photo, &crop, &to_photo, &Mask::default(), method).unwrap();
        }
    }
}

#[test]
fn faces_beside_the_photo_and_odd_crops_are_refused() {
    let mut photo = scene(80, 60, 1);
    let before = photo.clone();
    let mask = Mask::default();
    let crop = scene(512, 512, 2);
    for (origin, side) in [([500.0, 0.0], 100.0), ([-1e12, 0.0], 100.0), ([20.3, 20.3], 0.1)] {
        let to_photo = placed(origin, side, 0.0, 512);
        let error = blend(&mut photo, &crop, &to_photo, &mask, Method::Poisson).unwrap_err();
        assert_eq!(error, Error::Nothing { width: 80, height: 60 });
    }
    let to_photo = placed([0.0, 0.0], 50.0, 0.0, 512);
    let flat = scene(512, 511, 1);
    let error = blend(&mut photo, &flat, &to_photo, &mask, Method::Laplacian).unwrap_err();
    assert_eq!(error, Error::Crop(512, 511));
    assert_eq!(changed(&photo, &before), 0);
}
