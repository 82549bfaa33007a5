#!/bin/bash
# Fuzzes the parsers of foreign bytes: fuzz/run.sh [TARGET] [SECONDS, default 60].
# Without a TARGET all of them, one after the other. See fuzz/README.md.
# Needs neither cargo-fuzz nor a nightly compiler. New inputs go to fuzz/found, findings to
# fuzz/artifacts.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/../scripts/common.sh"
cd "$root/fuzz"

targets=(pth safetensors manifest index config image launch_message)
if [[ -n ${1:-} && ! ${1:-} =~ ^[0-9]+$ ]]; then
    if [[ ! -e fuzz_targets/$1.rs ]]; then
        echo "error: no target $1: choose one of ${targets[*]}" >&2
        exit 2
    fi
    targets=("$1")
    shift
fi
seconds=${1:-60}

export CARGO_TARGET_DIR=target
exports=$(../scripts/setup.sh --env)
eval "$exports"
flags=(
    --cfg fuzzing -C passes=sancov-module -C codegen-units=1
    -C llvm-args=-sanitizer-coverage-level=4
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters
    -C llvm-args=-sanitizer-coverage-pc-table
    -C llvm-args=-sanitizer-coverage-trace-compares
)
host=$(rustc -vV | sed -n 's/^host: //p')
# With --target the flags reach the fuzzed code only, not the build scripts.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" \
    cargo build --locked --release --quiet --target "$host" "${targets[@]/#/--bin=}"

for target in "${targets[@]}"; do
    mkdir -p "found/$target" "artifacts/$target"
    dictionary=()
    if [[ -e $target.dict ]]; then dictionary=("-dict=$target.dict"); fi
    seeds=("corpus/$target")
    if [[ $target == pth ]]; then seeds+=(../crates/weights/tests/data); fi
    printf '\n== %s, %s seconds\n' "$target" "$seconds" >&2
    # 2 GB are far above what any input needs: a claim that is believed runs into it.
    "target/$host/release/$target" ${dictionary[@]+"${dictionary[@]}"} \
        -artifact_prefix="artifacts/$target/" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 "found/$target" "${seeds[@]}"
done
