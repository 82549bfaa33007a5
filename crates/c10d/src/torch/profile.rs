//! Where the time goes: libtorch's profiler and named ranges.

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::path::Path;

use crate::ffi::{self, ShimRange};
use crate::{Error, Result};

/// A recording of every operation of every thread of this process, and of CUDA's kernels. Ends
/// when it is dropped; there is one at a time.
#[must_use = "the recording ends where it is dropped"]
#[derive(Debug)]
pub struct Profile(());

impl Profile {
    /// Starts recording.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a profile is already being taken; [`Error::Libtorch`].
    pub fn start() -> Result<Profile> {
        // SAFETY: no arguments.
        ffi::check(unsafe { ffi::c10d_profile_start() }, "starting the profiler")?;
        Ok(Profile(()))
    }

    /// Ends the recording and writes it as a Chrome trace (for `chrome://tracing` or Perfetto).
    ///
    /// # Errors
    /// [`Error::Libtorch`] when the file was not written.
    pub fn save(self, path: &Path) -> Result<()> {
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| Error::InvalidArgument("a file name contains a NUL".into()))?;
        std::mem::forget(self);
        // SAFETY: a NUL-terminated string for the length of the call.
        ffi::check(unsafe { ffi::c10d_profile_stop(name.as_ptr()) }, "writing the profile")?;
        if path.is_file() {
            return Ok(());
        }
        Err(Error::Libtorch(format!("the profiler could not write {}", path.display())))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // SAFETY: null is allowed. libtorch cannot exit in the middle of a recording.
        let _ = unsafe { ffi::c10d_profile_stop(std::ptr::null()) };
    }
}

/// What this thread does until it is dropped, under a name in the profile. Costs next to
/// nothing while no profile is being taken.
#[must_use = "the range ends where it is dropped"]
#[derive(Debug)]
pub struct Range {
    range: *mut ShimRange,
    // A range ends on the thread it began on.
    _thread: PhantomData<*const ()>,
}

/// Begins a [`Range`].
pub fn range(name: &CStr) -> Range {
    // SAFETY: a NUL-terminated string for the length of the call.
    let range = unsafe { ffi::c10d_range_begin(name.as_ptr()) };
    Range { range, _thread: PhantomData }
}

impl Drop for Range {
    fn drop(&mut self) {
        if !self.range.is_null() {
            // SAFETY: made by the shim on this thread, ended once.
            unsafe { ffi::c10d_range_end(self.range) }
        }
    }
}
