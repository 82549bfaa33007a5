#!/usr/bin/env bash
# Measures the speed and memory of this checkout on this machine and prints one table:
# docs/performance.md holds a newest one. Takes about ten minutes and 14 GB of memory; nothing
# else should run.
#
#   scripts/bench.sh            two threads, two ranks of one thread
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
exports=$(scripts/setup.sh --env)
eval "$exports"
cargo build --release --quiet --bin faceshield
faceshield=${CARGO_TARGET_DIR:-$root/target}/release/faceshield
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=2

say() { printf '%s\n' "$*" >&2; }
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$@"; }
row() { printf '| %s | %s | %s | %s |\n' "$@"; }
number() { printf "%.${2}f" "$1"; }

for stage in fse irc; do
    for batch in 1 2; do
        say "full-size step: stage $stage, batch $batch"
        "$faceshield" bench step --stage "$stage" --preset published --batch "$batch" --steps 3 \
            >"$work/$stage$batch"
    done
    say "full-size step by its definition: stage $stage, batch 1"
    cargo bench --quiet -p "$stage" --bench step >"$work/${stage}plain"
done
say "hsic"
cargo bench --quiet -p fse --bench hsic >"$work/hsic"

# Images a second of the demo preset: one rank and two, one thread each.
faces=$root/datasets/demo
if [[ ! -d $faces ]]; then "$faceshield" data demo --out "$faces" >&2; fi
rate() { # STAGE RANKS
    local out=$work/$1$2ranks
    OMP_NUM_THREADS=1 "$faceshield" launch --nproc-per-node "$2" -- train "$1" --preset demo \
        --data "$faces" --run-dir "$out" --checkpoint-dir "$out" --resume none --max-steps 20 \
        --set threads=1 --set preview_every=0 --set checkpoint_every=0 --set batch_size=2 \
        --set log_every=1000 ${3+"$3" "$4"} >/dev/null 2>"$out.log" || { cat "$out.log" >&2; exit 1; }
    python3 - "$out/metrics.jsonl" <<'PY'
import json, statistics, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
print(statistics.median(line["images_per_second"] for line in lines[3:]))
PY
}
say "two ranks against one"
fse1=$(rate fse 1) fse2=$(rate fse 2)
checkpoint=$work/fse1ranks/checkpoints_FSE
irc1=$(rate irc 1 --set "fse_checkpoint=$checkpoint") irc2=$(rate irc 2 --set "fse_checkpoint=$checkpoint")

echo "Commit $(git rev-parse --short HEAD), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), 2 threads, $(date -u +%F)"
echo
row "what" "measured" "reach" "baseline, same run"
row --- --- --- ---
for stage in fse irc; do
    name="stage I" seconds=5.5 ratio=1.4 one=2500 two=4000
    if [[ $stage == irc ]]; then name="stage II" seconds=13 ratio=1.6 one=5000 two=9000; fi
    row "$name, full size, batch 1: seconds a step" "$(number "$(field "$work/${stage}1" step_seconds_median)" 2)" "$seconds" "$(number "$(field "$work/${stage}plain" plain_seconds)" 1)"
    row "$name: against its own arithmetic alone" "$(number "$(field "$work/${stage}1" ratio_to_limit)" 2)" "$ratio" -
    row "$name: peak memory, MB" "$(number "$(field "$work/${stage}1" peak_memory_mb)" 0)" "$one" "$(field "$work/${stage}plain" plain_peak_mb)"
    row "$name, batch 2: peak memory, MB" "$(number "$(field "$work/${stage}2" peak_memory_mb)" 0)" "$two" -
done
row "hsic, 64×64×64, value and gradients: seconds (published bandwidth)" "$(field "$work/hsic" published_seconds)" 0.2 "$(field "$work/hsic" plain_seconds)"
row "hsic, unbiased" "$(field "$work/hsic" unbiased_seconds)" 0.2 "$(field "$work/hsic" plain_unbiased_seconds)"
row "stage I, demo preset: two ranks of one thread against one" "$(python3 -c "print(round($fse2/$fse1, 2))")" 1.8 -
row "stage II, demo preset: two ranks of one thread against one" "$(python3 -c "print(round($irc2/$irc1, 2))")" 1.8 -
