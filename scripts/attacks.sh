#!/bin/bash
# Attacks the built program from outside, as SECURITY.md says it can be attacked, and prints a
# table: the attack, what must happen, what happened. It needs a C compiler and Python 3 and no
# network; under three minutes on two slow cores.
#
#   scripts/attacks.sh                    all rows
#   scripts/attacks.sh --only record      rows whose text or number matches this pattern
#   scripts/attacks.sh --program FILE     another build of the program
#   scripts/attacks.sh --tree DIR         the scripts, and the program, of another checkout
#   scripts/attacks.sh --help             the other options
#
# Exit code 0: every attack failed to do harm, as it should; 1: one did harm.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/common.sh"

# Nothing is built where another program is named, or nothing is attacked.
for word in "$@"; do
    case $word in
    --program* | --tree* | --list | --help | -h) build=false ;;
    esac
done
words=()
if ${build:-true}; then
    exports=$("$root/scripts/setup.sh" --env)
    eval "$exports"
    (cd "$root" && cargo build --locked --release --quiet --bin faceshield)
    words=(--program "${CARGO_TARGET_DIR:-$root/target}/release/faceshield")
fi
python=$(find_python)
exec "$python" -I "$root/scripts/attacks/main.py" ${words[@]+"${words[@]}"} "$@"
