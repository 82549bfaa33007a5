//! A batch of pairs: bytes until it is where it is computed with.

use tch::{Device, Tensor};

use crate::tensor::normalise;
use crate::{Error, PairItem};

/// A batch of `B` pairs; `B` is `batch_size`, or less for an epoch's last batch.
///
/// The images stay bytes until [`PairBatch::to_device`]: a quarter of what floats would take
/// on the way to a GPU.
#[derive(Debug)]
pub struct PairBatch {
    /// Source images, `[B, 3, S, S]`, u8, on the CPU, channels in the networks' order.
    pub source: Tensor,
    /// Target images, as `source`.
    pub target: Tensor,
    /// Which images these are, in the same order.
    pub items: Vec<PairItem>,
    /// Their files, relative to the data set's root: `SOURCE and TARGET`.
    pub names: Vec<String>,
}

impl PairBatch {
    /// The first pair alone, for a picture; shares its memory.
    pub fn first(&self) -> PairBatch {
        PairBatch {
            source: self.source.narrow(0, 0, 1),
            target: self.target.narrow(0, 0, 1),
            items: self.items[..1].to_vec(),
            names: self.names[..1].to_vec(),
        }
    }

    /// Sources and targets as the networks see them. Nothing is waited for on CUDA.
    ///
    /// # Shapes
    /// `[B, 3, S, S]` each, f32, x/127.5 − 1 (method.md §1), contiguous, on `device`; the same
    /// bits on every device.
    ///
    /// # Errors
    /// [`Error::Torch`] when the device is not there or its memory is full.
    pub fn to_device(&self, device: Device) -> Result<(Tensor, Tensor), Error> {
        let move_over = |images| normalise(&c10d::torch::upload(images, device)?);
        Ok((move_over(&self.source)?, move_over(&self.target)?))
    }
}
