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
source "$here/../venv.sh"
python_of ingest "$here/ingest-requirements.txt"

exec "$venv/bin/python" "$here/queries.py" --binaries "$binaries" --cache "$cache" "$@"
