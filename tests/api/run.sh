#!/usr/bin/env bash
# Sends the aggregator what its own description allows and what it does not: schemathesis, against a real one with data.
#
#   tests/api/run.sh [--seed N] [--examples N] [--keep] [-- FLAGS OF SCHEMATHESIS]
#                                   with the programs of the build folder; RIDEALONG_BINARIES names another
#
# Needs Python 3.11 with venv. The packages are installed once and again when requirements.txt changes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
source "$here/../venv.sh"
python_of api "$here/requirements.txt"

exec "$venv/bin/python" "$here/api.py" --binaries "$binaries" --schemathesis "$venv/bin/schemathesis" "$@"
