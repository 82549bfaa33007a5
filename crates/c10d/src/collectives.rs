//! Collectives of a [`World`]. All ranks call the same ones, in the same order, with tensors
//! of the same shape and dtype.

use std::collections::BTreeMap;
use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::{Error, Result, Work, World, ffi};

/// How elements of different ranks become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceOp {
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

impl ReduceOp {
    /// c10d::ReduceOp::RedOpType.
    fn code(self) -> u8 {
        match self {
            ReduceOp::Sum => 0,
            ReduceOp::Min => 3,
            ReduceOp::Max => 4,
        }
    }
}

/// Flat pieces of at most this many bytes are sent at a time, as DDP does.
const PIECE_BYTES: usize = 25 * 1024 * 1024;

impl World {
    /// Replaces `tensor` on every rank by the sum, least or greatest over all ranks.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::PeerLost`]; [`Error::Libtorch`] for a dtype that the
    /// backend does not know (Gloo: no `Bool`, no `Int16`).
    pub fn all_reduce(&self, tensor: &Tensor, op: ReduceOp) -> Result<()> {
        self.all_reduce_async(tensor, op)?.wait()
    }

    /// Starts [`World::all_reduce`]; the tensor holds the result after [`Work::wait`].
    ///
    /// # Errors
    /// As for [`World::all_reduce`]; failures under way come from [`Work::wait`].
    pub fn all_reduce_async(&self, tensor: &Tensor, op: ReduceOp) -> Result<Work> {
        let Some(group) = self.group() else { return Ok(Work::done()) };
        let buffer = tensor.detach().f_contiguous()?;
        let work = ffi::receive("all-reduce", |out| {
            // SAFETY: a live group and tensor; the shim keeps its own reference to the data.
            unsafe { ffi::c10d_all_reduce(group.pointer(), buffer.as_ptr(), op.code(), out) }
        })?;
        Ok(Work::new(work, "all-reduce", tensor, buffer))
    }

    /// Replaces `tensor` on every rank by that of rank `root`.
    ///
    /// # Errors
    /// As for [`World::all_reduce`]; [`Error::InvalidArgument`] if there is no rank `root`.
    pub fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<()> {
        let root = self.check_root(root)?;
        let Some(group) = self.group() else { return Ok(()) };
        let buffer = tensor.detach().f_contiguous()?;
        let work = ffi::receive("broadcast", |out| {
            // SAFETY: as in all_reduce_async.
            unsafe { ffi::c10d_broadcast(group.pointer(), buffer.as_ptr(), root, out) }
        })?;
        Work::new(work, "broadcast", tensor, buffer).wait()
    }

    /// The tensors of all ranks, in order of rank.
    ///
    /// # Errors
    /// As for [`World::all_reduce`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>> {
        let Some(group) = self.group() else { return Ok(vec![tensor.detach().copy()]) };
        let mut outputs: Vec<*mut C_tensor> = vec![ptr::null_mut(); self.size()];
        // SAFETY: a live group and tensor, and room for one pointer per rank.
        let code =
            unsafe { ffi::c10d_all_gather(group.pointer(), tensor.as_ptr(), outputs.as_mut_ptr()) };
        ffi::check(code, "all-gather")?;
        // SAFETY: on success every pointer is a tensor given away by the shim.
        Ok(outputs.into_iter().map(|pointer| unsafe { Tensor::from_ptr(pointer) }).collect())
    }

    /// Returns when all ranks have come to it.
    ///
    /// # Errors
    /// As for [`World::all_reduce`].
    pub fn barrier(&self) -> Result<()> {
        if self.group().is_none() {
            return Ok(());
        }
        // A sum over all ranks exists only when all have given their part; reading it waits
        // for CUDA as well.
        let one = Tensor::f_ones([1], (Kind::Int64, self.device()))?;
        self.all_reduce(&one, ReduceOp::Sum)?;
        one.f_int64_value(&[0])?;
        Ok(())
    }

    /// The sum of `x` over all ranks. Reads a number back: not for the inner loop on CUDA.
    ///
    /// # Errors
    /// As for [`World::all_reduce`].
    pub fn sum_scalar(&self, x: f64) -> Result<f64> {
        self.reduce_scalar(x, ReduceOp::Sum)
    }

    /// The mean of `x` over all ranks.
    ///
    /// # Errors
    /// As for [`World::all_reduce`].
    pub fn mean_scalar(&self, x: f64) -> Result<f64> {
        Ok(self.sum_scalar(x)? / self.size() as f64)
    }

    /// The sum, least or greatest of `x` over all ranks, exchanged in CPU memory as float64.
    ///
    /// # Errors
    /// As for [`World::all_reduce`].
    pub fn reduce_scalar(&self, x: f64, op: ReduceOp) -> Result<f64> {
        if self.group().is_none() {
            return Ok(x);
        }
        // Gloo stands beside NCCL, so CPU tensors always travel.
        let tensor = Tensor::f_full([1], x, (Kind::Double, Device::Cpu))?;
        self.all_reduce(&tensor, op)?;
        Ok(tensor.f_double_value(&[0])?)
    }

    /// Copies rank `root`'s tensors into those of the other ranks, many to a message: for
    /// parameters and buffers at start-up. Shapes and dtypes must agree between ranks, memory
    /// layouts need not.
    ///
    /// # Errors
    /// As for [`World::broadcast`].
    pub fn broadcast_all(&self, tensors: &[Tensor], root: usize) -> Result<()> {
        let root = self.check_root(root)?;
        let Some(group) = self.group() else { return Ok(()) };
        if tensors.is_empty() {
            return Ok(());
        }
        let pointers = ffi::pointers(tensors);
        // SAFETY: a live group; the pointers are those of tensors borrowed for the call.
        let code = unsafe {
            ffi::c10d_broadcast_all(group.pointer(), pointers.as_ptr(), pointers.len() as i64, root)
        };
        ffi::check(code, "broadcast")
    }

    /// Replaces each of these floating-point tensors by its mean over all ranks, many to a
    /// message: for buffers such as running statistics.
    ///
    /// # Errors
    /// As for [`World::all_reduce`].
    pub fn all_reduce_mean(&self, tensors: &[Tensor]) -> Result<()> {
        if self.group().is_none() {
            return Ok(());
        }
        tch::no_grad(|| {
            pieces(tensors).into_iter().try_for_each(|piece| self.mean_of_piece(&piece))
        })
    }

    fn mean_of_piece(&self, piece: &[&Tensor]) -> Result<()> {
        let flat: Vec<Tensor> = piece
            .iter()
            .map(|t| t.detach().f_reshape([-1]))
            .collect::<std::result::Result<_, _>>()?;
        let mut flat = Tensor::f_cat(&flat, 0)?;
        self.all_reduce(&flat, ReduceOp::Sum)?;
        let _ = flat.f_div_scalar_(self.size() as i64)?;
        let mut at = 0;
        for tensor in piece {
            let count = tensor.numel() as i64;
            tensor.detach().f_copy_(&flat.f_narrow(0, at, count)?.f_view_as(tensor)?)?;
            at += count;
        }
        Ok(())
    }

    fn check_root(&self, root: usize) -> Result<i32> {
        match i32::try_from(root) {
            Ok(code) if root < self.size() => Ok(code),
            _ => Err(Error::InvalidArgument(format!(
                "there is no rank {root} in a world of {}",
                self.size()
            ))),
        }
    }
}

/// Tensors of one dtype and device together, in pieces of at most [`PIECE_BYTES`] (or one
/// tensor), in an order that depends on the list alone and so is the same on all ranks.
fn pieces(tensors: &[Tensor]) -> Vec<Vec<&Tensor>> {
    let mut done = Vec::new();
    let mut open: BTreeMap<String, (usize, Vec<&Tensor>)> = BTreeMap::new();
    for tensor in tensors.iter().filter(|t| t.numel() > 0) {
        let bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
        let key = format!("{:?} {:?}", tensor.kind(), tensor.device());
        let (size, piece) = open.entry(key).or_default();
        if !piece.is_empty() && *size + bytes > PIECE_BYTES {
            done.push(std::mem::take(piece));
            *size = 0;
        }
        *size += bytes;
        piece.push(tensor);
    }
    done.extend(open.into_values().map(|(_, piece)| piece).filter(|piece| !piece.is_empty()));
    done
}
