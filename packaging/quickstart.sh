#!/usr/bin/env bash
# Builds Ridealong from source and shows it at work: an aggregator, and an agent in front of a service.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: packaging/quickstart.sh [OPTIONS] [UPSTREAM_URL]

Builds Ridealong, starts an aggregator and an agent in front of UPSTREAM_URL (for
example http://127.0.0.1:3000), and shows a live table of what they measure. Ctrl-C
stops everything. Without UPSTREAM_URL a small demo service with its own traffic is
measured; a service of yours gets no traffic but yours. Everything stays on this
machine, in a temporary folder.

Options:
  --once         run for a few seconds, check by SQL that every request is stored
                 exactly once, print the result as JSON on the last line, and end:
                 0 if the check holds, otherwise 1
  --seconds N    how long --once runs (5)
  --keep         keep the folder with the data, the spool and the logs
  -h, --help     this text

Environment:
  CARGO_TARGET_DIR   where to build (${XDG_CACHE_HOME:-~/.cache}/ridealong/target)
  NO_COLOR           no colours
TEXT
}

fail() { # EXIT_CODE LINE...
    local code=$1 line
    shift
    for line in "$@"; do printf 'quickstart: %s\n' "$line" >&2; done
    exit "$code"
}

# Said before the build, not a quarter of an hour later. The program itself checks the rest.
check_arguments() {
    local urls=0
    while (($# > 0)); do
        case $1 in
            -h | --help) usage && exit 0 ;;
            --once | --keep | --seconds=*) ;;
            --seconds)
                (($# > 1)) || fail 2 "--seconds needs a number; see --help"
                shift
                ;;
            -*) fail 2 "there is no option $1; see --help" ;;
            http://* | h2c://* | unix:*) urls=$((urls + 1)) ;;
            *) fail 2 "$1 does not look like http://127.0.0.1:3000; see --help" ;;
        esac
        shift
    done
    ((urls <= 1)) || fail 2 "one UPSTREAM_URL at most; see --help"
}

check_tools() {
    local missing=()
    # rustup's usual place, which a shell that was open before the installation does not know.
    command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    command -v cargo >/dev/null ||
        missing+=("cargo is missing (Rust's build tool): see https://rustup.rs, or on Debian 13 and later" \
            "    sudo apt-get install rustup && rustup default stable")
    command -v cc >/dev/null || command -v "${CC:-cc}" >/dev/null ||
        missing+=("cc is missing (a C compiler, for parts of the dependencies): on Debian" \
            "    sudo apt-get install build-essential")
    ((${#missing[@]} == 0)) || fail 1 "${missing[@]}"
}

check_arguments "$@"
check_tools

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ridealong/target}
[[ $target == /* ]] || target=$PWD/$target
export CARGO_TARGET_DIR=$target

printf 'quickstart: building agent, aggregator and demo in %s (the first time takes about a quarter of an hour on two cores)\n' "$target" >&2
# From inside the repository, because rustup takes the toolchain of the folder it is called in.
(cd -- "$root" && cargo build -p ridealong-agent -p ridealong-aggregator -p ridealong-quickstart)
exec "$target/debug/ridealong-quickstart" "$@"
