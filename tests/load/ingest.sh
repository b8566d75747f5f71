#!/usr/bin/env bash
# The same tracked events into Ridealong, the ClickHouse engine and DuckDB, one after the other on a quiet machine:
#
#   tests/load/ingest.sh [EVENTS]     1,000,000 by default; Ridealong by batches and as JSON, a fifth as many as JSON
#
# Needs the programs of the build folder (RIDEALONG_BINARIES names another) and Python 3.11 with venv; chdb, duckdb and
# pyarrow are installed once, about 800 MB.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
venv=$cache/ingest-venv
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$here/../../target}/debug}
events=${1:-1000000}
wanted=$(sha256sum <"$here/ingest-requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$venv/requirements.sha256" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/ingest-requirements.txt"
    echo "$wanted" >"$venv/requirements.sha256"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'Ridealong, batches\n'
"$binaries/ridealong-load" batches --kind events --rows "$events" --save "$work/events.ndjson"
printf '\nRidealong, JSON\n'
"$binaries/ridealong-load" json --events $((events / 5))
printf '\nThe same events elsewhere\n'
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/ingest_peers.py" "$work/events.ndjson"
