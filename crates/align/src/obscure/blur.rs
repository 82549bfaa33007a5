//! Gaussian blur of any width, in the same time.

use image::RgbImage;

/// Passes of a running mean: three come within a few percent of a Gaussian.
const PASSES: u32 = 3;

/// Blurs with standard deviation `sigma` pixels (below a third: hardly at all). The image goes
/// on beyond its edges as it ends.
///
/// Three running means whose variances add up to σ² as nearly as odd widths allow (Kovesi 2010,
/// "Fast almost-Gaussian filtering").
pub(super) fn blur(image: &mut RgbImage, sigma: f32) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut values: Vec<[f32; 3]> = image.pixels().map(|p| p.0.map(f32::from)).collect();
    let radii = radii(sigma);
    let mut line = Vec::new();
    for y in 0..height {
        line.clear();
        line.extend_from_slice(&values[y * width..(y + 1) * width]);
        means(&mut line, radii);
        values[y * width..(y + 1) * width].copy_from_slice(&line);
    }
    for x in 0..width {
        line.clear();
        line.extend(values.iter().skip(x).step_by(width));
        means(&mut line, radii);
        for (value, new) in values.iter_mut().skip(x).step_by(width).zip(&line) {
            *value = *new;
        }
    }
    for (pixel, value) in image.pixels_mut().zip(values) {
        pixel.0 = value.map(|v| v.round() as u8);
    }
}

/// Pixels on each side of the one whose mean is taken, in each pass.
fn radii(sigma: f32) -> [usize; PASSES as usize] {
    // A mean over w pixels has the variance (w² − 1)/12. Wider ones than any image do no more
    // than these.
    let variance = 12.0 * f64::from(sigma.min(1e6)).powi(2);
    let passes = f64::from(PASSES);
    let ideal = (variance / passes + 1.0).sqrt();
    let small = ((ideal - 1.0) / 2.0).floor();
    let width = 2.0 * small + 1.0;
    // How many passes must be of the wider kind, so that the variances add up.
    let more = (variance - passes * (width * width - 1.0)) / (4.0 * width + 4.0);
    std::array::from_fn(|pass| small as usize + usize::from((pass as f64) < more.round()))
}

fn means(line: &mut [[f32; 3]], radii: [usize; PASSES as usize]) {
    for radius in radii {
        let source = line.to_vec();
        let last = source.len() - 1;
        let at = |place: isize| source[place.clamp(0, last as isize) as usize].map(f64::from);
        let (radius, count) = (radius as isize, 2.0 * radius as f64 + 1.0);
        // The sum around the first pixel; bytes' sums of any length are exact enough in f64.
        let mut sum = [0.0; 3];
        let inside = radius.min(last as isize);
        for place in 0..=inside {
            let value = at(place);
            sum = std::array::from_fn(|c| sum[c] + value[c]);
        }
        let (before, after) = (at(0), at(last as isize));
        let beyond = (radius - inside) as f64;
        sum = std::array::from_fn(|c| sum[c] + radius as f64 * before[c] + beyond * after[c]);
        for (place, value) in line.iter_mut().enumerate() {
            *value = sum.map(|total| (total / count) as f32);
            let (gone, next) = (at(place as isize - radius), at(place as isize + radius + 1));
            sum = std::array::from_fn(|c| sum[c] + next[c] - gone[c]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// A white column in the middle becomes the bell curve of that width.
    #[test]
    fn it_is_nearly_gaussian() {
        for sigma in [1.5f32, 4.0, 13.0] {
            let mut image = RgbImage::new(201, 3);
            (0..3).for_each(|y| image.put_pixel(100, y, Rgb([255; 3])));
            // Bytes are too coarse for a single column's curve: look at the values.
            let mut line: Vec<[f32; 3]> =
                (0..201).map(|x| [10_000.0 * f32::from(x == 100); 3]).collect();
            means(&mut line, radii(sigma));
            let total: f64 = line.iter().map(|v| f64::from(v[0])).sum();
            let second = |(x, v): (usize, &[f32; 3])| (x as f64 - 100.0).powi(2) * f64::from(v[0]);
            let variance = line.iter().enumerate().map(second).sum::<f64>() / total;
            let ratio = variance.sqrt() / f64::from(sigma);
            assert!((0.93..1.07).contains(&ratio), "sigma {sigma}: ratio {ratio}");
            assert!((total - 10_000.0).abs() < 1.0);
            let peak = 10_000.0 / (f64::from(sigma) * std::f64::consts::TAU.sqrt());
            assert!((f64::from(line[100][0]) / peak - 1.0).abs() < 0.12, "sigma {sigma}");
            blur(&mut image, sigma);
            assert!(image.pixels().map(|p| u32::from(p[0])).sum::<u32>() > 0);
        }
    }

    #[test]
    fn flat_images_stay_flat_at_any_width_and_size() {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (7, 5)] {
            for sigma in [0.01, 1.0, 30.0, 1e30] {
                let mut image = RgbImage::from_pixel(width, height, Rgb([255, 3, 128]));
                blur(&mut image, sigma);
                assert!(
                    image.pixels().all(|p| p.0 == [255, 3, 128]),
                    "{width} × {height}, {sigma}"
                );
            }
        }
    }
}
