//! Activation checkpointing: memory for time.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use super::Autocast;
use crate::ffi;
use crate::{Error, Result};

type Closure = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

thread_local! {
    static RECOMPUTING: Cell<bool> = const { Cell::new(false) };
    /// Why the last segment on this thread failed, on its way through C++.
    static FAILURE: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// `segment(inputs)`, of whose graph only `inputs` are kept: the backward pass runs `segment`
/// again (Chen et al. 2016, "Training deep nets with sublinear memory cost").
///
/// `parameters` are the other tensors in `segment` that gradients are wanted of; those of any
/// further tensor are lost. `segment` must give the same result every time, so it may not draw
/// from the default random generators; where it updates running statistics, it must not do so
/// while [`recomputing`]. It is run a second time by the thread that computes the backward
/// pass, while the thread that asked for that waits.
///
/// Without gradients it is just `segment(inputs)`.
///
/// # Errors
/// Those of `segment`, which the backward pass returns, too; [`Error::Libtorch`] when it
/// panics.
pub fn checkpoint(
    inputs: &[Tensor],
    parameters: &[Tensor],
    segment: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
) -> Result<Tensor> {
    let device = inputs.first().map_or(Device::Cpu, Tensor::device);
    let precision = Autocast::is_on(device);
    let closure: Box<Closure> = Box::new(Box::new(move |inputs: &[Tensor]| {
        let _precision = Autocast::new(device, precision);
        segment(inputs)
    }));
    let (inputs, parameters) = (ffi::pointers(inputs), ffi::pointers(parameters));
    let result = ffi::receive_tensor("a checkpointed segment", |out| {
        // SAFETY: pointers of tensors borrowed for the call; the closure is given away and
        // dropped by `drop_closure` together with the graph.
        unsafe {
            ffi::c10d_checkpoint(
                inputs.as_ptr(),
                inputs.len() as i64,
                parameters.as_ptr(),
                parameters.len() as i64,
                Box::into_raw(closure).cast(),
                run_closure,
                drop_closure,
                out,
            )
        }
    });
    result.map_err(segment_failure)
}

/// Whether a checkpointed segment is being run again, for the backward pass.
pub fn recomputing() -> bool {
    RECOMPUTING.get()
}

/// The error of a segment, if it was one that ended what `error` reports.
pub(crate) fn segment_failure(error: Error) -> Error {
    FAILURE.take().unwrap_or(error)
}

/// # Safety
/// `closure` comes from [`checkpoint`]; `inputs` are `count` live tensors.
unsafe extern "C" fn run_closure(
    closure: *mut c_void,
    inputs: *const *const C_tensor,
    count: i64,
    again: bool,
) -> *mut C_tensor {
    let run = || {
        // SAFETY: the shim keeps the closure alive during the call and calls it from one
        // thread at a time.
        let closure = unsafe { &*closure.cast::<Closure>() };
        let own = |i: i64| {
            // SAFETY: a live tensor; the clone is ours.
            unsafe { Tensor::clone_from_ptr((*inputs.offset(i as isize)).cast_mut()) }
        };
        let inputs: Vec<Tensor> = (0..count).map(own).collect();
        let _range = again.then(|| super::range(c"recompute"));
        closure(&inputs)
    };
    // A segment may hold segments of its own.
    let outer = RECOMPUTING.replace(again || RECOMPUTING.get());
    let result = catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Error::Libtorch("a checkpointed segment panicked".into())));
    RECOMPUTING.set(outer);
    match result {
        Ok(mut tensor) => {
            let pointer = tensor.as_mut_ptr();
            // The shim deletes it.
            std::mem::forget(tensor);
            pointer
        }
        Err(error) => {
            FAILURE.set(Some(error));
            ptr::null_mut()
        }
    }
}

/// # Safety
/// `closure` comes from [`checkpoint`] and is not used again.
unsafe extern "C" fn drop_closure(closure: *mut c_void) {
    // SAFETY: the box that `checkpoint` gave away. A panic in a destructor ends the process.
    drop(unsafe { Box::from_raw(closure.cast::<Closure>()) });
}
