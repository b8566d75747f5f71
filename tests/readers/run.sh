#!/usr/bin/env bash
# Reads the tables of a real session with deltalake, the ClickHouse engine and a Spark client.
#
#   tests/readers/run.sh [--keep]     with the programs of the build folder; RIDEALONG_BINARIES names another
#
# Needs Python 3.11 with venv. The packages (about 1 GB) are installed once and again when requirements.txt changes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
source "$here/../venv.sh"
python_of readers "$here/requirements.txt"

# Sail and the Spark client say on the standard error what is not about this test.
export PYTHONWARNINGS=ignore RUST_LOG=${RUST_LOG:-error}
exec "$venv/bin/python" "$here/readers.py" --binaries "$binaries" "$@"
