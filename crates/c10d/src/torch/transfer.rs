//! Bytes into tensors, and tensors to the device that computes.

use std::mem::MaybeUninit;
use std::{ptr, slice};

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// A new u8 tensor on the CPU that holds `rows` one after the other.
///
/// tch builds tensors from one slice only, so that a batch of images would be copied twice:
/// into one vector, then into the tensor.
///
/// # Errors
/// [`Error::InvalidArgument`] when `rows` together have another length than `shape`;
/// [`Error::Libtorch`] when there is not enough memory.
pub fn from_bytes(rows: &[&[u8]], shape: &[i64]) -> Result<Tensor> {
    let length = rows.iter().map(|row| row.len()).sum::<usize>();
    let tensor = Tensor::f_empty(shape, (Kind::Uint8, Device::Cpu))?;
    if tensor.numel() != length {
        return Err(Error::InvalidArgument(format!("{length} bytes for a tensor of {shape:?}")));
    }
    let mut place = tensor.data_ptr().cast::<u8>();
    for row in rows {
        // SAFETY: the tensor is new, so nobody else sees its memory; it is contiguous and
        // as long as all rows together.
        unsafe {
            ptr::copy_nonoverlapping(row.as_ptr(), place, row.len());
            place = place.add(row.len());
        }
    }
    Ok(tensor)
}

/// The numbers that `number` gives for the bytes of `bytes`: f32, of the same shape, in one pass
/// on this thread. Operations of libtorch would be a pass each, and memory is what they wait for.
///
/// # Errors
/// [`Error::InvalidArgument`] unless `bytes` is a contiguous u8 tensor on the CPU;
/// [`Error::Libtorch`] when there is not enough memory.
pub fn map_bytes(bytes: &Tensor, number: impl Fn(u8) -> f32) -> Result<Tensor> {
    let (kind, device) = (bytes.f_kind()?, bytes.device());
    if kind != Kind::Uint8 || device != Device::Cpu || !bytes.is_contiguous() {
        let what =
            format!("a contiguous Uint8 tensor on the CPU is needed, not {kind:?} {device:?}");
        return Err(Error::InvalidArgument(what));
    }
    let numbers = Tensor::f_empty(bytes.size(), (Kind::Float, Device::Cpu))?;
    let length = bytes.numel();
    if length > 0 {
        // SAFETY: both tensors are contiguous and of `length` elements, the second is new, so
        // that nobody else sees its memory, which may be uninitialised as its type says.
        let (from, to) = unsafe {
            (
                slice::from_raw_parts(bytes.data_ptr().cast::<u8>(), length),
                slice::from_raw_parts_mut(numbers.data_ptr().cast::<MaybeUninit<f32>>(), length),
            )
        };
        for (place, &byte) in to.iter_mut().zip(from) {
            place.write(number(byte));
        }
    }
    Ok(numbers)
}

/// `tensor` (on the CPU) on `device`: itself where that is the CPU, else copied through pinned
/// memory without waiting. The copy is queued on the device's current stream, before whatever
/// is queued there next; libtorch keeps the pinned memory until it is done.
///
/// # Errors
/// [`Error::Libtorch`] when the device is not there or its memory is full.
pub fn upload(tensor: &Tensor, device: Device) -> Result<Tensor> {
    match device {
        Device::Cuda(_) => {
            // Not `pin_memory`, which warns that it was told the device.
            let pinned = tensor.f_internal_pin_memory(device)?;
            Ok(pinned.f_to_device_(device, tensor.kind(), true, false)?)
        }
        _ => Ok(tensor.f_to_device(device)?),
    }
}
