#!/usr/bin/env bash
# Installs an S3-compatible server (moto, from PyPI) into a folder of its own, once and again when requirements.txt
# changes, and prints where its program is. Needs Python 3.11 with venv.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ridealong
venv=$cache/moto-venv
wanted=$(sha256sum <"$here/requirements.txt" | cut -d' ' -f1)

mkdir -p "$cache"
# Tests run side by side.
exec 9>"$cache/moto-venv.lock"
flock 9
if [ "$(cat "$venv/requirements.sha256" 2>/dev/null || true)" != "$wanted" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    echo "$wanted" >"$venv/requirements.sha256"
fi
echo "$venv/bin/moto_server"
