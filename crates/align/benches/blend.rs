//! Seconds of one core that it takes to put a face back: `cargo bench -p align --bench blend`.
#![allow(missing_docs)]

use align::blend::{Mask, Method, blend};
use faces::RgbImage;
use faces::similarity::Similarity;
use image::Rgb;
use rustix::time::{ClockId, clock_gettime};

const RUNS: usize = 7;

/// Seconds that a core has spent on this process: other processes do not count.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scene = |side, step| {
        RgbImage::from_fn(side, side, |x, y| {
            Rgb([(x / step) as u8, (y / step) as u8, (x ^ y) as u8])
        })
    };
    let crop = scene(512, 3);
    println!(
        "crop of 512 pixels → its side in the photo; seconds of one core, min and median of {RUNS} runs"
    );
    for side in [20.0, 200.0, 512.0, 1500.0, 3000.0] {
        let photo = scene(side as u32 + 100, 5);
        let corners = ([[0.0, 0.0], [512.0, 0.0]], [[50.0, 50.0], [50.0 + side, 53.0]]);
        let to_photo = Similarity::estimate(&corners.0, &corners.1).ok_or("no transform")?;
        for method in [Method::Poisson, Method::Laplacian] {
            let mut taken = Vec::new();
            let mut solved = Default::default();
            for _ in 0..RUNS {
                let mut photo = photo.clone();
                let start = seconds();
                solved = blend(&mut photo, &crop, &to_photo, &Mask::default(), method)?;
                taken.push(seconds() - start);
            }
            taken.sort_by(f64::total_cmp);
            let (min, median) = (taken[0], taken[RUNS / 2]);
            println!("{side:5} px  {method:?}: {min:.4} {median:.4}  {solved:?}");
        }
    }
    Ok(())
}
