#!/bin/bash
# Runs the C++ of crates/c10d under compiler sanitizers.
#
#   scripts/sanitize.sh                the allocator's stress program and c10d's tests
#   scripts/sanitize.sh --allocator    the stress program alone (a minute)
#
# 1. The allocator alone (crates/c10d/tests/support/allocator_stress.cpp): AddressSanitizer with
#    leaks, UndefinedBehaviorSanitizer, ThreadSanitizer; also where mremap fails now and then.
# 2. All of c10d's tests (reducer, collectives, checkpoints, batch norm, optimizers, errors), the
#    C++ compiled with AddressSanitizer and UndefinedBehaviorSanitizer (C10D_SANITIZE, see
#    crates/c10d/build.rs). Builds c10d anew in target/sanitize: some minutes. libtorch itself is
#    not instrumented; what it keeps until the end of the process is not counted as leaks.
#
# Needs GCC or Clang with their sanitizers. Exit code 0: nothing was found.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/common.sh"
tests=true
case ${1:-} in
  "") ;;
  --allocator) tests=false ;;
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;;
  *) echo "sanitize.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
esac
exports=$("$root/scripts/setup.sh" --env)
eval "$exports"
libtorch=${LIBTORCH:-$root/.libtorch}
crate=$root/crates/c10d
work=${CARGO_TARGET_DIR:-$root/target}/sanitize
mkdir -p "$work"

# MREMAP_FAILS by a library that is linked in: what is preloaded would come before the sanitizer.
stress() {
  local name=$1 flags=$2
  shift 2
  c++ -std=c++20 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all $flags \
    -isystem "$libtorch/include" -I "$crate/csrc" "$crate/tests/support/allocator_stress.cpp" \
    "$crate/csrc/allocator.cpp" "$@" -L"$libtorch/lib" -Wl,-rpath,"$libtorch/lib" -lc10 -lpthread \
    -o "$work/$name"
  echo "== the allocator, $name"
  "$work/$name" 100 3 60 0 "${forks:-5}"
}
gcc -O1 -g -c "$crate/tests/support/old_mremap.c" -o "$work/old_mremap.o"
stress address "-fsanitize=address,undefined"
MREMAP_FAILS=7 stress address_failing "-fsanitize=address,undefined" "$work/old_mremap.o"
# Not with fork, which leaves the sanitizer's own thread behind.
forks=0 stress thread "-fsanitize=thread"
$tests || exit 0

echo "== c10d's tests"
# A process that forks for its ranks takes no leak check; libtorch frees some of its memory by
# other functions than it took it with.
export ASAN_OPTIONS=detect_leaks=0:alloc_dealloc_mismatch=0:detect_odr_violation=0
export UBSAN_OPTIONS=print_stacktrace=1
# rustc links without the compiler's own libraries; the sanitizers' must come before all others.
cat >"$work/linker" <<'LINKER'
#!/bin/sh
case $* in
  *c10d*) exec cc -Wl,--no-as-needed -lasan -lubsan -Wl,--as-needed "$@" ;;
  *) exec cc "$@" ;;
esac
LINKER
chmod +x "$work/linker"
cd "$root"
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${host}_LINKER=$work/linker"
C10D_SANITIZE=address,undefined CARGO_TARGET_DIR=$work cargo test --locked -p c10d --lib --tests
