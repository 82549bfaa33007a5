#!/bin/bash
# Sets up what is missing and trains stage I, then stage II, on the demo faces.
#
#   ./launch/train.sh                                     two ranks, preset `demo`
#   NPROC_PER_NODE=8 ./launch/train.sh --preset published --data /data/faces
#
# Arguments go to `faceshield train all` and win over the ones given here;
# NPROC_PER_NODE, MASTER_PORT and CUDA_VISIBLE_DEVICES mean what they mean to torchrun.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/../scripts/common.sh"

exports=$("$root/scripts/setup.sh" --env)
eval "$exports"

# A libtorch with CUDA: build for it, one rank per visible GPU. Else two ranks.
features=() ranks=2
if [[ -e $root/.libtorch/lib/libtorch_cuda.so && -z ${LIBTORCH:-}${LIBTORCH_USE_PYTORCH:-} ]]; then
    features=(--features cuda)
    if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
        gpus=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c '[^[:space:]]' || true)
    else
        gpus=$({ nvidia-smi -L 2>/dev/null || true; } | grep -c '^GPU' || true)
    fi
    if ((gpus > 0)); then ranks=$gpus; fi
fi
(cd "$root" && cargo build --locked --release --bin faceshield ${features[@]+"${features[@]}"})
faceshield=${CARGO_TARGET_DIR:-$root/target}/release/faceshield

# The demo faces, unless other data is named.
if [[ " $* " != *" --data"[=\ ]* ]]; then
    "$faceshield" data demo --out "$root/datasets/demo"
fi

exec "$faceshield" launch --nproc-per-node "${NPROC_PER_NODE:-$ranks}" -- \
    train all --preset demo --data "$root/datasets/demo" \
    --run-dir "$root/runs/demo" --checkpoint-dir "$root" "$@"
