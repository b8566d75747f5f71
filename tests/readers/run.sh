#!/usr/bin/env bash
# Reads the tables of a real session with deltalake, the ClickHouse engine and a Spark client.
#
#   tests/readers/run.sh [--keep]     with the programs of the build folder; RIDEALONG_BINARIES names another
#
# Needs Python 3.11 with venv. The packages (about 1 GB) are installed once and again when requirements.txt changes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
venv=$cache/readers-venv
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$here/../../target}/debug}
wanted=$(sha256sum <"$here/requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$venv/requirements.sha256" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    echo "$wanted" >"$venv/requirements.sha256"
fi

# No byte code beside the sources; nothing of the caller's Python. Sail and the Spark client say on the standard error
# what is not about this test.
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='' PYTHONWARNINGS=ignore RUST_LOG=${RUST_LOG:-error}
exec "$venv/bin/python" "$here/readers.py" --binaries "$binaries" "$@"
