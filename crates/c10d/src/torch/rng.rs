//! Random numbers as a function of a seed, and the default generators' state.

use tch::{Device, Kind, Tensor};

use crate::ffi::{self, device_code};
use crate::{Error, Result};

/// Standard normal numbers that depend on `shape`, `seed` and `kind` alone, on one type of
/// device. The default generator is neither used nor moved. The numbers are not those that
/// `torch.manual_seed(seed)` would start.
///
/// # Errors
/// [`Error::Unsupported`] for a kind that is not floating point or a device that is not there;
/// [`Error::Libtorch`] for a negative size.
pub fn randn_seeded(shape: &[i64], seed: u64, kind: Kind, device: Device) -> Result<Tensor> {
    // c10::ScalarType; tch keeps its own copy of these numbers private.
    let scalar_type = match kind {
        Kind::Half => 5,
        Kind::Float => 6,
        Kind::Double => 7,
        Kind::BFloat16 => 15,
        other => {
            return Err(Error::Unsupported(format!("no normal numbers of kind {other:?}")));
        }
    };
    let device = device_code(device)?;
    ffi::receive_tensor("randn_seeded", |out| {
        // SAFETY: `shape` outlives the call.
        unsafe {
            ffi::c10d_randn_seeded(
                shape.as_ptr(),
                shape.len() as i64,
                spread(seed),
                scalar_type,
                device,
                out,
            )
        }
    })
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014). libtorch's CPU generator looks at the
/// low 32 bits of its seed alone; after this they depend on all 64.
fn spread(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The state of `device`'s default generator: a `uint8` CPU tensor to save and later give
/// back to [`set_rng_state`].
///
/// # Errors
/// [`Error::Unsupported`] for a device that is not there.
pub fn rng_state(device: Device) -> Result<Tensor> {
    let device = device_code(device)?;
    // SAFETY: an out-pointer for the length of the call.
    ffi::receive_tensor("rng_state", |out| unsafe { ffi::c10d_rng_state(device, out) })
}

/// Puts `device`'s default generator into a state that [`rng_state`] returned.
///
/// # Errors
/// [`Error::Libtorch`] when `state` is no such state; [`Error::Unsupported`] for a device that
/// is not there.
pub fn set_rng_state(device: Device, state: &Tensor) -> Result<()> {
    let device = device_code(device)?;
    // SAFETY: a live tensor.
    ffi::check(unsafe { ffi::c10d_set_rng_state(device, state.as_ptr()) }, "set_rng_state")
}
