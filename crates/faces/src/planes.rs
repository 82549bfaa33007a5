//! A face's pixels in the order in which networks want them.

use image::RgbImage;

/// A square image of bytes as three planes, R, G and B, each row by row.
///
/// Decoders give the three bytes of a pixel together. They are sorted once, on the decoding
/// thread; turning planes into numbers is then a third of the work for the training thread,
/// and a decoded cache has it behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planes {
    size: u32,
    bytes: Vec<u8>,
}

impl Planes {
    /// A black image of `size` × `size` pixels.
    pub(crate) fn black(size: u32) -> Planes {
        Planes { size, bytes: vec![0; 3 * size as usize * size as usize] }
    }

    /// The left upper square of `image`: all of it where it is square.
    pub fn from_image(image: &RgbImage) -> Planes {
        let mut planes = Planes::black(image.width().min(image.height()));
        let side = planes.size as usize;
        let [red, green, blue] = planes.split();
        for (y, row) in image.as_raw().chunks_exact(3 * image.width() as usize).enumerate() {
            let at = y * side..(y + 1) * side;
            let Some(red) = red.get_mut(at.clone()) else { break };
            let places = red.iter_mut().zip(&mut green[at.clone()]).zip(&mut blue[at]);
            for (pixel, ((red, green), blue)) in row.chunks_exact(3).zip(places) {
                (*red, *green, *blue) = (pixel[0], pixel[1], pixel[2]);
            }
        }
        planes
    }

    /// Side in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The planes one after the other, `3 · size²` bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Mirrors left to right.
    pub(crate) fn flip(&mut self) {
        self.bytes.chunks_exact_mut(self.size as usize).for_each(<[u8]>::reverse);
    }

    /// R, G, B to B, G, R and back.
    pub(crate) fn swap_channels(&mut self) {
        let [red, _, blue] = self.split();
        red.swap_with_slice(blue);
    }

    fn split(&mut self) -> [&mut [u8]; 3] {
        let plane = self.bytes.len() / 3;
        let (red, rest) = self.bytes.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        [red, green, blue]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn pixels_go_to_their_planes() {
        let image = RgbImage::from_fn(3, 3, |x, y| Rgb([x as u8, 10 + y as u8, 20 + x as u8]));
        let mut planes = Planes::from_image(&image);
        let (red, green) = ([0, 1, 2, 0, 1, 2, 0, 1, 2], [10, 10, 10, 11, 11, 11, 12, 12, 12]);
        let blue = red.map(|x| x + 20);
        assert_eq!((planes.size(), planes.bytes()), (3, &[red, green, blue].concat()[..]));
        planes.swap_channels();
        assert_eq!(planes.bytes(), [blue, green, red].concat());
        planes.flip();
        let mirrored = |plane: [u8; 9]| [2, 1, 0, 5, 4, 3, 8, 7, 6].map(|i| plane[i]);
        assert_eq!(planes.bytes(), [mirrored(blue), green, mirrored(red)].concat());

        let wide = RgbImage::from_fn(5, 2, |x, y| Rgb([(x + 5 * y) as u8, 0, 0]));
        assert_eq!(&Planes::from_image(&wide).bytes()[..4], [0, 1, 5, 6]);
        let tall = RgbImage::from_fn(2, 5, |x, y| Rgb([(x + 2 * y) as u8, 0, 0]));
        assert_eq!(&Planes::from_image(&tall).bytes()[..4], [0, 1, 2, 3]);
    }
}
