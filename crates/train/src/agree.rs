//! Decisions that every rank must take alike.
//!
//! Whatever changes control flow (skip, stop, save, fail) goes through here: a rank
//! that decided alone would leave the others waiting in a collective.

use crate::Error;
use c10d::{ReduceOp, World};
use tch::{Device, Kind, Tensor};

/// Which of these flags are set on any rank.
pub(crate) fn any<const N: usize>(world: &World, flags: [bool; N]) -> Result<[bool; N], Error> {
    if world.size() == 1 {
        return Ok(flags);
    }
    // Gloo stands beside NCCL, so CPU tensors always travel.
    let all = Tensor::f_from_slice(&flags.map(i64::from))?;
    world.all_reduce(&all, ReduceOp::Max)?;
    let all: Vec<i64> = Vec::try_from(&all)?;
    Ok(std::array::from_fn(|i| all[i] > 0))
}

/// Lets every rank go on only if each of them succeeded, and so is a barrier too.
/// A rank that failed gets its own error, the others [`Error::OtherRank`].
pub(crate) fn all_ok<T>(
    world: &World,
    action: &'static str,
    result: Result<T, Error>,
) -> Result<T, Error> {
    // The smallest rank that failed, or the world size.
    let mine = if result.is_ok() { world.size() } else { world.rank() };
    match (world.reduce_scalar(mine as f64, ReduceOp::Min), result) {
        (_, Err(error)) => Err(error),
        (Err(error), Ok(_)) => Err(error.into()),
        (Ok(first), Ok(_)) if first < world.size() as f64 => {
            Err(Error::OtherRank { rank: first as usize, action })
        }
        (Ok(_), result) => result,
    }
}

/// Rank 0's text on every rank.
pub(crate) fn text_from_main(world: &World, text: &str) -> Result<String, Error> {
    if world.size() == 1 {
        return Ok(text.to_string());
    }
    let own = if world.is_main() { text.as_bytes() } else { &[] };
    let length = world.reduce_scalar(own.len() as f64, ReduceOp::Max)? as usize;
    // Never empty: one byte more than there is.
    let mut bytes = own.to_vec();
    bytes.resize(length + 1, 0);
    let bytes = Tensor::f_from_slice(&bytes)?.f_to_kind(Kind::Uint8)?.f_to_device(Device::Cpu)?;
    world.broadcast(&bytes, 0)?;
    let mut bytes: Vec<u8> = Vec::try_from(&bytes)?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
