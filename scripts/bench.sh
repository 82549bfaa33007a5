#!/bin/bash
# Measures the speed and memory of this checkout on this machine and prints one table:
# docs/performance.md holds a newest one. Takes about twenty minutes and 15 GB of memory;
# nothing else should run.
# Needs pip for the published loading pipeline, cmake and nasm for scaled JPEG decoding.
#
#   scripts/bench.sh            two threads, two ranks of one thread
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/common.sh"
cd "$root"
exports=$(scripts/setup.sh --env)
eval "$exports"
faceshield=${CARGO_TARGET_DIR:-$root/target}/release/faceshield
# Beside the plain program, so that libtorch is found and the other crates are built once.
scaled=
if command -v cmake >/dev/null && command -v nasm >/dev/null; then
    cargo build --locked --release --quiet --bin faceshield --features turbojpeg
    scaled=$faceshield-turbojpeg
    cp "$faceshield" "$scaled"
else
    printf 'SKIPPED: scaled JPEG decoding: it needs cmake and nasm\n' >&2
fi
cargo build --locked --release --quiet --bin faceshield
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=2
python=$(find_python)

say() { printf '%s\n' "$*" >&2; }
field() { # FILE KEY...
    "$python" -I -c 'import functools, json, sys
print(functools.reduce(lambda found, key: found[key], sys.argv[2:], json.load(open(sys.argv[1]))))' "$@"
}
row() { printf '| %s | %s | %s | %s |\n' "$@"; }
number() { printf "%.${2}f" "$1"; }

for stage in fse irc; do
    # Stage II by the published terms, as its baseline and the authors' code have them.
    objective=()
    if [[ $stage == irc ]]; then objective=(--config benches/published_objective.toml); fi
    for batch in 1 2; do
        say "full-size step: stage $stage, batch $batch"
        "$faceshield" bench step --stage "$stage" --preset published --batch "$batch" --steps 3 \
            ${objective[@]+"${objective[@]}"} >"$work/$stage$batch"
    done
    say "full-size step by its definition: stage $stage, batch 1"
    cargo bench --locked --quiet -p "$stage" --bench step >"$work/${stage}plain"
done
say "full-size step: stage II, corrected objective"
"$faceshield" bench step --stage irc --preset published --batch 1 --steps 3 >"$work/irc_corrected"
say "hsic"
cargo bench --locked --quiet -p fse --bench hsic >"$work/hsic"

faces=$root/datasets/demo
if [[ ! -d $faces ]]; then "$faceshield" data demo --out "$faces" >&2; fi

# Loading, and the published pipeline on the same files.
venv=$root/target/bench-venv
wanted=$(cksum <scripts/requirements/bench.txt)
if [[ ! -f $venv/stamp || $(<"$venv/stamp") != "$wanted" ]]; then
    "$python" -I -m venv --clear "$venv"
    pip_install "$venv/bin/python" scripts/requirements/bench.txt
    echo "$wanted" >"$venv/stamp"
fi
kinds="j1024 p1024 j512 p512"
load() { # PROGRAM KIND IMAGES [ARGUMENT…]
    OMP_NUM_THREADS=1 "$1" bench loader --preset published --data "$work/faces/$2" --images "$3" "${@:4}"
}
measure_loading() {
    local kind cache=$work/j512.safetensors
    # Indices of folders that will be gone.
    local -x FACESHIELD_CACHE=$work/index
    "$venv/bin/python" -I benches/loader.py make "$faces" "$work/faces"
    for kind in $kinds; do
        load "$faceshield" "$kind" 200 --set workers=1 >"$work/load_$kind"
        "$venv/bin/python" -I benches/loader.py measure "$work/faces/$kind" >"$work/published_$kind"
    done
    if [[ -n $scaled ]]; then
        load "$scaled" j1024 200 --set workers=1 >"$work/load_scaled"
    fi
    load "$faceshield" j512 10000 >"$work/load_long"
    "$faceshield" data cache "$work/faces/j512" --size 512 --out "$cache" >&2
    load "$faceshield" j512 20000 --batch 8 --set workers=2 --set "decoded_cache=$cache" >"$work/load_cached"
}
loading_rows() {
    local kind reach what
    for kind in $kinds; do
        case $kind in
        j1024) what="JPEG of 1024 px" reach=9 ;;
        p1024) what="PNG of 1024 px" reach=20 ;;
        j512) what="JPEG of 512 px" reach=3 ;;
        p512) what="PNG of 512 px" reach=5 ;;
        esac
        row "loading a $what: ms an image and core" \
            "$(number "$(field "$work/load_$kind" cpu_ms_per_image)" 1)" "$reach" "$(number "$(<"$work/published_$kind")" 1)"
    done
    if [[ -n $scaled ]]; then
        row "loading a JPEG of 1024 px, decoded scaled (feature turbojpeg)" \
            "$(number "$(field "$work/load_scaled" cpu_ms_per_image)" 1)" 5 "$(number "$(<"$work/published_j1024")" 1)"
    fi
    row "loading from the decoded cache, 512 px, two cores: images/s" \
        "$(number "$(field "$work/load_cached" images_per_second)" 0)" 3000 -
    row "memory growth over 10,000 images loaded, MB" \
        "$(number "$(field "$work/load_long" memory_growth_mb)" 1)" "none" -
}
say "loading"
measure_loading

# The demo preset on ranks of one thread each.
ranks() { # OUT STAGE RANKS STEPS [ARGUMENT…]
    local out=$1
    OMP_NUM_THREADS=1 "$faceshield" launch --nproc-per-node "$3" -- train "$2" --preset demo \
        --data "$faces" --run-dir "$out" --checkpoint-dir "$out" --resume none --max-steps "$4" \
        --set threads=1 --set preview_every=0 --set checkpoint_every=1000 \
        --set log_every=1000 "${@:5}" >/dev/null 2>"$out.log" || { cat "$out.log" >&2; exit 1; }
}
# Images a second.
rate() { # STAGE RANKS [ARGUMENT…]
    local out=$work/$1$2ranks
    ranks "$out" "$1" "$2" 40 "${@:3}"
    "$python" -I - "$out/metrics.jsonl" <<'PY'
import json, statistics, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
print(statistics.median(line["images_per_second"] for line in lines[3:]))
PY
}
# Of the bytes of gradients that two ranks exchange in a step, the share in messages that set
# off while the backward pass still computes, in percent: out of a trace.
overlap() { # STAGE [ARGUMENT…]
    local out=$work/$1trace
    ranks "$out" "$1" 2 3 --profile 1 "${@:2}"
    "$python" -I - "$out/trace/$1_rank_0.json" <<'PY'
import json, sys
events = [e for e in json.load(open(sys.argv[1]))["traceEvents"] if e.get("ph") == "X"]
named = lambda name: [e for e in events if e["name"] == name]
inside = lambda e, span: span["ts"] <= e["ts"] <= span["ts"] + span["dur"]
early = total = 0
for span in named("backward"):
    computing = max(e["ts"] for e in events if e["tid"] == span["tid"] and inside(e, span)
                    and e["name"].startswith("aten::convolution_backward"))
    for message in named("gloo:all_reduce"):
        size = message["args"]["Input Dims"][0]
        if inside(message, span) and size and size[0] > 1:
            total += size[0]
            early += size[0] * (message["ts"] < computing)
print(round(100 * early / total))
PY
}
say "two ranks against one"
fse1=$(rate fse 1) fse2=$(rate fse 2)
checkpoint=$work/fse1ranks/checkpoints_FSE
irc1=$(rate irc 1 --set "fse_checkpoint=$checkpoint") irc2=$(rate irc 2 --set "fse_checkpoint=$checkpoint")
fse_overlap=$(overlap fse) irc_overlap=$(overlap irc --set "fse_checkpoint=$checkpoint")

# Photos protected: the full-size model after one step, and the demo's.
protect() { # OUT [ARGUMENT…]
    local out=$work/$1
    "$faceshield" protect "${@:2}" --out "$out" --mechanism independent --json >"$out.json" 2>"$out.log" ||
        { cat "$out.log" >&2; exit 1; }
}
train_once() { # OUT [ARGUMENT…]
    local out=$work/$1
    "$faceshield" train all --data "$faces" --run-dir "$out" --checkpoint-dir "$out" --max-steps 1 \
        "${@:2}" >/dev/null 2>"$out.log" || { cat "$out.log" >&2; exit 1; }
}
say "protecting photos"
photos=$faces/../.cache/demo
if [[ ! -d $photos ]]; then
    "$faceshield" data demo --out "$work/photos/demo" >&2
    photos=$work/photos/.cache/demo
fi
train_once full --preset published --set batch_size=1
mkdir "$work/same"
for k in 1 2 3 4; do cp "$photos/astronaut.png" "$work/same/$k.png"; done
protect one "$work/same" --checkpoint "$work/full"
rm -r "$work/full"
train_once small --preset demo
protect folder "$photos" --checkpoint "$work/small"
# Seconds of the first photo, and the median of the others; or of the folder.
photo_seconds() {
    "$python" -I - "$work/one.json" <<'PY'
import json, statistics, sys
seconds = [r["seconds"]["total"] for r in json.load(open(sys.argv[1]))["results"]]
print(round(seconds[0], 2), round(statistics.median(seconds[1:]), 2))
PY
}
read -r first_photo next_photo < <(photo_seconds)

say "drawing and evaluating synthetic faces"
"$faceshield" bench synth >"$work/synth"
"$faceshield" data synth --people 20 --per-person 10 --size 256 --out "$work/synthetic" >&2
# Everything there is to measure, on 200 photos by the small model after one step.
evaluate() {
    "$faceshield" evaluate --checkpoint "$work/small" --data "$work/synthetic" --baselines \
        --out "$work/report" >"$work/report.txt" 2>"$work/report.log" ||
        { cat "$work/report.log" >&2; exit 1; }
}
evaluation_seconds() {
    local begun
    # The first call trains the reader of attributes.
    evaluate
    begun=$(date +%s.%N)
    evaluate
    "$python" -I -c "import sys; print(float(sys.argv[2]) - float(sys.argv[1]))" "$begun" "$(date +%s.%N)"
}
evaluation=$(evaluation_seconds)

echo "Commit $(git rev-parse --short HEAD), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), 2 threads, $(date -u +%F)"
echo
row "what" "measured" "reach" "baseline, same run"
row --- --- --- ---
for stage in fse irc; do
    name="stage I" seconds=5.5 ratio=1.4 one=2500 two=4000
    if [[ $stage == irc ]]; then name="stage II, published terms" seconds=13 ratio=1.6 one=5000 two=9000; fi
    row "$name, full size, batch 1: seconds a step" "$(number "$(field "$work/${stage}1" step_seconds_median)" 2)" "$seconds" "$(number "$(field "$work/${stage}plain" plain_seconds)" 1)"
    row "$name: against its own arithmetic alone" "$(number "$(field "$work/${stage}1" ratio_to_limit)" 2)" "$ratio" -
    row "$name: peak memory, MB" "$(number "$(field "$work/${stage}1" peak_memory_mb)" 0)" "$one" "$(field "$work/${stage}plain" plain_peak_mb)"
    row "$name, batch 2: peak memory, MB" "$(number "$(field "$work/${stage}2" peak_memory_mb)" 0)" "$two" -
done
row "stage II, corrected objective, batch 1: seconds a step" "$(number "$(field "$work/irc_corrected" step_seconds_median)" 2)" - -
row "stage II, corrected objective: peak memory, MB" "$(number "$(field "$work/irc_corrected" peak_memory_mb)" 0)" - -
row "hsic, 64×64×64, value and gradients: seconds (published bandwidth)" "$(field "$work/hsic" published_seconds)" 0.2 "$(field "$work/hsic" plain_seconds)"
row "hsic, unbiased" "$(field "$work/hsic" unbiased_seconds)" 0.2 "$(field "$work/hsic" plain_unbiased_seconds)"
loading_rows
row "stage I, demo preset: two ranks of one thread against one" "$("$python" -I -c "print(round($fse2/$fse1, 2))")" 1.8 -
row "stage II, demo preset: two ranks of one thread against one" "$("$python" -I -c "print(round($irc2/$irc1, 2))")" 1.8 -
row "stage I, two ranks: gradients sent while the backward pass computes, %" "$fse_overlap" - -
row "stage II, two ranks: gradients sent while the backward pass computes, %" "$irc_overlap" - -
row "protect, full size, a photo of 512 px with one face: seconds, the first" "$first_photo" 3.5 -
row "protect, full size: seconds, each following" "$next_photo" 2.5 -
row "protect, demo preset, the demo's $(field "$work/folder.json" photos) photos, $(field "$work/folder.json" faces) faces: seconds" "$(number "$(field "$work/folder.json" seconds)" 1)" 20 -
row "synthetic faces of 256 px, drawn and written, two cores: images/s" "$(number "$(field "$work/synth" with_files images_per_second)" 0)" 200 -
row "evaluate, demo preset, 200 photos with three baselines: seconds" "$(number "$evaluation" 0)" - -
