#!/bin/bash
# Puts libtorch where the build looks for it: .libtorch/{lib,include} at the root
# of the repository. Afterwards plain `cargo build`, `cargo run`, `cargo test` work.
# Runs again at no cost; an interrupted run goes on where it stopped.
set -euo pipefail

self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/common.sh"

version=2.13.0
libtorch=$root/.libtorch
wheels=$libtorch/wheels
staging=$libtorch/staging
stamp=$libtorch/stamp

usage() {
    cat <<EOF
usage: scripts/setup.sh [--cuda] [--env]

Without options: the CPU libtorch $version in .libtorch (540 MB fetched with pip, 480 MB kept).
  --cuda   the full PyTorch $version for NVIDIA GPUs in .venv (4.7 GB), .libtorch pointing there
  --env    also print, on stdout, what a shell must export to run what was built (nothing
           with .libtorch, unless CARGO_TARGET_DIR is set):  eval "\$(scripts/setup.sh --env)"

LIBTORCH or LIBTORCH_USE_PYTORCH, when set, is used as it is and nothing is fetched.
Delete .libtorch (and .venv) to start over or to go back from --cuda.
EOF
}

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $*"
    exit 1
}

cuda=false print_env=false
for argument in "$@"; do
    case $argument in
    --cuda) cuda=true ;;
    --env) print_env=true ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        say "error: unknown option $argument (see scripts/setup.sh --help)"
        exit 2
        ;;
    esac
done

# The libtorch that the user has already chosen. Cargo's run path does not lead
# there, so what was built needs LD_LIBRARY_PATH.
use_existing() {
    local lib python
    if [[ -n ${LIBTORCH_USE_PYTORCH:-} ]]; then
        python=$(find_python)
        # Isolated, but with what the user has installed for himself.
        lib=$("$python" -I -c 'import os, site, sys
sys.path.append(site.getusersitepackages())
import torch
print(os.path.join(os.path.dirname(torch.__file__), "lib"))' 2>/dev/null) ||
            fail "LIBTORCH_USE_PYTORCH is set, but python3 cannot import torch: install torch==$version there or unset it"
    else
        lib=${LIBTORCH}/lib
    fi
    [[ -e $lib/libtorch_cpu.so ]] ||
        fail "no libtorch_cpu.so in $lib: point LIBTORCH at a libtorch $version, or unset it to have one fetched"
    say "libtorch: using $lib, as LIBTORCH or LIBTORCH_USE_PYTORCH says; to run what is built:"
    say "  export LD_LIBRARY_PATH=$lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
    finish "$lib"
}

# Ends well. LIB is where the dynamic linker must be sent, if it does not find libtorch by itself.
finish() { # [LIB]
    if $print_env && [[ -n ${1:-} ]]; then
        printf 'export LD_LIBRARY_PATH=%q\n' "$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    fi
    exit 0
}

# Binaries find .libtorch from target/release/; from another target folder they do not.
finish_local() {
    finish "${CARGO_TARGET_DIR:+$libtorch/lib}"
}

# The stamp: a line that names what is in place, then "size path" of every library.
in_place() {
    local kind size path
    [[ -f $stamp && -e $libtorch/include/torch/csrc/api/include/torch/version.h ]] || return 1
    {
        read -r kind
        [[ $kind == "libtorch $version cpu" || $kind == "libtorch $version cuda" ]] || return 1
        if $cuda && [[ $kind != *cuda ]]; then return 1; fi
        while read -r size path; do
            [[ -f $libtorch/$path && $(wc -c <"$libtorch/$path") -eq $size ]] || return 1
        done
    } <"$stamp"
}

write_stamp() {
    local path
    {
        echo "libtorch $version $1"
        for path in "$libtorch"/lib/*.so*; do
            echo "$(wc -c <"$path") lib/${path##*/}"
        done
    } >"$stamp.new"
    mv "$stamp.new" "$stamp"
}

# Cargo does not see that another libtorch took the place of the old one.
forget_builds() {
    if [[ -d $root/target ]] && command -v cargo >/dev/null; then
        (cd "$root" && cargo clean --quiet --release -p torch-sys -p c10d) || true
    fi
}

need_tools() {
    command -v cargo >/dev/null || fail "cargo is missing: install Rust (https://rustup.rs)"
    command -v "${CC:-cc}" >/dev/null || fail "${CC:-cc} is missing: install a C++ compiler (for example: apt install g++)"
    command -v "${CXX:-c++}" >/dev/null || fail "${CXX:-c++} is missing: install a C++ compiler (for example: apt install g++)"
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        fail "no ready libtorch for $(uname -sm), only for Linux x86_64: set LIBTORCH to a libtorch $version of your own"
    python=$(find_python)
    "$python" -I -m pip --version >/dev/null 2>&1 ||
        fail "pip is missing: install it for all users of $python (for example: apt install python3-pip), or activate a virtual environment"
}

need_space() { # MEGABYTES WHAT
    local free
    free=$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1024) }')
    ((free >= $1)) || fail "$2 needs $1 MB for a while and $root has $free MB left: make room"
}

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$1" | cut -d' ' -f1; else shasum -a 256 "$1" | cut -d' ' -f1; fi
}

# One wheel, the same for every Python; kept if a run that was interrupted had it whole.
fetch() { # REQUIREMENT FILE SHA256
    local requirement=$1 file=$wheels/$2 sum=$3 list=$libtorch/requirement.txt
    if [[ -f $file ]]; then
        if [[ $(sha256 "$file") == "$sum" ]]; then
            say "  $requirement: already here"
            return
        fi
        rm -f "$file"
    fi
    say "  $requirement"
    # pip takes hashes from a file only, and checks them before it looks into a wheel.
    echo "$requirement --hash=sha256:$sum" >"$list"
    "$python" -I -m pip download --quiet --disable-pip-version-check --no-input --no-deps \
        --require-hashes --only-binary=:all: --python-version 311 --implementation cp \
        --abi cp311 --abi none \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --dest "$wheels" --requirement "$list" >&2 ||
        fail "pip could not fetch $requirement: see its message above, then run this again"
    [[ -f $file ]] || fail "pip fetched another file than $2 for $requirement: delete $wheels and run this again"
    [[ $(sha256 "$file") == "$sum" ]] ||
        fail "$file is not the published file (SHA-256 differs): delete it and run this again"
    rm -f "$list"
}

unpack() { # WHEEL...
    "$python" -I - "$staging" "$@" <<'EOF'
import os, shutil, sys, zipfile

staging, *wheels = sys.argv[1:]
LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcupti.so.13", "libcudart.so.13"}
found = set()
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename.rsplit("/", 1)[-1]
            if entry.is_dir():
                continue
            if ".." in entry.filename.split("/"):
                sys.exit("error: a path of " + wheel + " leads out of it")
            if entry.filename.startswith("torch/include/"):
                path = entry.filename[len("torch/"):]
            elif name in LIBRARIES:
                path = "lib/" + name
                found.add(name)
            else:
                continue
            path = os.path.join(staging, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(entry) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
if found != LIBRARIES:
    sys.exit("error: the wheels lack " + ", ".join(sorted(LIBRARIES - found)))
EOF
}

setup_cpu() {
    need_space 1100 "setting up libtorch"
    local cupti=nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl
    local runtime=nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl
    local torch=torch-$version-cp311-cp311-manylinux_2_28_x86_64.whl
    say "libtorch: fetching the CPU libtorch $version with pip (540 MB)"
    mkdir -p "$wheels"
    fetch "nvidia-cuda-cupti==13.0.85" "$cupti" \
        4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
    fetch "nvidia-cuda-runtime==13.0.96" "$runtime" \
        7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
    fetch "torch==$version" "$torch" \
        60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7
    say "libtorch: unpacking"
    rm -rf "$staging"
    mkdir -p "$staging/lib"
    unpack "$wheels/$cupti" "$wheels/$runtime" "$wheels/$torch"
    # The wheel's own libtorch.so wants the CUDA libraries; an empty one that
    # leads to libtorch_cpu.so serves the CPU.
    (cd "$staging/lib" && "${CC:-cc}" -shared -o libtorch.so -Wl,--no-as-needed -L. -ltorch_cpu \
        -Wl,-rpath,'$ORIGIN' -Wl,--unresolved-symbols=ignore-all) ||
        fail "${CC:-cc} could not link a shared library: see its message above"
    install_links "$staging/lib" "$staging/include"
    write_stamp cpu
    rm -rf "$wheels" "$staging"
}

# Moves (CPU) or links (CUDA) the two folders into place; the stamp comes after.
install_links() {
    rm -f "$stamp"
    rm -rf "${libtorch:?}/lib" "${libtorch:?}/include"
    mv "$1" "$libtorch/lib"
    mv "$2" "$libtorch/include"
}

setup_cuda() {
    local site
    need_space 10000 "setting up PyTorch with CUDA"
    say "libtorch: installing PyTorch $version with CUDA into .venv (4.7 GB)"
    if [[ ! -x $root/.venv/bin/python ]]; then
        "$python" -I -m venv "$root/.venv" ||
            fail "$python could not create a virtual environment: install its venv module (for example: apt install python3-venv)"
    fi
    pip_install "$root/.venv/bin/python" "$root/scripts/requirements/cuda.txt" ||
        fail "pip could not install torch==$version: see its message above, then run this again"
    site=$(cd "$root" && echo .venv/lib/python3*/site-packages)
    [[ -e $root/$site/torch/lib/libtorch_cuda.so ]] ||
        fail "the PyTorch in $root/.venv has no CUDA: delete .venv and run this again"
    rm -rf "$staging"
    mkdir -p "$staging"
    ln -s "../$site/torch/lib" "$staging/lib"
    ln -s "../$site/torch/include" "$staging/include"
    install_links "$staging/lib" "$staging/include"
    write_stamp cuda
    rm -rf "$staging"
}

if [[ -n ${LIBTORCH_USE_PYTORCH:-} ]] || [[ -n ${LIBTORCH:-} && ! ${LIBTORCH} -ef $libtorch ]]; then
    use_existing
fi
if in_place; then
    finish_local
fi
need_tools
mkdir -p "$libtorch"
# Two set-ups at once: the second waits and then finds everything in place.
if command -v flock >/dev/null; then
    exec 9>"$libtorch/lock"
    flock 9
    if in_place; then
        finish_local
    fi
fi
if $cuda; then setup_cuda; else setup_cpu; fi
forget_builds
say "libtorch: ready in $libtorch"
if ! $cuda && command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
    say "libtorch: this machine has a GPU; scripts/setup.sh --cuda makes it usable"
fi
finish_local
