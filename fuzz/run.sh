#!/bin/bash
# Fuzzes the parsers of foreign bytes. Needs neither cargo-fuzz nor a nightly compiler.
#
#   fuzz/run.sh                    every target for 60 seconds, one after the other
#   fuzz/run.sh --minutes N        every target in turn, N minutes in all
#   fuzz/run.sh TARGET [SECONDS]   one target, 60 seconds
#
# Ends with a table: inputs run, code covered, peak memory, findings. New inputs go to fuzz/found,
# findings and logs to fuzz/artifacts. Exit code 1 when anything was found. See fuzz/README.md.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/../scripts/common.sh"
cd "$root/fuzz"

targets=()
for file in fuzz_targets/*.rs; do
    file=${file##*/}
    targets+=("${file%.rs}")
done
seconds=60
usage() {
    echo "usage: fuzz/run.sh [TARGET] [SECONDS] | --minutes N; targets: ${targets[*]}" >&2
    exit 2
}
if [[ ${1:-} == --minutes ]]; then
    if [[ $# -ne 2 || ! $2 =~ ^[1-9][0-9]*$ ]]; then usage; fi
    seconds=$(($2 * 60 / ${#targets[@]}))
    shift 2
elif [[ -n ${1:-} && ! $1 =~ ^[0-9]+$ ]]; then
    if [[ $1 == -* || ! -e fuzz_targets/$1.rs ]]; then usage; fi
    targets=("$1")
    shift
fi
seconds=${1:-$seconds}
if [[ ! $seconds =~ ^[1-9][0-9]*$ ]]; then usage; fi

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

# The number after a name in libFuzzer's statistics.
statistic() { # NAME LOG
    sed -n "s/^stat::$1: *//p" "$2" | tail -n 1
}

table=$(printf '%-12s %8s %12s %9s %9s %10s  %s' target seconds inputs edges 'memory MB' 'new inputs' found)
found=0
for target in "${targets[@]}"; do
    mkdir -p "found/$target" "artifacts/$target"
    dictionary=()
    if [[ -e $target.dict ]]; then dictionary=("-dict=$target.dict"); fi
    seeds=("corpus/$target")
    if [[ $target == pth ]]; then seeds+=(../crates/weights/tests/data); fi
    log=artifacts/$target.log
    printf '\n== %s, %s seconds\n' "$target" "$seconds" >&2
    # 2 GB are far above what any input needs: a claim that is believed runs into it.
    outcome=nothing
    "target/$host/release/$target" ${dictionary[@]+"${dictionary[@]}"} \
        -artifact_prefix="artifacts/$target/" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 "found/$target" "${seeds[@]}" 2>&1 |
        tee "$log" >&2 || outcome=$(sed -n 's/^Test unit written to //p;s/^SUMMARY: //p' "$log" | tail -n 1)
    if [[ $outcome != nothing ]]; then found=1; fi
    edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    table+=$(printf '\n%-12s %8s %12s %9s %9s %10s  %s' "$target" "$seconds" \
        "$(statistic number_of_executed_units "$log")" "${edges:-?}" \
        "$(statistic peak_rss_mb "$log")" "$(statistic new_units_added "$log")" "${outcome:-an error, see $log}")
done
printf '\n%s\n' "$table"
exit "$found"
