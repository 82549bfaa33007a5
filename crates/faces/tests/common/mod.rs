//! Small data sets on disk.

use std::path::Path;

use faces::RgbImage;

/// `people` folders p00, p01 … with `each` images of 16 × 16 pixels; red says who, green
/// which image.
pub(crate) fn data_set(root: &Path, people: usize, each: usize) {
    for person in 0..people {
        let folder = root.join(format!("p{person:02}"));
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..each {
            let pixel = image::Rgb([person as u8 * 10, number as u8 * 10, 128]);
            let mut image = RgbImage::from_pixel(16, 16, pixel);
            image.put_pixel(0, 0, image::Rgb([255, 255, 255])); // left and right differ
            image.save(folder.join(format!("{number}.png"))).unwrap();
        }
    }
}

/// Cuts the file to two thirds: its header stays whole, its pixels do not.
pub(crate) fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
}
