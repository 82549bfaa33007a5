# Sourced first by every script here: nothing in the current folder is started or loaded.
#
# An empty entry of PATH or LD_LIBRARY_PATH means the current folder, which may hold a file called
# `python3` or `libc10.so`; so does a relative one. Only absolute entries are kept.
# Python runs as `python -I`: it reads no PYTHON… variables and no modules from the current folder.
# `root` is the repository.

absolute_entries() { # PATHS
    local entry kept=
    local -a entries
    IFS=: read -r -d '' -a entries <<<"$1:" || true
    for entry in ${entries[@]+"${entries[@]}"}; do
        # The last one ends with the line.
        entry=${entry%$'\n'}
        if [[ $entry == /* ]]; then kept+=${kept:+:}$entry; fi
    done
    printf '%s' "$kept"
}

PATH=$(absolute_entries "$PATH")
if [[ -n ${LD_LIBRARY_PATH:-} ]]; then
    LD_LIBRARY_PATH=$(absolute_entries "$LD_LIBRARY_PATH")
    # An empty one would do no harm to the linker, but would where it is put before others.
    if [[ -z $LD_LIBRARY_PATH ]]; then unset LD_LIBRARY_PATH; fi
fi
# `cd` goes where it is told, and prints nothing.
unset CDPATH
root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)

find_python() {
    local candidate
    for candidate in python3 python; do
        if type -P "$candidate"; then return; fi
    done
    echo "error: python is missing: install Python 3 with pip (for example: apt install python3-pip)" >&2
    return 1
}

# What a requirements file pins, for a program that is to run: each package is checked by SHA-256
# before it is unpacked, and none is built, so that nothing of it runs while it is installed.
pip_install() { # PYTHON FILE...
    local python=$1 file files=()
    shift
    for file in "$@"; do files+=(--requirement "$file"); done
    "$python" -I -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --only-binary=:all: "${files[@]}" >&2
}
