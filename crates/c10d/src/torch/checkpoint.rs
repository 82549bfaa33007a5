//! Activation checkpointing: memory for time.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use super::Autocast;
use crate::ffi;
use crate::{Error, Result};

/// Threads share it through the graph, which hands out clones of its tensors: any of them may
/// run a backward pass, or drop the graph's last tensor and the closure with it.
type Closure = Mutex<Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send>>;

/// Sharing it is sound: this does not compile otherwise.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Closure>();
};

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
/// pass, while the thread that asked for that waits; on CUDA that is one of libtorch's own
/// threads. So it must be `Send`: it owns clones of the tensors it uses, or shares them behind a
/// lock.
///
/// Without gradients it is just `segment(inputs)`.
///
/// ```compile_fail,E0277
/// # let x = tch::Tensor::from(1.0);
/// let count = std::rc::Rc::new(std::cell::Cell::new(0));
/// c10d::torch::checkpoint(&[x], &[], move |inputs| {
///     count.set(count.get() + 1); // Another thread may be counting, too.
///     Ok(inputs[0].tanh())
/// });
/// ```
///
/// # Errors
/// Those of `segment`, which the backward pass returns, too; [`Error::Libtorch`] when it
/// panics.
pub fn checkpoint(
    inputs: &[Tensor],
    parameters: &[Tensor],
    segment: impl Fn(&[Tensor]) -> Result<Tensor> + Send + 'static,
) -> Result<Tensor> {
    let device = inputs.first().map_or(Device::Cpu, Tensor::device);
    let precision = Autocast::is_on(device);
    let closure: Box<Closure> = Box::new(Mutex::new(Box::new(move |inputs: &[Tensor]| {
        let _precision = Autocast::new(device, precision);
        segment(inputs)
    })));
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
        // SAFETY: the shim keeps the closure alive during the call.
        let closure = unsafe { &*closure.cast::<Closure>() };
        let own = |i: i64| {
            // SAFETY: a live tensor; the clone is ours.
            unsafe { Tensor::clone_from_ptr((*inputs.offset(i as isize)).cast_mut()) }
        };
        let inputs: Vec<Tensor> = (0..count).map(own).collect();
        let _range = again.then(|| super::range(c"recompute"));
        // One that has panicked is as good as before: it cannot change what it owns.
        let closure = closure.lock().unwrap_or_else(PoisonError::into_inner);
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
            // Fails only where the thread is ending; then nobody reads it.
            let _ = FAILURE.try_with(|failure| failure.replace(Some(error)));
            ptr::null_mut()
        }
    }
}

/// # Safety
/// `closure` comes from [`checkpoint`] and is not used again.
unsafe extern "C" fn drop_closure(closure: *mut c_void) {
    let discard = || {
        // SAFETY: the box that `checkpoint` gave away.
        drop(unsafe { Box::from_raw(closure.cast::<Closure>()) });
    };
    // What the panic was about has been printed; nobody is there to hear more.
    let _ = catch_unwind(AssertUnwindSafe(discard));
}
