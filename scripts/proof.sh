#!/bin/bash
# The proof on faces whose truth is known: synthetic people, recognisers, stage I, stage II,
# and what evaluation finds on people that none of them has seen.
#
#   scripts/proof.sh                          one seed
#   scripts/proof.sh --seeds 3                three, one after the other
#   scripts/proof.sh --adaptive               and an attacker who learns from protected photos, of
#                                             each model whose photos are judged
#   scripts/proof.sh --ablations              and what each term of stage I does, and published
#   scripts/proof.sh --frontier               and stage II with other weights: privacy and picture
#   scripts/proof.sh --adversary              stage II with a recogniser that learns against it
#   scripts/proof.sh --set irc.epochs=18      for `faceshield train`
#
# A run that was stopped goes on where it was when it is started again. The results:
# OUT/seed_N/report/report.html, its numbers in OUT/seed_N/report.txt; of what is compared
# OUT/seed_N/ablations.html, OUT/seed_N/frontier.html and OUT/seeds.html, with numbers in .txt and
# charts beside them.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/common.sh"
out=$root/runs/proof seeds=1 quick=false adversary=false adaptive=false ablations=false frontier=false
settings=() brief=()

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}
while (($#)); do
    case $1 in
    --out | --seeds | --set)
        (($# > 1)) || fail "$1 needs a value"
        case $1 in
        --out) out=$2 ;;
        --seeds) seeds=$2 ;;
        --set) settings+=(--set "$2") ;;
        esac
        shift
        ;;
    --adversary) adversary=true ;;
    --adaptive) adaptive=true ;;
    --ablations) ablations=true ;;
    --frontier) frontier=true ;;
    # For the tests: all parts, a few steps of each. What it prints says nothing.
    --quick) quick=true ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) fail "unknown option $1 (see scripts/proof.sh --help)" ;;
    esac
    shift
done
[[ $seeds =~ ^[1-9][0-9]*$ ]] || fail "--seeds $seeds: give a number from 1 on"

cd "$root"
exports=$(scripts/setup.sh --env)
eval "$exports"
cargo build --locked --release --quiet --bin faceshield
faceshield=${CARGO_TARGET_DIR:-$root/target}/release/faceshield

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
# What a finished part leaves behind is not made again.
once() { # FILE COMMAND...
    local made=$1
    shift
    if [[ ! -e $made ]]; then "$@"; fi
}
people() { # FIRST PEOPLE PHOTOS OUT
    say "synthetic people: $2 x $3 in $4"
    "$faceshield" data synth --first-person "$1" --people "$2" --per-person "$3" --size 128 \
        --seed "$seed" --out "$4" >/dev/null
}
train() { # STAGE DATA FOLDER SETTINGS...
    local stage=$1 data=$2 folder=$3
    shift 3
    say "train $stage in $folder"
    mkdir -p "$folder"
    "$faceshield" train "$stage" --preset "$preset" --config launch/experiments/proof.toml \
        --set seed="$seed" "$@" ${settings[@]+"${settings[@]}"} --data "$data" \
        --checkpoint-dir "$folder" --run-dir "$folder/run" >"$folder/$stage.txt" 2>"$folder/$stage.log" ||
        { tail -n 3 "$folder/$stage.log" >&2; exit 1; }
    if grep -q "recognises nobody" "$folder/$stage.log"; then
        fail "$folder: trained with a random recogniser"
    fi
}
evaluate() { # FOLDER REPORT OPTIONS...: with the attacker who has learnt from its photos, if any
    local folder=$1 report=$2 knows=()
    shift 2
    if [[ -e $folder/adaptive/encoder.safetensors ]]; then
        knows=(--attacker "adaptive=$folder/adaptive/encoder.safetensors")
    fi
    say "evaluate $folder"
    "$faceshield" evaluate --checkpoint "$folder" --data "$data/test" --train-data "$data/people" \
        --attacker "unseen=$base/unseen/encoder.safetensors" ${knows[@]+"${knows[@]}"} \
        --seed "$seed" "$@" \
        ${brief[@]+"${brief[@]}"} --out "$report" \
        >"$report.txt"
}

preset=small
# Of the models of the frontier: fewer than the model's own.
frontier_epochs=3
train_people=400 test_people=100 per_person=24 judge_epochs=6
if $quick; then
    train_people=12 test_people=4 per_person=4 judge_epochs=1
    brief=(--reader-steps 20 --resamples 100)
    settings+=(--set encoder.epochs=1 --set encoder.batch_size=8 --set fse.steps=2
        --set irc.steps=4 --set irc.checkpoint_every=4 --set irc.validate_every=4)
fi

prepare() { # the people and the recognisers of $seed
    data=$base/data
    mkdir -p "$base"
    # Nobody is in two of these: people are numbered, and the numbers do not overlap.
    once "$data/people/labels.jsonl" people 0 "$train_people" "$per_person" "$data/people"
    once "$data/others/labels.jsonl" people 2000 "$train_people" "$per_person" "$data/others"
    once "$data/validation/labels.jsonl" people 5000 "$((test_people / 2))" 12 "$data/validation"
    once "$data/test/labels.jsonl" people 7000 "$test_people" 20 "$data/test"
    # The one thing that fetches the detector, which evaluation would do without.
    once "$base/aligned" "$faceshield" align "$data/validation/person_05000/000.png" \
        --out "$base/aligned" >/dev/null
    once "$base/model/encoder.safetensors" train encoder "$data/people" "$base/model"
    # Recognisers beside ours: those that training asks, and one that nothing of ours has seen.
    local judge
    for judge in 1 2; do
        once "$base/judge_$judge/encoder.safetensors" train encoder "$data/people" \
            "$base/judge_$judge" --set width_divisor=16 --set encoder.epochs="$judge_epochs" \
            --set seed="$((seed + 100 * judge))"
    done
    once "$base/unseen/encoder.safetensors" train encoder "$data/others" "$base/unseen" \
        --set width_divisor=16 --set encoder.epochs="$judge_epochs" --set seed="$((seed + 900))"
}

prototypes() { # FOLDER: public identities to draw, of the model in it
    once "$1/prototypes.safetensors" "$faceshield" prototypes --data "$data/people" \
        --checkpoint "$1" --out "$1/prototypes.safetensors" >/dev/null
}
stages() { # FOLDER SETTINGS...: stages I and II, and public identities to draw
    local folder=$1
    shift
    train fse "$data/people" "$folder" "$@"
    train irc "$data/people" "$folder" "$@" --set "irc.judges=$judges" \
        ${pursued[@]+"${pursued[@]}"} --validation "$data/validation"
    prototypes "$folder"
}
# An attacker who has a model: protects photos of people that he knows, other ones than those that
# anything is measured on, and trains a recogniser on them before and after.
adapt() { # FOLDER
    local model=$1 folder=$1/adaptive person photo
    if [[ -e $folder/encoder.safetensors ]]; then return; fi
    say "protected photos to learn from in $folder"
    for person in "$data/others"/person_*; do
        mkdir -p "$folder/some/${person##*/}"
        for photo in "$person"/00[0-5].*; do
            ln -f "$photo" "$folder/some/${person##*/}/"
        done
    done
    # Photos in which no face is found are left out, and said to be: no reason to stop. Whatever
    # else is wrong leaves no summary.
    "$faceshield" protect "$folder/some" --checkpoint "$model" --mechanism independent \
        --prototypes "$model/prototypes.safetensors" --out "$folder/protected" \
        >"$folder/protect.txt" 2>"$folder/protect.log" || tail -n 1 "$folder/protect.log" >&2
    grep -q "^[0-9]* photos: " "$folder/protect.txt" || exit 1
    for person in "$data/others"/person_*; do
        mkdir -p "$folder/people/${person##*/}"
        ln -f "$person"/* "$folder/people/${person##*/}/"
        for photo in "$folder/protected/${person##*/}"/*; do
            ln -f "$photo" "$folder/people/${person##*/}/protected_${photo##*/}"
        done
    done
    train encoder "$folder/people" "$folder" \
        --set width_divisor=16 --set encoder.epochs="$judge_epochs" --set seed="$((seed + 950))"
}
# What stage I separates, and what perception tells; not what stage II paints.
probe() { # FOLDER
    evaluate "$1" "$1/probe" --photos-per-person 6 --without attributes --without detection
}
# Stage I otherwise, over the same recogniser. Stage II takes one step, for a model that can be
# evaluated.
ablate() { # NAME SETTINGS...
    local name=$1 folder=$base/$1
    shift
    train fse "$data/people" "$folder" "${ours[@]}" "$@"
    train irc "$data/people" "$folder" "${ours[@]}" "$@" --max-steps 1
    probe "$folder"
    found+=("$name=$folder/probe/report.json")
}
# Stage II otherwise, over the same stage I.
vary() { # NAME SETTINGS...
    local name=$1 folder=$base/weights_$1
    shift
    mkdir -p "$folder"
    cp -R "$model/checkpoints_FSE" "$folder/"
    train irc "$data/people" "$folder" --set "irc.judges=$judges" \
        --set irc.epochs="$frontier_epochs" "$@"
    prototypes "$folder"
    if $adaptive; then adapt "$folder"; fi
    evaluate "$folder" "$folder/report" --prototypes "$folder/prototypes.safetensors" \
        --mechanism independent --without separation
    found+=("$name=$folder/report/report.json")
}
weigh() {
    found=()
    vary preset
    vary adversary "${pursuer[@]}"
    if ! $quick; then
        vary push_5 --set irc.loss.push=5.0
        vary push_16 --set irc.loss.push=16.0
        vary light_20 --set irc.loss.light=20.0
    fi
    compare frontier "${found[@]}"
}
compare() { # NAME REPORTS...
    local name=$1
    shift
    "$faceshield" compare "$@" --out "$base/$name.html" --charts "$base/$name" >"$base/$name.txt"
    cat "$base/$name.txt"
}

for ((seed = 1; seed <= seeds; seed++)); do
    base=$out/seed_$seed
    started=$SECONDS
    prepare
    judges="[\"$base/judge_1/encoder.safetensors\", \"$base/judge_2/encoder.safetensors\"]"
    # Starts as one that judges.
    pursuer=(--set "irc.adversary=$base/judge_1/encoder.safetensors") pursued=()
    if $adversary; then pursued=("${pursuer[@]}"); fi
    model=$base/model
    ours=(--set "encoder_weights=$model/encoder.safetensors")
    stages "$model"
    if $adaptive; then adapt "$model"; fi
    evaluate "$model" "$base/report" --prototypes "$model/prototypes.safetensors" \
        --mechanism independent --mechanism codebook:5 --baselines --sweep
    say "seed $seed: $(((SECONDS - started) / 60)) minutes"
    cat "$base/report.txt"
    if $frontier; then weigh; fi
    $ablations || continue
    probe "$model"
    found=("ours=$model/probe/report.json")
    for term in alignment hsic retention information shallow_information leakage; do
        ablate "without_$term" --set "fse.loss.$term=0.0"
    done
    ablate without_discriminants --set fse.discriminants=0
    preset=launch/experiments/published.toml ablate published
    compare ablations "${found[@]}"
    # And stage II as published, which goes on after its one step.
    published=$base/published
    preset=launch/experiments/published.toml stages "$published" "${ours[@]}"
    evaluate "$published" "$published/report" \
        --prototypes "$published/prototypes.safetensors" --mechanism independent
done
if ((seeds > 1)); then
    base=$out found=()
    for ((seed = 1; seed <= seeds; seed++)); do
        found+=("seed_$seed=$out/seed_$seed/report/report.json")
    done
    compare seeds "${found[@]}"
fi
