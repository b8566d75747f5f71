#!/usr/bin/env bash
# Asks the aggregator and DuckDB some hundred statements over the same rows: while they lie in memory, in files, in both,
# with deletions and corrections pending and applied, and while files are flushed, merged and written anew.
#
#   tests/differential/run.sh [--seed N]     with the programs of the build folder; RIDEALONG_BINARIES names another
#
# Needs Python 3.11 with venv. DuckDB is installed once and again when requirements.txt changes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
venv=$cache/differential-venv
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$here/../../target}/debug}
wanted=$(sha256sum <"$here/requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$venv/requirements.sha256" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    echo "$wanted" >"$venv/requirements.sha256"
fi

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=''
exec "$venv/bin/python" "$here/differential.py" --binaries "$binaries" "$@"
