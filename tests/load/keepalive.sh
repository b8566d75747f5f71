#!/usr/bin/env bash
# Requests on connections that the service is about to close: not one may fail.
#
#   tests/load/keepalive.sh [REQUESTS]      20,000 if unset; 1000000 for the proof, about three quarters of an hour
#
# Needs Node, nginx and gunicorn (Debian: nodejs nginx-light gunicorn). RIDEALONG_BINARIES names the folder of the agent.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$here/../../target}/debug}
for tool in node nginx gunicorn python3; do
    command -v "$tool" >/dev/null || { echo "keepalive.sh needs $tool: apt-get install nodejs nginx-light gunicorn python3" >&2; exit 2; }
done
# Each burst holds a few hundred connections on three sides.
ulimit -n "$(ulimit -Hn)"
exec python3 "$here/keepalive.py" --agent "$binaries/ridealong-agent" --requests "${1:-20000}"
