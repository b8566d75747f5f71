#!/usr/bin/env bash
# The same tracked events into Ridealong, the ClickHouse engine and DuckDB, one after the other on a quiet machine:
#
#   tests/load/ingest.sh [EVENTS]     1,000,000 by default; Ridealong by batches and as JSON, a fifth as many as JSON
#
# Needs the programs of the build folder (RIDEALONG_BINARIES names another) and Python 3.11 with venv; chdb, duckdb and
# pyarrow are installed once, about 800 MB.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
source "$here/../venv.sh"
python_of ingest "$here/ingest-requirements.txt"
events=${1:-1000000}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'Ridealong, batches\n'
"$binaries/ridealong-load" batches --kind events --rows "$events" --save "$work/events.ndjson"
printf '\nRidealong, JSON\n'
"$binaries/ridealong-load" json --events $((events / 5))
printf '\nThe same events elsewhere\n'
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/ingest_peers.py" "$work/events.ndjson"
