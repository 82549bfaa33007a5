//! Laplacian pyramids of images of any size.

use super::Colour;

/// Levels, as far as the image has pixels to halve (method.md §7).
const LEVELS: usize = 8;

/// An image, row by row.
struct Grid<const N: usize> {
    width: usize,
    values: Vec<[f32; N]>,
}

/// Blends `top` over `base` (both row by row, `width` wide) where `weights` say, each octave
/// of detail with weights blurred to its scale. The result is in `base`.
///
/// Pyramids are linear, so one of the difference serves:
/// base + Σ expand(weights_k · laplacian_k(top − base)).
pub(super) fn blend(base: &mut [Colour], mut top: Vec<Colour>, weights: Vec<f32>, width: usize) {
    for (top, base) in top.iter_mut().zip(&*base) {
        *top = std::array::from_fn(|c| top[c] - base[c]);
    }
    let weights = Grid { width, values: weights.into_iter().map(|w| [w]).collect() };
    let blended = weighted(Grid { width, values: top }, weights, LEVELS);
    for (base, step) in base.iter_mut().zip(blended.values) {
        *base = std::array::from_fn(|c| base[c] + step[c]);
    }
}

/// The sum over octaves of `image`, each times `weights` at its scale.
fn weighted(mut image: Grid<4>, weights: Grid<1>, levels: usize) -> Grid<4> {
    if levels <= 1 || image.width.max(image.height()) <= 2 {
        scale(&mut image, &weights);
        return image;
    }
    let small = image.reduced();
    let (width, height) = (image.width, image.height());
    add(&mut image, &small.expanded(width, height), -1.0);
    scale(&mut image, &weights);
    let coarse = weighted(small, weights.reduced(), levels - 1);
    add(&mut image, &coarse.expanded(width, height), 1.0);
    image
}

fn scale(image: &mut Grid<4>, weights: &Grid<1>) {
    for (value, [weight]) in image.values.iter_mut().zip(&weights.values) {
        *value = value.map(|x| x * weight);
    }
}

fn add(image: &mut Grid<4>, other: &Grid<4>, factor: f32) {
    for (value, other) in image.values.iter_mut().zip(&other.values) {
        *value = std::array::from_fn(|c| value[c] + factor * other[c]);
    }
}

impl<const N: usize> Grid<N> {
    fn height(&self) -> usize {
        self.values.len() / self.width
    }

    /// Every second column and row of the image blurred with (1 4 6 4 1)/16 both ways; it goes
    /// on beyond its edge as it ends.
    fn reduced(&self) -> Grid<N> {
        self.halved_down().transposed().halved_down().transposed()
    }

    /// An image of `width` × `height`, half of them rounded up being this one's sides, by
    /// bilinear interpolation between its pixels.
    fn expanded(&self, width: usize, height: usize) -> Grid<N> {
        self.doubled_down(height).transposed().doubled_down(width).transposed()
    }

    fn row(&self, y: usize) -> &[[f32; N]] {
        &self.values[y * self.width..(y + 1) * self.width]
    }

    fn halved_down(&self) -> Grid<N> {
        let last = self.height() - 1;
        let mut values = Vec::with_capacity(self.width * self.height().div_ceil(2));
        for y in (0..=last).step_by(2) {
            let [a, b, c, d, e] = [-2isize, -1, 0, 1, 2]
                .map(|step| self.row(y.saturating_add_signed(step).min(last)));
            values.extend((0..self.width).map(|x| {
                std::array::from_fn(|k| {
                    (a[x][k] + e[x][k] + 4.0 * (b[x][k] + d[x][k]) + 6.0 * c[x][k]) / 16.0
                })
            }));
        }
        Grid { width: self.width, values }
    }

    fn doubled_down(&self, height: usize) -> Grid<N> {
        let last = self.height() - 1;
        let mut values = Vec::with_capacity(self.width * height);
        for y in 0..height {
            let (a, b) = (self.row(y / 2), self.row((y / 2 + y % 2).min(last)));
            values.extend((0..self.width).map(|x| {
                let mean: [f32; N] = std::array::from_fn(|k| 0.5 * (a[x][k] + b[x][k]));
                mean
            }));
        }
        Grid { width: self.width, values }
    }

    fn transposed(&self) -> Grid<N> {
        let (width, height) = (self.width, self.height());
        let mut values = Vec::with_capacity(self.values.len());
        for x in 0..width {
            values.extend((0..height).map(|y| self.values[y * width + x]));
        }
        Grid { width: height, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(width: usize, height: usize) -> Vec<Colour> {
        let at = |i: usize| ((i % width * 7 + i / width * 13) % 251) as f32;
        (0..width * height).map(|i| [at(i), 255.0 - at(i), at(i + 3), 0.0]).collect()
    }

    /// Weights of 1 give the upper image, of 0 the lower one, whatever the size: nothing is
    /// lost on the way down and up.
    #[test]
    fn nothing_is_lost_at_any_size() {
        for (width, height) in [(1, 1), (1, 700), (2, 3), (257, 5), (255, 256), (601, 433)] {
            let mut base = vec![[90.0; 4]; width * height];
            let top = wave(width, height);
            blend(&mut base, top.clone(), vec![0.0; width * height], width);
            assert!(base.iter().flatten().all(|&v| v == 90.0), "{width} × {height}");
            blend(&mut base, top.clone(), vec![1.0; width * height], width);
            let difference = base.iter().flatten().zip(top.iter().flatten());
            let worst = difference.fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
            assert!(worst < 1e-3, "{width} × {height}: {worst}");
        }
    }

    /// Black left and white right: fine detail changes over few pixels, the mean over many.
    #[test]
    fn seams_are_as_wide_as_the_detail() {
        let width = 512;
        let half: Vec<f32> = (0..width * 64).map(|i| f32::from(i % width >= 256)).collect();
        let seam = |top: Vec<Colour>| {
            let mut base = vec![[0.0; 4]; width * 64];
            blend(&mut base, top, half.clone(), width);
            base
        };
        let flat = seam(vec![[200.0; 4]; width * 64]);
        let row = &flat[32 * width..33 * width];
        assert!(row[255][0] > 60.0 && row[255][0] < 140.0 && row[200][0] > 5.0);
        let fine = seam((0..width * 64).map(|i| [100.0 * (i % 2) as f32 - 50.0; 4]).collect());
        let row = &fine[32 * width..33 * width];
        assert!(row[245][0].abs() < 3.0 && (row[265][0].abs() - 50.0).abs() < 3.0);
    }
}
