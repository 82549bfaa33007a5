#!/usr/bin/env bash
# Fuzzes the reader of weights files: fuzz/run.sh [seconds, default 60].
# Needs neither cargo-fuzz nor a nightly compiler; `cargo +nightly fuzz run pth` works
# too. The fixtures of crates/weights are the seeds; findings go to fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p corpus/pth artifacts
flags=(
    --cfg fuzzing -C passes=sancov-module -C codegen-units=1
    -C llvm-args=-sanitizer-coverage-level=4
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters
    -C llvm-args=-sanitizer-coverage-pc-table
    -C llvm-args=-sanitizer-coverage-trace-compares
)
host=$(rustc -vV | sed -n 's/^host: //p')
# With --target the flags reach the fuzzed code only, not the build scripts.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=target \
    cargo build --release --quiet --target "$host" --bin pth
# 1 GB is far above what any seed needs: a claim that is believed runs into it.
exec "target/$host/release/pth" -dict=pth.dict -artifact_prefix=artifacts/ \
    -max_total_time="${1:-60}" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    corpus/pth ../crates/weights/tests/data
