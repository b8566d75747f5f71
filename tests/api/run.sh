#!/usr/bin/env bash
# Sends the aggregator what its own description allows and what it does not: schemathesis, against a real one with data.
#
#   tests/api/run.sh [--seed N] [--examples N] [--keep] [-- FLAGS OF SCHEMATHESIS]
#                                   with the programs of the build folder; RIDEALONG_BINARIES names another
#
# Needs Python 3.11 with venv. The packages are installed once and again when requirements.txt changes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
venv=$cache/api-venv
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$here/../../target}/debug}
wanted=$(sha256sum <"$here/requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$venv/requirements.sha256" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    echo "$wanted" >"$venv/requirements.sha256"
fi

# No byte code beside the sources; nothing of the caller's Python.
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=''
exec "$venv/bin/python" "$here/api.py" --binaries "$binaries" --schemathesis "$venv/bin/schemathesis" "$@"
