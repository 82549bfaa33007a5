//! A collective under way.

use tch::Tensor;

use crate::ffi::{self, ShimWork};
use crate::{Error, Result};

/// A collective that has been started and may still be running.
///
/// The tensor holds the result only after [`Work::wait`]; until then, do not read or write
/// it. Dropping a `Work` waits too (and loses the error, if any), so that the memory is never
/// freed or reused under a running collective.
///
/// On CUDA, waiting orders the current stream after the collective and returns at once, as in
/// PyTorch.
#[must_use = "wait() for it: dropping a Work waits too, but hides its error"]
#[derive(Debug)]
pub struct Work {
    handle: Option<Handle>,
    doing: &'static str,
    /// Where the result goes, if the collective ran on a contiguous copy of the caller's tensor.
    copy_back: Option<(Tensor, Tensor)>,
}

#[derive(Debug)]
struct Handle(*mut ShimWork);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::c10d_work_free(self.0) }
    }
}

impl Work {
    /// Nothing to wait for: the result is there.
    pub(crate) fn done() -> Work {
        Work { handle: None, doing: "", copy_back: None }
    }

    /// `destination`: the caller's tensor; `buffer`: the contiguous tensor that is worked on.
    pub(crate) fn new(
        work: *mut ShimWork,
        doing: &'static str,
        destination: &Tensor,
        buffer: Tensor,
    ) -> Work {
        let copy_back =
            (!same_memory(destination, &buffer)).then(|| (destination.detach(), buffer));
        Work { handle: Some(Handle(work)), doing, copy_back }
    }

    /// Waits until the result is in place.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the group's timeout passes first, [`Error::PeerLost`] when
    /// another rank has gone away. After either the group is of no more use.
    pub fn wait(mut self) -> Result<()> {
        self.finish()
    }

    /// Whether the collective has ended, well or badly. Does not block.
    ///
    /// # Errors
    /// [`Error::Libtorch`] when the backend cannot tell.
    pub fn is_completed(&self) -> Result<bool> {
        let Some(handle) = &self.handle else { return Ok(true) };
        let mut completed = false;
        // SAFETY: a live handle; `completed` outlives the call.
        let code = unsafe { ffi::c10d_work_is_completed(handle.0, &mut completed) };
        ffi::check(code, self.doing)?;
        Ok(completed)
    }

    fn finish(&mut self) -> Result<()> {
        let copy_back = self.copy_back.take();
        let Some(handle) = self.handle.take() else { return Ok(()) };
        // SAFETY: a live handle.
        ffi::check(unsafe { ffi::c10d_work_wait(handle.0) }, self.doing)?;
        if let Some((mut destination, buffer)) = copy_back {
            tch::no_grad(|| destination.f_copy_(&buffer).map(|_| ())).map_err(Error::from)?;
        }
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // A caller who wants the error calls wait().
        let _ = self.finish();
    }
}

/// Whether writing to `b` writes to `a`: the two are one piece of memory.
fn same_memory(a: &Tensor, b: &Tensor) -> bool {
    a.data_ptr() == b.data_ptr() && a.is_contiguous()
}
