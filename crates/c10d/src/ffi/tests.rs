//! Nothing is thrown across: neither an exception into Rust nor a panic into C++.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::ptr::null_mut;

use tch::{Kind, Tensor};

use super::*;

/// The definitions in the files of `folder` whose first line `begins` says yes to: from there
/// to the next line that is a closing brace as far to the left.
fn definitions(folder: &str, begins: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            for first in (0..lines.len()).filter(|&first| begins(lines[first])) {
                let end = (first..lines.len()).find(|&end| lines[end].starts_with('}')).unwrap();
                found.push(lines[first..=end].join("\n"));
            }
        }
    }
    found
}

#[test]
fn every_function_that_rust_calls_has_a_guard() {
    let declared = include_str!("../ffi.rs").matches("fn c10d_").count();
    let names = |line: &str| line.contains(" c10d_") || line.contains("*c10d_");
    let begins = |line: &str| !line.starts_with([' ', '/', '#']) && names(line);
    let functions = definitions("csrc", begins);
    assert!(functions.len() >= declared, "{} of {declared} found", functions.len());
    for function in functions {
        let (signature, body) = function.split_once('{').unwrap();
        assert!(
            body.contains("shim::guard(") || signature.contains(" noexcept"),
            "no guard in {function}"
        );
    }
}

#[test]
fn every_function_that_cpp_calls_catches_panics() {
    // Those in blocks of declarations are indented.
    let functions = definitions("src", |line| line.starts_with("unsafe extern \"C\" fn "));
    assert_eq!(functions.len(), 5, "those of a checkpointed segment and of a store's connection");
    for function in functions {
        assert!(function.contains("catch_unwind("), "no catch_unwind in {function}");
    }
}

/// What a call that must fail says.
fn failure(name: &str, code: i32) -> String {
    let text = check(code, name).expect_err(name).to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{name}: {text:?}");
    text
}

#[test]
fn what_libtorch_throws_is_an_error_everywhere() {
    unsafe extern "C" fn refuses(_: *mut c_void, _: Tensors, _: i64, _: bool) -> *mut C_tensor {
        null_mut()
    }
    unsafe extern "C" fn ignores(_: *mut c_void) {}

    // Nearly everything throws when it is asked of a tensor that is none.
    let none = Tensor::new();
    let (none, one) = (none.as_ptr(), Tensor::ones([2], (Kind::Float, Device::Cpu)));
    let integer = Tensor::ones([3], (Kind::Int64, Device::Cpu));
    let (one, integer) = (one.as_ptr(), integer.as_ptr());
    let (ones, nones, integers) = ([one], [none], [integer]);
    let (ones, nones, integers) = (ones.as_ptr(), nones.as_ptr(), integers.as_ptr());
    let mut tensor: *mut C_tensor = null_mut();
    let mut reading: *mut ShimReading = null_mut();
    let mut bytes = [0_i64; 4];
    // SAFETY: live tensors (or undefined ones, which is what libtorch is to notice), room for
    // what comes out, and nothing comes out of a call that fails.
    unsafe {
        failure("backward", c10d_backward(one));
        failure(
            "sync_batch_norm",
            c10d_sync_batch_norm(none, one, one, one, one, 0.1, 1e-5, null_mut(), &mut tensor),
        );
        failure("grad_norm", c10d_grad_norm(nones, 1, &mut tensor));
        failure("clip_grads", c10d_clip_grads(nones, 1, one, 1.0));
        failure("zero_grads", c10d_zero_grads(nones, 1, false));
        failure("restore_if", c10d_restore_if(one, ones, integers, 1));
        failure("read_later", c10d_read_later(none, &mut reading));
        failure("resize", c10d_resize(none, 2, 2, true, 4, &mut tensor));
        failure("rng_state", c10d_rng_state(0, &mut tensor));
        failure("set_rng_state", c10d_set_rng_state(-1, one));
        failure("randn", c10d_randn_seeded([-1].as_ptr(), 1, 0, 6, -1, &mut tensor));
        failure("cuda_memory", c10d_cuda_memory(99, bytes.as_mut_ptr()));
        failure("reset_cuda_peak", c10d_reset_cuda_peak(99));
        failure("profile", c10d_profile_stop(std::ptr::null()));
        let code = c10d_checkpoint(nones, 1, nones, 1, null_mut(), refuses, ignores, &mut tensor);
        failure("checkpoint", code);
    }
    assert!(tensor.is_null() && reading.is_null());
}

#[test]
fn so_is_what_the_store_and_the_group_throw() {
    let none = Tensor::new();
    let none = none.as_ptr();
    let (nones, host) = ([none], c"127.0.0.1".as_ptr());
    let nones = nones.as_ptr();
    let integer = Tensor::ones([3], (Kind::Int64, Device::Cpu));
    let integers = [integer.as_ptr()];
    let integers = integers.as_ptr();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut store, mut lonely) = (null_mut(), null_mut());
    let (mut group, mut missing, mut work, mut reducer) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    let mut outputs = [null_mut()];
    // SAFETY: as above; the store takes the socket over, what is made is freed.
    unsafe {
        use std::os::fd::IntoRawFd;
        check(c10d_store_new(host, port, listener.into_raw_fd(), 20_000, &mut store), "").unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        failure("store_new", c10d_store_new(host, closed.port(), -1, 100, &mut lonely));
        failure("store_wait", c10d_store_wait(store, c"nobody".as_ptr(), 50));
        failure("store_join", c10d_store_join(store, 0, 2, 50, [0_u8; 2].as_mut_ptr()));
        failure("group_new", c10d_group_new(store, 0, 2, 200, true, false, &mut missing));
        let mut below = null_mut();
        check(c10d_store_below(store, c"alone".as_ptr(), &mut below), "").unwrap();
        check(c10d_group_new(below, 0, 1, 5000, true, false, &mut group), "").unwrap();
        failure("all_reduce", c10d_all_reduce(group, none, 0, &mut work));
        failure("broadcast", c10d_broadcast(group, none, 0, &mut work));
        failure("all_gather", c10d_all_gather(group, none, outputs.as_mut_ptr()));
        failure("broadcast_all", c10d_broadcast_all(group, nones, 1, 0));
        // Only floating-point tensors have gradients.
        let code = c10d_reducer_new(group, integers, 1, 1, 1, true, true, &mut reducer);
        failure("reducer_new", code);
        c10d_group_free(group);
        c10d_store_free(below);
        c10d_store_free(store);
    }
    assert!(lonely.is_null() && missing.is_null() && work.is_null() && reducer.is_null());
}

#[test]
fn unsafe_code_is_here_and_nowhere_else() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for entry in fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        // The workspace denies unsafe code.
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", folder.display());
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop().filter(|_| !folder.ends_with("c10d")) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    assert!(!text.contains("(unsafe_code)"), "{}", path.display());
                }
            }
        }
    }
}
