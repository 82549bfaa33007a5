#!/bin/bash
# Breaks a training run on purpose, again and again, and compares it with one left alone:
# kills, stops, freezes, corrupted checkpoints, full disks, bad images, NaN batches.
#
#   scripts/chaos.sh             all faults, preset `demo`, two ranks: some minutes
#   scripts/chaos.sh --short     a few of each; part of scripts/test.sh
#   scripts/chaos.sh --seed 7    other moments
#
# Exit code 0: all faults survived, and the two runs' results are the same bit for bit.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/common.sh"

exports=$("$root/scripts/setup.sh" --env)
eval "$exports"
(cd "$root" && cargo build --locked --release --quiet --bin faceshield)
faceshield=${CARGO_TARGET_DIR:-$root/target}/release/faceshield
"$faceshield" --quiet data demo --out "$root/datasets/demo"

python=$(find_python)
exec "$python" -I "$root/scripts/checks/chaos.py" "$faceshield" "$root/datasets/demo" "$@"
