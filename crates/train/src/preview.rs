//! Preview pictures: `run_dir/preview/STAGE_STEP.png`, and the same in TensorBoard.

use crate::Error;
use crate::append::Trouble;
use files::Folder;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use tch::{Device, Kind, Tensor};

/// An encoded picture.
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) png: Vec<u8>,
}

/// Encodes a `[3, H, W]` tensor in [-1, 1] (what lies outside is clamped, NaN is black).
pub(crate) fn encode(image: &Tensor) -> Result<Picture, Error> {
    let size = image.size();
    let &[3, height, width] = &size[..] else {
        let problem = format!("the stage's preview must have shape [3, H, W], not {size:?}");
        return Err(Error::option("preview", problem));
    };
    let bytes = image
        .detach()
        .f_to_device(Device::Cpu)?
        .f_to_kind(Kind::Float)?
        .f_nan_to_num(-1.0, 1.0, -1.0)?
        .f_clamp(-1.0, 1.0)?
        .f_add_scalar(1.0)?
        .f_mul_scalar(127.5)?
        .f_round()?
        .f_to_kind(Kind::Uint8)?
        .f_permute([1, 2, 0])?
        .f_contiguous()?
        .f_reshape([-1])?;
    let bytes: Vec<u8> = Vec::try_from(&bytes)?;
    let (width, height) = (width as u32, height as u32);
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&bytes, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| Error::option("preview", error.to_string()))?;
    Ok(Picture { width, height, png })
}

/// Name of the folder of previews in a run's folder.
pub(crate) const FOLDER: &str = "preview";

/// The run's `preview` folder. A picture that cannot be written is left out and counted.
pub(crate) struct Previews {
    run: Folder,
    trouble: Trouble,
    lost: u64,
}

impl Previews {
    pub(crate) fn new(run: &Folder) -> Self {
        Self { run: run.clone(), trouble: Trouble::default(), lost: 0 }
    }

    /// Writes the picture of a step.
    pub(crate) fn save(&mut self, stage: &str, step: u64, picture: &Picture) {
        let name = format!("{stage}_{step:08}.png");
        // The folder alone: a run's folder that has vanished is not made again elsewhere.
        let made = self.run.make(FOLDER);
        match made.and_then(|folder| folder.write(&name, &picture.png)) {
            Ok(()) => _ = self.trouble.is_over(),
            Err(error) => {
                let path = self.run.path().join(FOLDER).join(name);
                let what = format!("cannot write {}: {error}", path.display());
                self.trouble.tell(&error, &what, "left out");
                self.lost += 1;
            }
        }
    }

    /// Pictures that were left out.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn channels_rows_and_columns_are_in_place() {
        let image = Tensor::zeros([3, 2, 5], (Kind::Float, Device::Cpu));
        let _ = image.get(0).get(1).get(4).fill_(1.0);
        let _ = image.get(2).get(0).get(3).fill_(-7.0);
        let _ = image.get(1).get(0).get(0).fill_(f64::NAN);
        let picture = encode(&image).unwrap();
        assert_eq!((picture.width, picture.height), (5, 2));
        let read = image::load_from_memory(&picture.png).unwrap().to_rgb8();
        assert_eq!(read.get_pixel(4, 1).0, [255, 128, 128]);
        assert_eq!(read.get_pixel(3, 0).0, [128, 128, 0]);
        assert_eq!(read.get_pixel(0, 0).0, [128, 0, 128]);
        assert!(encode(&image.get(0)).is_err());
    }
}
