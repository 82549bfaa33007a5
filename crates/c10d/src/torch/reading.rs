//! Reading a device's numbers without waiting for all that it has still to do.

use tch::Tensor;

use crate::Result;
use crate::ffi::{self, ShimReading};

/// A tensor under way to CPU memory. Dropping it forgets the copy.
#[derive(Debug)]
pub struct Reading(*mut ShimReading);

impl Drop for Reading {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::c10d_reading_free(self.0) }
    }
}

impl Reading {
    /// The values that the tensor had when the reading was asked for, in CPU memory. On CUDA
    /// this waits for what had been queued before that, not for what was queued since.
    ///
    /// # Errors
    /// [`Error::Libtorch`](crate::Error::Libtorch) when the device reports one.
    pub fn wait(self) -> Result<Tensor> {
        ffi::receive_tensor("reading a tensor", |out| {
            // SAFETY: a live reading and room for one pointer.
            unsafe { ffi::c10d_reading_wait(self.0, out) }
        })
    }
}

/// Starts copying `tensor` to CPU memory: at once if it is there, else through pinned memory,
/// behind the work that is queued on the current stream.
///
/// # Errors
/// [`Error::Libtorch`](crate::Error::Libtorch) when the device reports one.
pub fn read_later(tensor: &Tensor) -> Result<Reading> {
    let pointer = ffi::receive("reading a tensor", |out| {
        // SAFETY: a live tensor and room for one pointer.
        unsafe { ffi::c10d_read_later(tensor.as_ptr(), out) }
    })?;
    Ok(Reading(pointer))
}
