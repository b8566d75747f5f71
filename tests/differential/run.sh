#!/usr/bin/env bash
# Asks the aggregator and DuckDB some hundred statements over the same rows: while they lie in memory, in files, in both,
# with deletions and corrections pending and applied, and while files are flushed, merged and written anew.
#
#   tests/differential/run.sh [--seed N]     with the programs of the build folder; RIDEALONG_BINARIES names another
#
# Needs Python 3.11 with venv. DuckDB is installed once and again when requirements.txt changes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
source "$here/../venv.sh"
python_of differential "$here/requirements.txt"

exec "$venv/bin/python" "$here/differential.py" --binaries "$binaries" "$@"
