#!/usr/bin/env bash
# Real clients through the agent to real services: curl, Node, Python, gRPC, WebSockets, h2load, wrk.
#
#   tests/clients/run.sh [--only WORD] [--keep]     with the programs of the build folder; RIDEALONG_BINARIES names another
#
# Needs curl, Node 20 with npm, Python 3.11 with venv, nginx, wrk and h2load (Debian: nginx-light wrk nghttp2-client).
# Packages are installed into the user's cache once, and again when requirements.txt or package.json change.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
venv=$cache/clients-venv
node=$cache/clients-node
binaries=${RIDEALONG_BINARIES:-${CARGO_TARGET_DIR:-$here/../../target}/debug}
for tool in curl node npm nginx wrk h2load python3; do
    command -v "$tool" >/dev/null || { echo "tests/clients needs $tool" >&2; exit 2; }
done

wanted=$(sha256sum <"$here/requirements.txt" | cut -d' ' -f1)
if [ "$(cat "$venv/requirements.sha256" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    echo "$wanted" >"$venv/requirements.sha256"
fi
wanted=$(sha256sum <"$here/package.json" | cut -d' ' -f1)
if [ "$(cat "$node/package.sha256" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$node"
    mkdir -p "$node"
    cp "$here/package.json" "$node/"
    npm install --prefix "$node" --no-audit --no-fund --loglevel=error
    echo "$wanted" >"$node/package.sha256"
fi

# No byte code beside the sources; nothing of the caller's Python.
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=''
exec "$venv/bin/python" "$here/clients.py" --binaries "$binaries" --node-modules "$node/node_modules" "$@"
