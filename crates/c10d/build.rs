//! Compiles the C++ shim in `csrc/` against the libtorch that torch-sys found.
//!
//! torch-sys tells where libtorch's `lib` folder is; its headers lie beside it. With the
//! feature `cuda` the CUDA and NCCL headers are looked for where the Python wheels put them
//! (`site-packages/nvidia/*/include`), then in `$CUDA_HOME/include`, and first of all in the
//! folders that `C10D_CUDA_INCLUDE` lists (separated by ':').

use std::env;
use std::path::{Path, PathBuf};

const SOURCES: [&str; 14] = [
    "errors.cpp",
    "rendezvous.cpp",
    "group.cpp",
    "collectives.cpp",
    "reducer.cpp",
    "batch_norm.cpp",
    "autocast.cpp",
    "optim.cpp",
    "reading.cpp",
    "context.cpp",
    "profile.cpp",
    "allocator.cpp",
    "checkpoint.cpp",
    "resize.cpp",
];

fn main() {
    println!("cargo:rerun-if-changed=csrc");
    println!("cargo:rerun-if-env-changed=C10D_CUDA_INCLUDE");
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    println!("cargo:rerun-if-env-changed=C10D_SANITIZE");

    let lib = PathBuf::from(env::var_os("DEP_TCH_LIBTORCH_LIB").expect(
        "torch-sys did not say where libtorch is (DEP_TCH_LIBTORCH_LIB); Linux or macOS is needed",
    ));
    let root = lib.parent().expect("libtorch's lib folder has a parent");
    let include = root.join("include");
    let header = include.join("torch/csrc/distributed/c10d/ProcessGroup.hpp");
    assert!(header.is_file(), "libtorch's headers are missing: {} not found", header.display());

    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .pic(true)
        // The shim only forwards calls: optimising it harder costs build time and gains nothing.
        .opt_level(1)
        .debug(false)
        .include("csrc/gloo_forward")
        // -isystem: warnings in libtorch's headers are not ours to mend.
        .flag("-isystem")
        .flag(&include)
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include"))
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        .define("GLOG_USE_GLOG_EXPORT", None)
        .flag_if_supported("-Wno-unused-parameter")
        .files(SOURCES.iter().map(|name| Path::new("csrc").join(name)));
    // For scripts/sanitize.sh, which also links the sanitizers: "address,undefined".
    if let Ok(sanitizers) = env::var("C10D_SANITIZE") {
        build
            .flag(format!("-fsanitize={sanitizers}"))
            .flag("-fno-sanitize-recover=all")
            // libtorch is built without type information for some of its classes.
            .flag("-fno-sanitize=vptr")
            .flag("-fno-omit-frame-pointer")
            .debug(true);
    }
    if let Ok(abi) = env::var("LIBTORCH_CXX11_ABI") {
        build.define("_GLIBCXX_USE_CXX11_ABI", abi.as_str());
    }

    let cuda = env::var_os("CARGO_FEATURE_CUDA").is_some();
    if cuda {
        build.define("USE_C10D_NCCL", None);
        // `lib` may be a link into a virtual environment: the wheels lie beside what it means.
        let real = lib.canonicalize().unwrap_or_else(|_| lib.clone());
        for folder in cuda_includes(real.parent().unwrap_or(root)) {
            build.flag("-isystem").flag(folder);
        }
    }
    build.compile("c10d_shim");

    println!("cargo:rustc-link-search=native={}", lib.display());
    if cuda {
        println!("cargo:rustc-link-lib=torch_cuda");
        println!("cargo:rustc-link-lib=c10_cuda");
    }
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    // Our own tests and examples find libtorch without LD_LIBRARY_PATH; dependents read
    // DEP_C10D_SHIM_LIBTORCH_LIB in a build script if they want the same.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo:libtorch_lib={}", lib.display());
    // Our own tests compile a small program against libtorch's headers.
    println!("cargo:rustc-env=C10D_LIBTORCH={}", root.display());
}

/// The folders that hold `cuda_runtime.h`, CCCL and `nccl.h`.
fn cuda_includes(libtorch: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::var_os("C10D_CUDA_INCLUDE")
        .map(|list| env::split_paths(&list).collect())
        .unwrap_or_default();
    if let Some(site_packages) = libtorch.parent() {
        let nvidia = site_packages.join("nvidia");
        for name in ["cu13/include", "cu13/include/cccl", "nccl/include"] {
            folders.push(nvidia.join(name));
        }
    }
    if let Some(home) = env::var_os("CUDA_HOME") {
        folders.push(Path::new(&home).join("include"));
        folders.push(Path::new(&home).join("include/cccl"));
    }
    folders.retain(|folder| folder.is_dir());
    for header in ["cuda_runtime.h", "nccl.h"] {
        let known =
            ["/usr/include", "/usr/local/include", "/usr/local/cuda/include"].map(PathBuf::from);
        assert!(
            folders.iter().chain(&known).any(|folder| folder.join(header).is_file()),
            "feature `cuda`: {header} not found; install the CUDA headers (Python wheels \
             nvidia-cuda-runtime, nvidia-cuda-crt, nvidia-cuda-cccl, nvidia-nccl-cu13) beside torch, \
             or set CUDA_HOME or C10D_CUDA_INCLUDE"
        );
    }
    folders.push(PathBuf::from("/usr/local/cuda/include"));
    folders.retain(|folder| folder.is_dir());
    folders
}
