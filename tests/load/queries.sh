#!/usr/bin/env bash
# The same questions to a warm aggregator, to DuckDB and to the ClickHouse engine, on the same Parquet files and on the
# engines' own tables, in interleaved rounds; checks that all give the same answers.
#
#   tests/load/queries.sh [--rows N] [--rounds N] [--only LETTERS] [--engines ours,parquet,own]
#       by default 10,000,000 rows, 7 rounds, all questions
#
# Needs the programs of the build folder (RIDEALONG_BINARIES names another) and Python 3.11 with venv; chdb, duckdb and
# pyarrow are installed once, about 800 MB. The data are made once, kept in the user's cache, and used again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
venv=$cache/ingest-venv
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$here/../../target}/debug}
wanted=$(sha256sum <"$here/ingest-requirements.txt" | cut -d' ' -f1)

if [ "$(cat "$venv/requirements.sha256" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/ingest-requirements.txt"
    echo "$wanted" >"$venv/requirements.sha256"
fi

export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=''
exec "$venv/bin/python" "$here/queries.py" --binaries "$binaries" --cache "$cache" "$@"
